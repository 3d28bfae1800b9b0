"""The mIoU on corrupted images as a score: by corruption, the drop against clean images, the mean.

Each corruption at each severity has an mIoU of its own; a corruption is the mean over its
severities, and the score the mean over corruptions, as `segbench.evaluate` reports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segbench.comparison.entrants import influence
from segbench.comparison.resampling import Plan
from segbench.comparison.runs import Run
from segbench.comparison.scoring import Sampler
from segbench.metrics.robustness import CORRUPTED
from segbench.metrics.scores import mean_over_classes, overlap


@dataclass(frozen=True)
class Corrupted:
    """Counts are `[S, N, 2, A + 1, B, C]`: hits and unions of A corruptions and of clean images.

    The columns of its scores are the A corruptions, the drop (clean minus mean), and the mean.
    """

    limits: tuple[float, float] = (0.0, 1.0)
    is_biased: bool = False

    def observed(self, counts: np.ndarray, absent: str) -> np.ndarray:
        """See `scoring.Scoring`."""
        return _columns(counts.sum(axis=1), absent)

    def influence(self, counts: np.ndarray) -> np.ndarray:
        """See `scoring.Scoring`."""
        parts = np.moveaxis(counts[:, :, :, :-1], (3, 4), (0, 1))  # [A, B, S, N, 2, C]
        return np.mean([influence(part) for row in parts for part in row], axis=0)

    def sizes(self, counts: np.ndarray) -> np.ndarray | None:
        """See `scoring.Scoring`: those of the clean images."""
        return counts[0, :, 1, -1, 0].sum(axis=-1)

    def sampler(self, plan: Plan, counts: np.ndarray, absent: str) -> Sampler:
        """See `scoring.Scoring`; one matrix product for all runs."""
        gathered = plan.gather(counts.swapaxes(0, 1)).astype(np.float64)
        shape = gathered.shape[1:]
        flat = gathered.reshape(len(gathered), -1)
        return lambda weights: _columns((weights @ flat).reshape(len(weights), *shape), absent)


def _columns(summed: np.ndarray, absent: str) -> np.ndarray:
    """Summed counts `[..., 2, A + 1, B, C]` to scores `[..., A + 2]`."""
    hits, unions = np.moveaxis(summed, -4, 0)
    scores = mean_over_classes(overlap(hits, unions), absent).mean(axis=-1)
    mean = scores[..., :-1].mean(axis=-1)
    return np.concatenate(
        [scores[..., :-1], (scores[..., -1] - mean)[..., None], mean[..., None]], axis=-1
    )


def corrupted_counts(run: Run) -> np.ndarray | None:
    """The counts of one run, float64 `[N, 2, A + 1, B, C]`; None if there are none.

    That they are those of the listed corruptions is checked as a run is read.
    """
    found = run.images.counts_of(CORRUPTED)
    if found is None or not run.scores.corrupted:
        return None
    corruptions, severities = names_of(run.scores.corrupted)
    clean = run.images.counts
    images, classes = len(clean), clean.shape[-1]
    shape = (images, 2, len(corruptions), len(severities), classes)
    hits, labeled, predicted = np.moveaxis(clean.astype(np.int64), 1, 0)
    of_clean = np.stack([hits, labeled + predicted - hits], axis=1)[:, :, None, None]
    of_clean = np.broadcast_to(of_clean, (images, 2, 1, len(severities), classes))
    return np.concatenate([found.reshape(shape), of_clean], axis=2)


def names_of(scored: Mapping[str, Mapping[str, float | None]]) -> tuple[list[str], list[str]]:
    """The corruptions, and the severities, which all of them share."""
    return list(scored), list(next(iter(scored.values())))
