"""Expected calibration error: is a prediction made with 80% confidence right 80% of the time?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class CalibrationCounts:
    """Pixels by confidence, of one or more images; `a + b` adds them up.

    Bin m holds confidences in (m / 15, (m + 1) / 15].

    Args:
        pixels: int64 `[15]`.
        right: int64 `[15]`, number of correctly predicted pixels.
        confidence: float64 `[15]`, the sum of their confidences.
    """

    pixels: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    def __add__(self, other: CalibrationCounts) -> CalibrationCounts:
        return CalibrationCounts(
            self.pixels + other.pixels,
            self.right + other.right,
            self.confidence + other.confidence,
        )

    def error(self) -> float:
        """Expected calibration error: mean gap between confidence and accuracy, weighted by pixels.

        Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3. NaN if there
        are no pixels.
        """
        total = self.pixels.sum()
        return float(np.abs(self.right - self.confidence).sum() / total) if total else np.nan


def calibration_counts(
    pred: np.ndarray, confidence: np.ndarray, mask: np.ndarray, ignore_index: int = 255
) -> CalibrationCounts:
    """Computes the counts of one image.

    Args:
        pred: uint8 `[H, W]`.
        confidence: float32 `[H, W]` in 0..1, the probability of the predicted class.
        mask: uint8 `[H, W]`; pixels with `ignore_index` are left out.
        ignore_index: the id of unlabeled pixels.
    """
    labeled = mask != ignore_index
    confidence = confidence[labeled].astype(np.float64)
    right = pred[labeled] == mask[labeled]
    place = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return CalibrationCounts(
        np.bincount(place, minlength=BINS),
        np.bincount(place[right], minlength=BINS),
        np.bincount(place, confidence, minlength=BINS),
    )
