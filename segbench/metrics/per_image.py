"""Scores broken down by image, by group and by category of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segbench.metrics.scores import class_iou, mean_over_classes, or_none


def image_scores(matrices: np.ndarray, absent: str = "exclude") -> dict[str, float | None]:
    """Mean score per image, and the mean of the worst images.

    Args:
        matrices: int64 `[N, C, C + 1]`, one per image.
        absent: see `scores.mean_over_classes`.

    Returns:
        `mean_image_mIoU`, the mean over images of each image's mIoU, and `worst_tenth_mIoU`,
        the mean over the lowest tenth of them (rounded up); None if no image is labeled.
    """
    values = mean_over_classes(class_iou(matrices), absent)
    values = np.sort(values[~np.isnan(values)])
    if not values.size:
        return {"mean_image_mIoU": None, "worst_tenth_mIoU": None}
    worst = values[: -(-values.size // 10)]
    return {"mean_image_mIoU": float(values.mean()), "worst_tenth_mIoU": float(worst.mean())}


def group_scores(
    matrices: np.ndarray, groups: Sequence[str], absent: str = "exclude"
) -> dict[str, float | None]:
    """The mIoU of each group of images.

    Args:
        matrices: int64 `[N, C, C + 1]`, one per image.
        groups: N group names (drive, city, patient).
        absent: see `scores.mean_over_classes`.
    """
    names = np.array(groups)
    values = {
        str(name): mean_over_classes(class_iou(matrices[names == name].sum(0)), absent)
        for name in np.unique(names)
    }
    return {name: or_none(value) for name, value in values.items()}


def category_matrix(
    matrix: np.ndarray, names: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Merges classes into categories: confusions within a category count as correct.

    Args:
        matrix: int64 `[C, C + 1]`.
        names: C class names.
        categories: K categories, each with the names of its classes.

    Returns:
        int64 `[K, K + 1]`. Predictions of a class that is in no category count as void.

    Raises:
        ValueError: a category names an unknown class, or a class is in two categories.
    """
    category_of = {name: k for k, group in enumerate(categories.values()) for name in group}
    if unknown := category_of.keys() - set(names):
        raise ValueError(f"categories name unknown classes: {', '.join(sorted(unknown))}")
    if sum(map(len, categories.values())) != len(category_of):
        raise ValueError("a class is in two categories")
    void = len(categories)
    place = np.array([category_of.get(name, void) for name in names] + [void])
    merged = np.zeros((void + 1, void + 1), np.int64)
    np.add.at(merged, (place[:-1, None], place[None, :]), matrix)
    return merged[:void]
