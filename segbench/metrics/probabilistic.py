"""How good the probabilities are: NLL, Brier score, class-wise calibration, risk and coverage.

NLL      mean over pixels of -log of the probability of the true class (natural logarithm)
Brier    mean over pixels of the squared distance between probabilities and the true class,
         summed over classes: 0..2 (Brier 1950)
SCE      static calibration error: mean over classes of the gap between the probability of a
         class and how often it is there, over 15 bins and all pixels (Nixon et al., CVPR
         workshops 2019; the class-wise ECE of Kull et al., NeurIPS 2019)
AURC     area under the risk-coverage curve: the mean over coverages of the error rate among the
         most confident pixels (Geifman et al., ICLR 2019), by trapezoids from one pixel to all, as
         torch-uncertainty does. Exact in each image, then averaged over images
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segbench.metrics.calibration import BINS

LEAST_PROBABILITY = 1e-12  # a class that was given none costs 27.6 nats, not infinitely many


def probability_counts(
    probs: Tensor, mask: Tensor, ignore_index: int = 255
) -> dict[str, np.ndarray]:
    """Counts one image, where the tensors are; sum the counts over images, then divide.

    Args:
        probs: float `[C, H, W]`, which sum to one over the classes.
        mask: uint8 `[H, W]`; pixels of `ignore_index` are left out.
        ignore_index: the id of unlabeled pixels.

    Returns:
        NLL, Brier: float64 `[2, 1]`; the sum over the labeled pixels, and their number.
        SCE: float64 `[C, 15, 3]`; for each class and bin of its probability the pixels, those that
            are of the class, and the sum of the probabilities.
    """
    labeled = mask != ignore_index
    truth = mask[labeled].long()
    probs = probs[:, labeled].float()
    num_classes, pixels = probs.shape
    if not pixels:
        nothing = np.zeros((2, 1))
        return {"NLL": nothing, "Brier": nothing, "SCE": np.zeros((num_classes, BINS, 3))}
    of_truth = probs.gather(0, truth[None])[0].double()
    nll = -of_truth.clamp(min=LEAST_PROBABILITY).log().sum()
    brier = probs.double().square().sum() - 2 * of_truth.sum() + pixels
    bins = torch.stack([_bins(values, truth == label) for label, values in enumerate(probs)])
    return {
        "NLL": np.array([[float(nll)], [float(pixels)]]),
        "Brier": np.array([[float(brier)], [float(pixels)]]),
        "SCE": bins.cpu().numpy(),
    }


def _bins(values: Tensor, is_class: Tensor) -> Tensor:
    """Pixels, those of the class, and sum of the probabilities by bin, float64 `[15, 3]`."""
    place = (values * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    weights = torch.stack([torch.ones_like(values), is_class, values], dim=-1).double()
    found = torch.zeros(BINS, 3, dtype=torch.float64, device=values.device)
    return found.index_add_(0, place, weights)


def image_aurc(
    pred: np.ndarray, confidence: np.ndarray, mask: np.ndarray, ignore_index: int = 255
) -> float:
    """Area under the risk-coverage curve of one image; NaN without a labeled pixel.

    Pixels of the same confidence enter together: their order says nothing.

    Args:
        pred: uint8 `[H, W]`.
        confidence: float `[H, W]`.
        mask: uint8 `[H, W]`.
        ignore_index: the id of unlabeled pixels.
    """
    labeled = mask != ignore_index
    if not labeled.any():
        return float("nan")
    wrong = (pred[labeled] != mask[labeled]).astype(np.float64)
    _, place, number = np.unique(-confidence[labeled], return_inverse=True, return_counts=True)
    errors = np.bincount(place.ravel(), wrong, minlength=len(number))
    expected = np.repeat(errors / number, number)
    risk = np.cumsum(expected) / np.arange(1, len(expected) + 1)
    if len(risk) == 1:
        return float(risk[0])
    return float((risk.sum() - (risk[0] + risk[-1]) / 2) / (len(risk) - 1))
