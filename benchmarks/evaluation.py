"""Scoring one prediction: segbench compared with the usual implementation.

Run: `python -m benchmarks.evaluation [--runs 5] [--threads 1]`. Times are medians of CPU runs in
one process; ratios are comparable between machines, absolute times are not.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassConfusionMatrix

from segbench.inference.labels import argmax_labels, upsample_argmax
from segbench.metrics.confusion import confusion_matrices

CLASSES, HEIGHT, WIDTH = 19, 1024, 2048


def scene(scale: int) -> Tensor:
    """Logits with regions and noise, float32 `[1, 19, 1024 / scale, 2048 / scale]`."""
    size = (HEIGHT // scale, WIDTH // scale)
    regions = F.interpolate(torch.randn(1, CLASSES, 16, 32), size, mode="bilinear")
    return regions + 0.3 * torch.randn(1, CLASSES, *size)


def upsample(logits: Tensor) -> Tensor:
    return F.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)


def usual_counts(pred: Tensor, mask: Tensor, validate: bool) -> Tensor:
    metric = MulticlassConfusionMatrix(CLASSES, ignore_index=255, validate_args=validate)
    metric.update(pred, mask)
    return metric.compute()


def median_seconds(call: Callable[[], object], runs: int) -> float:
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def report(title: str, calls: dict[str, Callable[[], Tensor]], runs: int) -> None:
    """Prints one table; every call must return the same integers as the first."""
    print(f"\n{title}\n| | ms | times faster |\n|---|---|---|")
    expected = next(iter(calls.values()))()
    first = 0.0
    for name, call in calls.items():
        if not torch.equal(call().long(), expected.long()):
            raise AssertionError(f"{name} differs from {next(iter(calls))}")
        seconds = median_seconds(call, runs)
        first = first or seconds
        print(f"| {name} | {seconds * 1e3:.1f} | {first / seconds:.1f}x |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    full, quarter = scene(1), scene(4)
    mask = full.argmax(1)
    mask[torch.rand(mask.shape) < 0.1] = 255
    mask8, pred = mask.byte(), upsample(quarter).argmax(1)
    pred8 = pred.byte()

    def counts(pred: Tensor) -> Tensor:
        return confusion_matrices(pred, mask8, CLASSES)[0][0, :, :CLASSES]

    def bincount() -> Tensor:
        joint = np.minimum(mask8.numpy(), CLASSES).astype(np.int64) * CLASSES + pred8.numpy()
        table = np.bincount(joint.ravel(), minlength=(CLASSES + 1) * CLASSES)
        return torch.from_numpy(table.reshape(-1, CLASSES)[:CLASSES])

    shape = f"{CLASSES}x{HEIGHT}x{WIDTH}"
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{arguments.threads} thread(s), median of {arguments.runs} runs")  # fmt: skip
    report(
        f"Logits to labels, {shape}",
        {"torch.argmax": lambda: full.argmax(1), "segbench": lambda: argmax_labels(full)},
        arguments.runs,
    )
    report(
        f"Logits at a quarter of the size to labels, {shape}",
        {
            "interpolate + argmax": lambda: upsample(quarter).argmax(1),
            "segbench": lambda: upsample_argmax(quarter, (HEIGHT, WIDTH)),
        },
        arguments.runs,
    )
    report(
        f"Confusion matrix, {HEIGHT}x{WIDTH}, {CLASSES} classes",
        {
            "torchmetrics": lambda: usual_counts(pred, mask, True),
            "torchmetrics, validate_args=False": lambda: usual_counts(pred, mask, False),
            "numpy.bincount, int64": bincount,
            "segbench": lambda: counts(pred8),
        },
        arguments.runs,
    )
    report(
        f"All of it: quarter-size logits to confusion matrix, {shape}",
        {
            "interpolate + argmax + torchmetrics": lambda: usual_counts(
                upsample(quarter).argmax(1), mask, True
            ),
            "segbench": lambda: counts(upsample_argmax(quarter, (HEIGHT, WIDTH))),
        },
        arguments.runs,
    )
    report(
        f"The same from full-size logits, {shape}",
        {
            "interpolate + argmax + torchmetrics": lambda: usual_counts(
                upsample(full).argmax(1), mask, True
            ),
            "segbench": lambda: counts(upsample_argmax(full, (HEIGHT, WIDTH))),
        },
        arguments.runs,
    )


if __name__ == "__main__":
    main()
