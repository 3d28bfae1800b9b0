"""The models of a comparison as counts: what IoU and Dice need per run, image and class.

A score is a ratio of two counts, summed over images before the division: never an average of
scores of single images. With the two counts of Dice instead of those of IoU, all statistics are
those of Dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segbench.artifacts.typed import known
from segbench.comparison.study import Study
from segbench.metrics.scores import mean_over_classes, overlap, overlap_counts

if TYPE_CHECKING:
    from segbench.comparison.scoring import Scoring

HEADLINES = {"mIoU": "IoU", "mDice": "Dice"}  # the score of a model, and that of a class


@dataclass(frozen=True)
class Entrant:
    """One row of the leaderboard: all runs of one model.

    Args:
        name: unique in the comparison.
        seeds: the seed of each run, all different.
        counts: int `[S, N, 3, C]`: for each run, image and class the numerator and the
            denominator of its score (see `metrics.scores.overlap_counts`), and the true pixels; or
            what else `scoring` takes.
        scoring: how they become a score; None = as a ratio.
    """

    name: str
    seeds: tuple[int, ...]
    counts: np.ndarray
    scoring: Scoring | None = None

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.counts) or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"{self.name}: the seeds {self.seeds} do not name its runs one by one")


def boundary_entrants(study: Study, metric: str = "mIoU") -> list[Entrant]:
    """The models of a study with the counts of the bands along the outlines of classes."""
    found = []
    for label, runs in study.runs.items():
        bands = np.stack([known(run.images.counts_of("boundary_IoU")) for run in runs])
        hits, union = bands[:, :, 0], bands[:, :, 1]
        parts = [*overlap_counts(hits, union, HEADLINES[metric]), union]
        found.append(Entrant(label, tuple(run.seed for run in runs), np.stack(parts, axis=2)))
    return found


def count(counts: np.ndarray, metric: str = "mIoU") -> np.ndarray:
    """The counts whose ratio is a score.

    Args:
        counts: int `[..., 3, C]`; hits, labeled and predicted pixels, see `artifacts.pixel_counts`.
        metric: `mIoU` or `mDice`.

    Returns:
        int `[..., 3, C]`, see `Entrant`.
    """
    hits, labeled, predicted = np.moveaxis(counts, -2, 0)
    parts = overlap_counts(hits, labeled + predicted - hits, HEADLINES[metric])
    return np.stack([*parts, labeled], axis=-2)


def scores_of(counts: np.ndarray, absent: str = "exclude") -> np.ndarray:
    """Scores from summed counts `[..., 3, C]`: by class, then their mean, float64 `[..., C + 1]`.

    Args:
        counts: see `Entrant`.
        absent: see `metrics.scores.mean_over_classes`.
    """
    return _with_mean(overlap(counts[..., 0, :], counts[..., 1, :]), absent)


def resampled_scores(
    counts: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    absent: str,
    labeled: np.ndarray,
) -> np.ndarray:
    """Scores of resampled image sets, by one matrix product.

    A class that has labeled pixels in the data but none in a resample is left out of that resample
    for all models; otherwise a few false positives would determine whether it counts.

    Args:
        counts: float64 `[P, S, 2, C]`, summed per position of the resampled series.
        truth: float64 `[P, T, C]`; the true pixels, of each run or (T = 1) the same for all.
        weights: float64 `[R, P]`.
        absent: see `scores_of`.
        labeled: bool `[C]`; the classes with labeled pixels in the data.

    Returns:
        float64 `[R, S, C + 1]`, as `scores_of`.
    """
    size = counts.shape[1:]
    summed = (weights @ counts.reshape(len(counts), -1)).reshape(len(weights), *size)
    values = overlap(summed[:, :, 0], summed[:, :, 1])
    if absent == "exclude":
        found = (weights @ truth.reshape(len(truth), -1)).reshape(len(weights), *truth.shape[1:])
        values[np.broadcast_to((found == 0) & labeled, values.shape)] = np.nan
    return _with_mean(values, absent)


def influence(counts: np.ndarray) -> np.ndarray:
    """The contribution of each image to the mean score: positive if above the model's average.

    This is the linear part of the score in the images (its influence function). The values sum to
    zero, and the difference of two models' values ranks the images that decide between them.

    Args:
        counts: `[..., N, 3, C]`.

    Returns:
        float64 `[..., N]`, in units of the score.
    """
    total = counts.sum(axis=-3)
    whole = total[..., 1, :]
    share = np.where(whole > 0, whole, 1)
    score = total[..., 0, :] / share
    number = np.maximum((whole > 0).sum(axis=-1), 1)
    part = (counts[..., 0, :] - score[..., None, :] * counts[..., 1, :]) / share[..., None, :]
    return part.sum(axis=-1) / number[..., None]


def check_same_images(entrants: Sequence[Entrant]) -> None:
    """Raises ValueError unless all entrants have the same number of images and classes."""
    shapes = {entrant.counts.shape[1:] for entrant in entrants}
    if len(shapes) != 1:
        raise ValueError(f"entrants differ in images or classes: {sorted(shapes)}")
    names = [entrant.name for entrant in entrants]
    if len(set(names)) != len(names):
        raise ValueError(f"entrants must have different names, not {names}")


def _with_mean(values: np.ndarray, absent: str) -> np.ndarray:
    return np.concatenate([values, mean_over_classes(values, absent)[..., None]], axis=-1)
