"""From estimates to verdicts: corrected p values, ranks, and the power of the comparison.

A verdict requires at least two seeds of both models, and a p value below the level after Holm's
correction over all pairs of the comparison. Otherwise it is "not distinguishable", and a power
estimate says how many more seeds or images the observed difference would need. That requires four
seeds of both models: with fewer, the variance over seeds is not known well enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import t as student_t

from segbench.comparison.statistics import Estimate, Resampled, holm

BETTER, WORSE = "better", "worse"
UNCLEAR, ONE_SEED = "not distinguishable", "one seed: no verdict"
POWER = 0.8
SEEDS_FOR_POWER = 4
MOST_SEEDS, MOST_IMAGES_FACTOR = 100, 100.0


@dataclass(frozen=True)
class Pair:
    """Model `a` against model `b`.

    Args:
        a, b: positions of the models among the entrants.
        estimate: the difference a - b, per class and for the mean.
        p, p_holm: p value of the difference of the means, alone and corrected over all pairs.
        verdict: the verdict on `a`: better, worse, not distinguishable, or no verdict.
        effect: the difference in standard deviations over seeds (Cohen's d); NaN for one seed.
        improvement: probability that a run of `a` beats a run of `b`: estimate, lower, upper; NaN
            if a model has one seed, which tells nothing about a new run.
        class_p_holm: float64 `[C]`; p values of the classes, corrected over the classes for which
            both models have a score; NaN for the others.
        seeds_needed: runs of each model, and images_needed: images of the same kind, that would
            show the observed difference with 80% power; None if more than `MOST_SEEDS`, or
            `MOST_IMAGES_FACTOR` times as many images; also None if `has_power` is false.
        has_power: whether there are enough seeds for these estimates.
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
    has_power: bool


def pairs(drawn: Resampled, confidence: float = 0.95) -> list[Pair]:
    """Compares every model with every other, the one with the higher mean first."""
    order = np.argsort([-drawn.model(i).value[-1] for i in range(len(drawn.entrants))])
    found = [(int(a), int(b), drawn.difference(a, b)) for a, b in combinations(order, 2)]
    corrected = holm([float(estimate.p_value()[-1]) for _, _, estimate in found])
    return [
        _pair(drawn, a, b, estimate, float(p_holm), 1 - confidence)
        for (a, b, estimate), p_holm in zip(found, corrected, strict=True)
    ]


def _pair(
    drawn: Resampled, a: int, b: int, estimate: Estimate, p_holm: float, level: float
) -> Pair:
    p = estimate.p_value()
    spread = np.sqrt((drawn.seed_sd(a)[-1] ** 2 + drawn.seed_sd(b)[-1] ** 2) / 2)
    fewest = min(len(drawn.entrants[a].seeds), len(drawn.entrants[b].seeds))
    has_power = fewest >= SEEDS_FOR_POWER
    if fewest < 2:
        verdict = ONE_SEED
    elif p_holm < level:
        verdict = BETTER if estimate.center[-1] > 0 else WORSE
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
        improvement=_improvement(drawn, a, b, level) if fewest > 1 else (float("nan"),) * 3,
        class_p_holm=holm(p[:-1]),
        seeds_needed=seeds_needed(drawn, a, b, level) if has_power else None,
        images_needed=images_needed(drawn, a, b, level) if has_power else None,
        has_power=has_power,
    )


def _improvement(drawn: Resampled, a: int, b: int, level: float) -> tuple[float, float, float]:
    """Probability of improvement over pairs of runs (rliable), with a bootstrap interval."""
    rng = np.random.default_rng(0)
    observed = wins(drawn.scores[a][None, :, -1], drawn.scores[b][None, :, -1])
    redrawn = wins(
        redraw(drawn.runs[a], rng, len(drawn.scores[a])),
        redraw(drawn.runs[b], rng, len(drawn.scores[b])),
    )
    low, high = np.quantile(redrawn, [level / 2, 1 - level / 2])
    return float(observed[0]), float(low), float(high)


