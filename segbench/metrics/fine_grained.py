"""Fine-grained scores: by image and by class of an image, and how bad the worst of them are.

mIoU sums all images first, so large objects decide it. Wang et al., "Revisiting evaluation metrics
for semantic segmentation", NeurIPS 2023, score every class of every image by itself, over the
classes of the image's *mask* alone:

    mIoU_I      mean over images of the mean over their classes
    mIoU_C      mean over classes of the mean over the images that contain them
    mIoU_I5     the same as mIoU_I over the worst 5% of the images (rounded down, at least one)
    mIoU_C5     for each class its worst 5% of images, then the mean over classes

and mDice likewise. An image without a labeled pixel, and a class in no mask, count nowhere.
`per_image.image_scores` instead averages over the union of mask and prediction.
"""

from __future__ import annotations

import numpy as np

from segbench.metrics.scores import OVERLAPS, overlap, overlap_counts

WORST = (1, 5, 10)  # percent


def class_scores(counts: np.ndarray, metric: str = "IoU") -> np.ndarray:
    """The score of every class of every mask.

    Args:
        counts: int `[..., 3, C]`; hits, labeled and predicted pixels of each image.
        metric: `IoU` or `Dice`.

    Returns:
        float64 `[..., C]`, NaN where the mask lacks the class.
    """
    hits, labeled, predicted = np.moveaxis(counts.astype(np.int64), -2, 0)
    values = overlap(*overlap_counts(hits, labeled + predicted - hits, metric))
    return np.where(labeled > 0, values, np.nan)


def image_means(values: np.ndarray) -> np.ndarray:
    """Mean over the classes of each mask, `[..., C]` to `[...]`; NaN without a labeled pixel."""
    known = ~np.isnan(values)
    number = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def number_of_worst(images: int, percent: float) -> int:
    """How many images are the worst `percent`: rounded down, at least one."""
    return max(1, int(percent / 100 * images))


def worst_mean(values: np.ndarray, percent: float) -> float:
    """Mean of the lowest `percent` of the values `[N]` that are not NaN; NaN if all are."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[: number_of_worst(len(known), percent)].mean()) if len(known) else np.nan


def fine_grained_scores(counts: np.ndarray) -> dict[str, float | None]:
    """All of them, by name: `mIoU_I`, `mIoU_C`, `mIoU_I1`, ..., `mDice_C10`; None if there is none.

    Args:
        counts: int `[N, 3, C]`, see `class_scores`.
    """
    found: dict[str, float] = {}
    for metric in OVERLAPS:
        values = class_scores(counts, metric)
        by_image = image_means(values)
        classes = [column for column in values.T if not np.isnan(column).all()]
        for suffix, percent in (("", 100), *((str(q), q) for q in WORST)):
            found[f"m{metric}_I{suffix}"] = worst_mean(by_image, percent)
            means = [worst_mean(column, percent) for column in classes]
            found[f"m{metric}_C{suffix}"] = float(np.mean(means)) if means else np.nan
    return {name: None if np.isnan(value) else value for name, value in found.items()}
