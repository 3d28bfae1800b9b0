"""From confusion matrices to scores, for one set of images or for thousands of resampled ones.

IoU needs only the diagonal, the row sums and the column sums of a confusion matrix: 3C numbers per
image instead of C (C + 1). Every score is computed from counts summed over images, never as an
average of scores of single images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ABSENT = ("exclude", "zero", "one")


@dataclass(frozen=True)
class Entrant:
    """One line of the leaderboard: all runs of one model.

    Args:
        name: unique in the comparison.
        seeds: the seed of each run, all different.
        counts: int64 `[S, N, 3, C]`: pixels hit, of the class, and predicted as the class, for
            each run, image and class (see `count`).
    """

    name: str
    seeds: tuple[int, ...]
    counts: np.ndarray

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.counts) or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"{self.name}: the seeds {self.seeds} do not name its runs one by one")


def count(matrices: np.ndarray) -> np.ndarray:
    """Reduces confusion matrices to what IoU needs.

    Args:
        matrices: int64 `[..., C, C + 1]`; rows = mask, columns = pred, last column = void
            predicted on a labelled pixel (a miss of the true class, a hit of none).

    Returns:
        int64 `[..., 3, C]`: diagonal, row sum, column sum.
    """
    hit = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.stack([hit, matrices.sum(axis=-1), matrices.sum(axis=-2)[..., :-1]], axis=-2)


def iou(counts: np.ndarray, absent: str = "exclude") -> np.ndarray:
    """IoU per class from summed counts.

    Args:
        counts: `[..., 3, C]`.
        absent: the IoU of a class in neither mask nor pred: `exclude` (NaN), `zero` or `one`.

    Returns:
        float64 `[..., C]` in 0..1.
    """
    hit, labelled, predicted = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    union = labelled + predicted - hit
    empty = {"exclude": np.nan, "zero": 0.0, "one": 1.0}[absent]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(union > 0, hit / union, empty)


def pixel_acc(counts: np.ndarray) -> float:
    """Share of the labelled pixels that were hit, all images summed, mean over the runs.

    Args:
        counts: int64 `[S, N, 3, C]`.
    """
    hit, labelled = (counts[:, :, part].sum(axis=(1, 2)) for part in (0, 1))
    return float(np.mean(hit / np.maximum(labelled, 1)))


def with_mean(values: np.ndarray) -> np.ndarray:
    """Appends the mean over classes that are not NaN: `[..., C]` to `[..., C + 1]`."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=-1, keepdims=True)
    number = present.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([values, np.where(number > 0, total / number, np.nan)], axis=-1)


def influence(counts: np.ndarray) -> np.ndarray:
    """What each image adds to the mIoU: positive where the model does better than its average.

    The linear part of the mIoU in the images (its influence function). The values sum to zero, and
    the difference of two models' values ranks the images that decide between them.

    Args:
        counts: `[..., N, 3, C]`.

    Returns:
        float64 `[..., N]`, in mIoU.
    """
    total = counts.sum(axis=-3)
    union = counts[..., 1, :] + counts[..., 2, :] - counts[..., 0, :]
    whole = total[..., 1, :] + total[..., 2, :] - total[..., 0, :]
    share = np.where(whole > 0, whole, 1)
    score = total[..., 0, :] / share
    number = np.maximum((whole > 0).sum(axis=-1), 1)
    part = (counts[..., 0, :] - score[..., None, :] * union) / share[..., None, :]
    return part.sum(axis=-1) / number[..., None]


def resampled(
    counts: np.ndarray, weights: np.ndarray, absent: str, labelled: np.ndarray
) -> np.ndarray:
    """Scores of resampled image sets, by one matrix product.

    A class that has labelled pixels in the data but none in a resample is left out of that
    resample for all models alike; otherwise a few false positives would decide whether it counts.

    Args:
        counts: float64 `[P, S, 3, C]`, summed per position of the resampled series.
        weights: float64 `[R, P]`.
        absent: see `iou`.
        labelled: bool `[C]`; the classes with labelled pixels in the data.

    Returns:
        float64 `[R, S, C + 1]`: IoU per class, then mIoU.
    """
    size = counts.shape[1:]
    summed = (weights @ counts.reshape(len(counts), -1)).reshape(len(weights), *size)
    values = iou(summed, absent)
    if absent == "exclude":
        values[(summed[:, :, 1] == 0) & labelled] = np.nan
    return with_mean(values)


def check_same_images(entrants: Sequence[Entrant]) -> None:
    """Raises ValueError unless all entrants were counted on equally many images and classes."""
    shapes = {entrant.counts.shape[1:] for entrant in entrants}
    if len(shapes) != 1:
        raise ValueError(f"entrants differ in images or classes: {sorted(shapes)}")
    names = [entrant.name for entrant in entrants]
    if len(set(names)) != len(names):
        raise ValueError(f"entrants must have different names, not {names}")