def wins(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Share of the pairs of runs that `a` wins, ties half: `[R, S]` and `[R, T]` to `[R]`."""
    ahead = a[:, :, None] - b[:, None, :]
    return ((ahead > 0) + 0.5 * (ahead == 0)).mean(axis=(1, 2))


def redraw(runs: np.ndarray, rng: np.random.Generator, number: int) -> np.ndarray:
    """`number` seeds with replacement, drawn again in each replicate: `[R, S]` to `[R, number]`."""
    return np.take_along_axis(runs, rng.integers(runs.shape[1], size=(len(runs), number)), axis=1)


def ranks(drawn: Resampled) -> np.ndarray:
    """How often each model takes each rank when seeds and images are resampled; ties share ranks.

    One seed less than available is drawn, which keeps the variance of their mean unbiased (see
    `resampling`); a single seed is kept as it is, so its rank looks more stable than it is.

    Returns:
        float64 `[M, M]`; row = model, column = rank (0 = best); rows sum to one.
    """
    rng = np.random.default_rng(0)
    means = [redraw(runs, rng, max(1, runs.shape[1] - 1)).mean(axis=1) for runs in drawn.runs]
    mean = np.stack(means, axis=1)
    first = (mean[:, None, :] > mean[:, :, None]).sum(axis=2)  # the best rank of each model
    alike = (mean[:, None, :] == mean[:, :, None]).sum(axis=2)  # models that share its ranks
    at = [(first <= rank) & (rank < first + alike) for rank in range(len(means))]
    return np.stack([(share / alike).mean(axis=0) for share in at], axis=1)


def seeds_needed(
    drawn: Resampled, a: int, b: int, level: float = 0.05, margin: float = 0.0
) -> int | None:
    """Runs of each model that would show the observed difference on the same images.

    With a margin: that would show that a is above b - margin, by a one-sided test at level / 2.
    """
    estimate = drawn.difference(a, b)
    numbers = np.arange(2, MOST_SEEDS + 1)
    variances = [drawn.seed_sd(i)[-1] ** 2 / numbers for i in (a, b)]
    shown = _shows(
        _gap(estimate, margin),
        [*variances, np.full(len(numbers), estimate.image_var[-1])],
        [numbers - 1.0, numbers - 1.0, np.full(len(numbers), float(drawn.plan.dof))],
        level,
    )
    return int(numbers[shown.argmax()]) if shown.any() else None


def images_needed(
    drawn: Resampled, a: int, b: int, level: float = 0.05, margin: float = 0.0
) -> int | None:
    """Images of the same kind that would show it with the same runs; see `seeds_needed`."""
    estimate = drawn.difference(a, b)
    factors = np.geomspace(1.0, MOST_IMAGES_FACTOR, 200)
    variances, dofs = [estimate.image_var[-1] / factors], [drawn.plan.dof * factors]
    for i in (a, b):
        number = len(drawn.entrants[i].seeds)
        noise = float(drawn.noise[i, -1])
        pure = max(0.0, float(drawn.seed_sd(i)[-1] ** 2) - noise)
        variances.append((pure + noise / factors) / number)
        dofs.append(np.full(len(factors), number - 1.0))
    shown = _shows(_gap(estimate, margin), variances, dofs, level)
    images = drawn.entrants[a].counts.shape[1]
    return int(np.ceil(images * factors[shown.argmax()])) if shown.any() else None


def _gap(estimate: Estimate, margin: float) -> float:
    """What a test must show to differ from zero; 0 where the observed loss reaches the margin."""
    value = float(estimate.center[-1])
    return max(0.0, value + margin) if margin else value


def _shows(
    difference: float, variances: list[np.ndarray], dofs: list[np.ndarray], level: float
) -> np.ndarray:
    """Whether a t test with these parts of the variance has the required power, bool `[K]`."""
    parts = np.stack(variances)
    total = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        dof = total**2 / (parts**2 / np.stack(dofs)).sum(axis=0)
        reach = student_t.ppf(1 - level / 2, dof) + student_t.ppf(POWER, dof)
        return np.where(total > 0, abs(difference) >= reach * total**0.5, difference != 0)
