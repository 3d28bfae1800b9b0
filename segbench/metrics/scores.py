"""Scores from confusion matrices: every score that segbench prints is computed here.

A confusion matrix is int64 `[C, C + 1]`: rows are the true class, columns the predicted one, the
last column counts labeled pixels on which void was predicted (a miss of the true class, as in the
official Cityscapes script). Matrices are summed over images before any division.

Imports only NumPy, so that `compare` starts fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

ABSENT_POLICIES = ("exclude", "zero", "one")
OVERLAPS = ("IoU", "Dice")
MOST_PIXELS = 1 << 53  # larger sums are not exact in float64
MISSING = "–"


def union_counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union of every class.

    Args:
        matrix: int64 `[..., C, C + 1]`.

    Returns:
        Two int64 `[..., C]`: true positives, and true positives + misses + false positives.
    """
    num_classes = matrix.shape[-2]
    hits = np.diagonal(matrix[..., :num_classes], axis1=-2, axis2=-1)
    return hits, matrix.sum(-1) + matrix[..., :num_classes].sum(-2) - hits


def reduced(matrices: np.ndarray) -> np.ndarray:
    """Hits, labeled and predicted pixels of every class, int64 `[..., 3, C]`."""
    hits, union = union_counts(matrices)
    labeled = matrices.sum(axis=-1)
    return np.stack([hits, labeled, union - labeled + hits], axis=-2)


def overlap_counts(
    hits: np.ndarray, union: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """The two counts whose ratio is a score; sum them over images before dividing.

    Args:
        hits, union: int64 `[..., C]`, see `union_counts`.
        metric: `IoU` or `Dice`.

    Returns:
        Two int64 `[..., C]`: hits and union for IoU; twice the hits, and true plus predicted
        pixels, for Dice.
    """
    if metric not in OVERLAPS:
        raise ValueError(f"metric must be one of {', '.join(OVERLAPS)}, not '{metric}'")
    return (hits, union) if metric == "IoU" else (2 * hits, union + hits)


def overlap(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """IoU or Dice of every class from `overlap_counts`, float64; NaN where the union is empty."""
    return _divide(numerator, denominator)


def with_weights(values: np.ndarray) -> np.ndarray:
    """Scores of an image as counts: the ratio of their sums is the mean over images.

    Args:
        values: float64 `[K]`, NaN where the image has no score.

    Returns:
        float64 `[2, K]`; the values, and 1 where there is one.
    """
    known = ~np.isnan(values)
    return np.stack([np.where(known, values, 0.0), known.astype(np.float64)])


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU (Jaccard index) of every class, float64 `[..., C]`; NaN where the union is empty."""
    return overlap(*overlap_counts(*union_counts(matrix), "IoU"))


def class_dice(matrix: np.ndarray) -> np.ndarray:
    """Dice (F1) of every class, float64 `[..., C]`; NaN where the union is empty."""
    return overlap(*overlap_counts(*union_counts(matrix), "Dice"))


def class_recall(matrix: np.ndarray) -> np.ndarray:
    """Recall: share of the true pixels that were found, float64 `[..., C]`; NaN if absent."""
    hits, _ = union_counts(matrix)
    return _divide(hits, matrix.sum(-1))


def class_precision(matrix: np.ndarray) -> np.ndarray:
    """Precision: share of the predicted pixels that are right, float64 `[..., C]`; NaN if none."""
    hits, _ = union_counts(matrix)
    return _divide(hits, matrix[..., : matrix.shape[-2]].sum(-2))


def mean_over_classes(values: np.ndarray, absent: str = "exclude") -> np.ndarray:
    """Mean over the last axis, with a policy for classes in neither mask nor prediction (NaN).

    Args:
        values: float64 `[..., C]`.
        absent: `exclude` leaves such a class out, as mmsegmentation and cityscapesScripts do;
            `zero` and `one` count it as 0 and as 1.

    Returns:
        float64 `[...]`; NaN if every class is left out.
    """
    if absent not in ABSENT_POLICIES:
        raise ValueError(f"absent must be one of {', '.join(ABSENT_POLICIES)}, not '{absent}'")
    is_absent = np.isnan(values)
    total = np.where(is_absent, float(absent == "one"), values).sum(-1)
    count = (~is_absent).sum(-1) if absent == "exclude" else np.full(total.shape, values.shape[-1])
    return _divide(total, count)


class MatrixScores(TypedDict):
    """The scores of one summed confusion matrix, fractions; None if a value is undefined.

    `fwIoU` is IoU weighted by the share of true pixels; the last four are by class name.
    """

    mIoU: float | None
    mDice: float | None
    pixel_acc: float | None
    mean_acc: float | None
    fwIoU: float | None
    IoU: dict[str, float | None]
    Dice: dict[str, float | None]
    precision: dict[str, float | None]
    recall: dict[str, float | None]


def scores(matrix: np.ndarray, names: Sequence[str], absent: str = "exclude") -> MatrixScores:
    """All scores of one summed confusion matrix.

    Args:
        matrix: int64 `[C, C + 1]`.
        names: C class names.
        absent: see `mean_over_classes`.
    """
    iou, dice = class_iou(matrix), class_dice(matrix)
    recall, precision = class_recall(matrix), class_precision(matrix)
    pixels = matrix.sum(-1)
    hits, _ = union_counts(matrix)
    return {
        "mIoU": or_none(mean_over_classes(iou, absent)),
        "mDice": or_none(mean_over_classes(dice, absent)),
        "pixel_acc": or_none(_divide(hits.sum(), pixels.sum())),
        # Undefined for a class without true pixels, whatever the policy for absent classes.
        "mean_acc": or_none(mean_over_classes(recall, "exclude")),
        "fwIoU": or_none(_divide((np.nan_to_num(iou) * pixels).sum(), pixels.sum())),
        "IoU": {name: or_none(value) for name, value in zip(names, iou, strict=True)},
        "Dice": {name: or_none(value) for name, value in zip(names, dice, strict=True)},
        "precision": {name: or_none(value) for name, value in zip(names, precision, strict=True)},
        "recall": {name: or_none(value) for name, value in zip(names, recall, strict=True)},
    }


def check_counts(counts: np.ndarray, what: str) -> None:
    """Raises ValueError unless an array read from a file contains pixel counts."""
    if counts.dtype.kind not in "iu":
        raise ValueError(f"{what} of {counts.dtype} are not counts of pixels")
    if not counts.size:
        raise ValueError(f"{what} are empty")
    if counts.min() < 0:
        raise ValueError(f"{what} contain {counts.min()}: a count of pixels is not negative")
    if counts.astype(np.float64).sum() >= MOST_PIXELS:
        raise ValueError(f"{what} contain {counts.max()}: more pixels than a data set can have")


def percent(value: float | None, digits: int = 1) -> str:
    """Formats a fraction as percent: 0.567 as `56.7` (files use fractions, reports percent)."""
    return MISSING if value is None else f"{100 * value:.{digits}f}"


def amount(value: float | None) -> str:
    """Formats a number of parameters or operations to three digits: 2866 as `2.87 K`."""
    if value is None:
        return MISSING
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= 0.9995 * size:
            digits = 2 if abs(value) < 9.995 * size else 1 if abs(value) < 99.95 * size else 0
            return f"{value / size:.{digits}f} {letter}"
    return f"{value:.0f}"


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def or_none(value: np.ndarray | float) -> float | None:
    """A score as a plain number; None where it is undefined (NaN)."""
    return None if np.isnan(value) else float(value)
