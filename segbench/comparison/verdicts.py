"""From estimates to words: pairs with corrected p values, verdicts, ranks, and what is missing.

A verdict needs at least two seeds of both models, and a p value that stays below the level after
Holm's correction over all pairs of the comparison. Everything else is "not distinguishable", and a
power estimate says how many more seeds or images the observed difference would take.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from segbench.comparison.statistics import Estimate, Sample, holm

BETTER, WORSE = "better", "worse"
UNCLEAR, ONE_SEED = "not distinguishable", "one seed: no verdict"
POWER = 0.8
MOST_SEEDS, MOST_IMAGES_FACTOR = 100, 100.0


@dataclass(frozen=True)
class Pair:
    """Model `a` against model `b`.

    Args:
        a, b: positions of the models in the sample.
        estimate: the difference a - b, per class and for the mIoU.
        p, p_holm: p value of the mIoU difference, alone and corrected over all pairs.
        verdict: what is said of `a`: better, worse, not distinguishable, or no verdict.
        effect: the difference in standard deviations over seeds (Cohen's d); NaN for one seed.
        improvement: the chance that a run of `a` beats a run of `b`: estimate, lower, upper.
        class_p_holm: float64 `[C]`; p values of the classes, corrected over the classes that
            both models have a score for; NaN for the others.
        seeds_needed: runs of each model, and images_needed: images of the same kind, that would
            show the observed difference with 80% power; None if not even very many would.
    """

    a: int
    b: int
    estimate: Estimate
    p: float
    p_holm: float
    verdict: str
    effect: float
    improvement: tuple[float, float, float]
    class_p_holm: np.ndarray
    seeds_needed: int | None
    images_needed: int | None


def pairs(sample: Sample, confidence: float = 0.95) -> list[Pair]:
    """Compares every model with every other, the one with the higher mean first."""
    order = np.argsort([-sample.model(i).value[-1] for i in range(len(sample.entrants))])
    found = [(int(a), int(b), sample.difference(a, b)) for a, b in combinations(order, 2)]
    corrected = holm([float(estimate.p_value()[-1]) for _, _, estimate in found])
    return [
        _pair(sample, a, b, estimate, float(p_holm), 1 - confidence)
        for (a, b, estimate), p_holm in zip(found, corrected, strict=True)
    ]


def _pair(sample: Sample, a: int, b: int, estimate: Estimate, p_holm: float, level: float) -> Pair:
    p = estimate.p_value()
    spread = np.sqrt((sample.seed_sd(a)[-1] ** 2 + sample.seed_sd(b)[-1] ** 2) / 2)
    few = min(len(sample.entrants[a].seeds), len(sample.entrants[b].seeds)) < 2
    if few:
        verdict = ONE_SEED
    elif p_holm < level:
        verdict = BETTER if estimate.value[-1] > 0 else WORSE
    else:
        verdict = UNCLEAR
    return Pair(
        a=a,
        b=b,
        estimate=estimate,
        p=float(p[-1]),
        p_holm=p_holm,
        verdict=verdict,
        effect=float(estimate.value[-1] / spread) if spread > 0 else float("nan"),
        improvement=_improvement(sample, a, b, level),
        class_p_holm=holm(p[:-1]),
        seeds_needed=None if few else seeds_needed(sample, a, b, level),
        images_needed=None if few else images_needed(sample, a, b, level),
    )


def _improvement(sample: Sample, a: int, b: int, level: float) -> tuple[float, float, float]:
    """Probability of improvement over pairs of runs (rliable), with a bootstrap interval."""
    rng = np.random.default_rng(0)
    observed = _wins(sample.scores[a][None, :, -1], sample.scores[b][None, :, -1])
    redrawn = _wins(
        _redraw(sample.runs[a], rng, len(sample.scores[a])),
        _redraw(sample.runs[b], rng, len(sample.scores[b])),
    )
    low, high = np.quantile(redrawn, [level / 2, 1 - level / 2])
    return float(observed[0]), float(low), float(high)


def _wins(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ahead = a[:, :, None] - b[:, None, :]
    return ((ahead > 0) + 0.5 * (ahead == 0)).mean(axis=(1, 2))


def _redraw(runs: np.ndarray, rng: np.random.Generator, number: int) -> np.ndarray:
    """`number` seeds with replacement, anew in each replicate: `[R, S]` to `[R, number]`."""
    return np.take_along_axis(runs, rng.integers(runs.shape[1], size=(len(runs), number)), axis=1)


def ranks(sample: Sample) -> np.ndarray:
    """How often each model takes each place when seeds and images are redrawn.

    One seed less than there are is drawn, which keeps the variance of their mean unbiased (see
    `resampling`); a single seed stays as it is, so its rank looks more stable than it is.

    Returns:
        float64 `[M, M]`; row = model, column = place (0 = best); rows sum to one.
    """
    rng = np.random.default_rng(0)
    means = [_redraw(runs, rng, max(1, runs.shape[1] - 1)).mean(axis=1) for runs in sample.runs]
    place = np.argsort(np.argsort(-np.stack(means, axis=1), axis=1), axis=1)
    return np.stack([(place == rank).mean(axis=0) for rank in range(len(means))], axis=1)


def seeds_needed(sample: Sample, a: int, b: int, level: float = 0.05) -> int | None:
    """Runs of each model that would show the observed difference on the same images."""
    estimate = sample.difference(a, b)
    variance = [sample.seed_sd(i)[-1] ** 2 for i in (a, b)]
    for number in range(2, MOST_SEEDS + 1):
        parts = [(v / number, number - 1.0) for v in variance]
        parts.append((float(estimate.image_var[-1]), float(sample.plan.dof)))
        if _shows(float(estimate.value[-1]), parts, level):
            return number
    return None


def images_needed(sample: Sample, a: int, b: int, level: float = 0.05) -> int | None:
    """Images of the same kind that would show the observed difference with the same runs."""
    estimate = sample.difference(a, b)
    images = sample.entrants[a].counts.shape[1]
    runs = {i: len(sample.entrants[i].seeds) for i in (a, b)}
    for factor in np.geomspace(1.0, MOST_IMAGES_FACTOR, 200):
        parts = [(float(estimate.image_var[-1]) / factor, sample.plan.dof * factor)]
        for i, number in runs.items():
            noise = float(sample.noise[i, -1])
            pure = max(0.0, float(sample.seed_sd(i)[-1] ** 2) - noise)
            parts.append(((pure + noise / factor) / number, number - 1.0))
        if _shows(float(estimate.value[-1]), parts, level):
            return int(np.ceil(images * factor))
    return None


def _shows(difference: float, parts: list[tuple[float, float]], level: float) -> bool:
    """Whether a t test with these (variance, degrees of freedom) parts has the wanted power."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return difference != 0
    dof = total**2 / sum(variance**2 / dof for variance, dof in parts)
    reach = float(stdtrit(dof, 1 - level / 2) + stdtrit(dof, POWER))
    return abs(difference) >= reach * total**0.5
