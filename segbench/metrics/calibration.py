"""Expected calibration error: is a prediction made with 80% confidence right 80% of the time?

Imports only NumPy, so that `compare` starts fast.
"""

from __future__ import annotations

import numpy as np

BINS = 15


def calibration_counts(
    pred: np.ndarray, confidence: np.ndarray, mask: np.ndarray, ignore_index: int = 255
) -> np.ndarray:
    """Counts the pixels of one image by confidence.

    Args:
        pred: uint8 `[H, W]`.
        confidence: float32 `[H, W]` in 0..1, the probability of the predicted class.
        mask: uint8 `[H, W]`; pixels with `ignore_index` are left out.

    Returns:
        float64 `[15, 3]`; for confidences in (m / 15, (m + 1) / 15] the pixels, those predicted
        correctly, and the sum of the confidences.
    """
    labeled = mask != ignore_index
    confidence = confidence[labeled].astype(np.float64)
    right = pred[labeled] == mask[labeled]
    place = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return np.stack(
        [
            np.bincount(place, minlength=BINS),
            np.bincount(place[right], minlength=BINS),
            np.bincount(place, confidence, minlength=BINS),
        ],
        axis=-1,
    ).astype(np.float64)


def calibration_error(bins: np.ndarray) -> np.ndarray:
    """The gap between confidence and accuracy, weighted by pixels; NaN if there are no pixels.

    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3.

    Args:
        bins: `[..., 15, 3]`, sums of `calibration_counts`.

    Returns:
        float64 `[...]`.
    """
    gap = np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1)
    pixels = bins[..., 0].sum(axis=-1)
    return np.where(pixels > 0, gap / np.maximum(pixels, 1), np.nan)
