"""Prints the constants of these tests, made by libraries that are too heavy for the dev extra.

    pip install netcal torch-uncertainty
    python -m tests.metrics.made_by

Made with netcal 1.4.0 and torch-uncertainty 0.13.0.
"""

import torch

from tests.metrics.test_probabilistic import flat, maps


def main() -> None:
    """Scores of the maps of test_probabilistic, flattened, as the tests contain them."""
    from netcal.metrics import ECE
    from torch_uncertainty.metrics import (
        AURC,
        BrierScore,
        CalibrationError,
        CategoricalNLL,
    )

    values, truth = flat(*maps())
    probs, labels = torch.from_numpy(values), torch.from_numpy(truth).long()
    print(f"netcal ECE: {ECE(bins=15).measure(values, truth):.9f}")
    for metric in (
        AURC(),
        BrierScore(num_classes=4),
        CategoricalNLL(),
        CalibrationError(task="multiclass", num_classes=4, num_bins=15),
    ):
        metric.update(probs, labels)
        print(f"torch-uncertainty {type(metric).__name__}: {float(metric.compute()):.9f}")


if __name__ == "__main__":
    main()
