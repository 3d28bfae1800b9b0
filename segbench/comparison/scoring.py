"""How a score comes from what was counted of the images: as observed, and on resampled images.

Three kinds cover all scores. A *ratio* divides sums over images (IoU, NLL, means over images). The
*worst* is a mean over the lowest share of the images. *Bins* are gaps between two sums per bin
(calibration errors). Each also says what one image adds to the score (its influence function),
from which the block length is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segbench.comparison.entrants import influence, resampled_scores, scores_of
from segbench.comparison.resampling import Plan
from segbench.metrics.calibration import calibration_error
from segbench.metrics.fine_grained import number_of_worst

Sampler = Callable[[np.ndarray], np.ndarray]
PREFIX = 4  # how many times the worst are looked at first; more only where weights ask for it


class Scoring(Protocol):
    """Arrays of counts are `[S, N, ...]`; scores `[..., K + 1]`, the last one the mean."""

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest possible score."""

    @property
    def is_biased(self) -> bool:
        """Whether few images give another score than many; then intervals are approximate."""

    def observed(self, counts: np.ndarray, absent: str) -> np.ndarray:
        """The scores of every run `[S, K + 1]`."""

    def influence(self, counts: np.ndarray) -> np.ndarray:
        """What each image adds to the mean score, `[S, N]`."""

    def sizes(self, counts: np.ndarray) -> np.ndarray | None:
        """The pixels that each image brings into the sums, `[N]`; None where all count the same."""

    def sampler(self, plan: Plan, counts: np.ndarray, absent: str) -> Sampler:
        """A function from weights of the positions `[R, P]` to scores `[R, S, K + 1]`."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over images; counts `[S, N, 3, K]`, see `entrants.Entrant`."""

    limits: tuple[float, float] = (0.0, 1.0)
    is_biased: bool = False

    def observed(self, counts: np.ndarray, absent: str) -> np.ndarray:
        """See `Scoring`."""
        return scores_of(counts.sum(axis=1), absent)

    def influence(self, counts: np.ndarray) -> np.ndarray:
        """See `Scoring`."""
        return influence(counts)

    def sizes(self, counts: np.ndarray) -> np.ndarray | None:
        """See `Scoring`."""
        return counts[0, :, 2].sum(axis=-1)

    def sampler(self, plan: Plan, counts: np.ndarray, absent: str) -> Sampler:
        """See `Scoring`; one matrix product for all runs."""
        labeled = counts[0, :, 2].sum(axis=0) > 0
        shared = bool((counts[1:, :, 2] == counts[:1, :, 2]).all())
        gathered = plan.gather(counts[:, :, :2].swapaxes(0, 1)).astype(np.float64)
        truth = plan.gather(counts[: 1 if shared else None, :, 2].swapaxes(0, 1))
        truth = truth.astype(np.float64)
        return lambda weights: resampled_scores(gathered, truth, weights, absent, labeled)


@dataclass(frozen=True)
class Worst:
    """The mean of the worst images of each column; values `[S, N, K]`, NaN where there is none.

    Args:
        percent: how many of the images, see `metrics.fine_grained`.
    """

    percent: float
    limits: tuple[float, float] = (0.0, 1.0)
    is_biased: bool = True

    def observed(self, counts: np.ndarray, absent: str) -> np.ndarray:
        """See `Scoring`."""
        return self._scores(counts, np.ones((1, counts.shape[1])))[0]

    def influence(self, counts: np.ndarray) -> np.ndarray:
        """See `Scoring`: only images below the threshold of the worst move their mean."""
        found = np.zeros(counts.shape[:2])
        for run, values in enumerate(counts):
            columns = [column for column in values.T if not np.isnan(column).all()]
            for column in columns:
                known = ~np.isnan(column)
                worst = number_of_worst(int(known.sum()), self.percent)
                capped = np.minimum(column[known], np.sort(column[known])[worst - 1])
                found[run, known] += (capped - capped.mean()) / worst / len(columns)
        return found

    def sizes(self, counts: np.ndarray) -> np.ndarray | None:
        """See `Scoring`."""
        return None

    def sampler(self, plan: Plan, counts: np.ndarray, absent: str) -> Sampler:
        """See `Scoring`."""
        return lambda weights: self._scores(counts, weights[:, plan.position])

    def _scores(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Scores `[R, S, K + 1]` of images that count `weights` `[R, N]` times."""
        runs, _, columns = values.shape
        out = np.full((len(weights), runs, columns), np.nan)
        for run in range(runs):
            for column in range(columns):
                out[:, run, column] = self._column(values[run, :, column], weights)
        number = (~np.isnan(out)).sum(axis=-1, keepdims=True)
        mean = np.nan_to_num(out).sum(axis=-1, keepdims=True) / np.maximum(number, 1)
        return np.concatenate([out, np.where(number > 0, mean, np.nan)], axis=-1)

    def _column(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        order = np.argsort(values, kind="stable")[: int((~np.isnan(values)).sum())]
        if not len(order):
            return np.full(len(weights), np.nan)
        worst = number_of_worst(len(order), self.percent)
        total = weights[:, order].sum(axis=1)
        wanted = total * worst / len(order)
        first = order[: PREFIX * worst + 20]
        taken = _taken(weights[:, first], wanted)
        if not (taken.sum(axis=1) >= wanted * (1 - 1e-9)).all():
            first, taken = order, _taken(weights[:, order], wanted)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(wanted > 0, taken @ values[first] / wanted, np.nan)


def _taken(weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How much of each image is among the first `wanted` `[R]` of the weights `[R, K]`."""
    before = np.cumsum(weights, axis=1) - weights
    return np.clip(wanted[:, None] - before, 0, weights)


@dataclass(frozen=True)
class Bins:
    """The gap between right ones and confidences, over bins; counts `[S, N, K, B, 3]`.

    The last axis is pixels, right ones, sum of confidences (`metrics.calibration`).
    """

    limits: tuple[float, float] = (0.0, 1.0)
    is_biased: bool = False

    def observed(self, counts: np.ndarray, absent: str) -> np.ndarray:
        """See `Scoring`."""
        return _gaps(counts.sum(axis=1))

    def influence(self, counts: np.ndarray) -> np.ndarray:
        """See `Scoring`."""
        total = counts.sum(axis=1, keepdims=True)
        sign = np.sign(total[..., 1] - total[..., 2])
        pixels = np.maximum(total[..., 0].sum(axis=-1), 1)
        gap = (sign * (counts[..., 1] - counts[..., 2])).sum(axis=-1)
        error = _gaps(total)[..., :-1]
        return np.nan_to_num((gap - error * counts[..., 0].sum(axis=-1)) / pixels).mean(axis=-1)

    def sizes(self, counts: np.ndarray) -> np.ndarray | None:
        """See `Scoring`."""
        return counts[0, ..., 0].sum(axis=(1, 2))

    def sampler(self, plan: Plan, counts: np.ndarray, absent: str) -> Sampler:
        """See `Scoring`."""
        gathered = plan.gather(counts.swapaxes(0, 1)).astype(np.float64)
        shape = gathered.shape[1:]
        flat = gathered.reshape(len(gathered), -1)
        return lambda weights: _gaps((weights @ flat).reshape(len(weights), *shape))


def _gaps(summed: np.ndarray) -> np.ndarray:
    """Calibration error of each column and their mean, `[..., K, B, 3]` to `[..., K + 1]`."""
    errors = calibration_error(summed)
    return np.concatenate([errors, errors.mean(axis=-1, keepdims=True)], axis=-1)
