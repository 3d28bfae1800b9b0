"""Is a model as good as the baseline? Non-inferiority and equivalence within a margin.

"Not distinguishable" proves nothing: too few runs do that to any two models. A margin, fixed before
the first run, says which loss would not matter, and two one-sided tests (TOST) say whether the runs
exclude a larger one:

    not worse than by the margin    the difference is above -margin
    equivalent                      and below +margin too

Value, variance and degrees of freedom are those of the two-sided tests, so a difference that is
*better* there is better here. Each one-sided test is at the level of the comparison (0.05 at a
confidence of 0.95, as the 90% interval of TOST), corrected by Holm over the models. A model can be
measurably worse and still equivalent: the loss is real, and smaller than what was called relevant.

Sources: Schuirmann 1987 (TOST); Lakens 2017; Piaggio et al., JAMA 2012 (CONSORT: non-inferiority,
margins fixed in advance); Morikawa & Yoshida 1995 (non-inferiority, then superiority, without a
further correction).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from segbench.comparison.statistics import Estimate, Resampled, holm
from segbench.comparison.verdicts import (
    BETTER,
    ONE_SEED,
    WORSE,
    Pair,
    images_needed,
    seeds_needed,
)

EQUIVALENT, NOT_WORSE, UNDECIDED = "equivalent", "not worse than by the margin", "undecided"


@dataclass(frozen=True)
class MarginTest:
    """A model against the baseline.

    Args:
        model, baseline: positions among the entrants.
        estimate: the difference model - baseline.
        verdict: better, equivalent, not worse than by the margin, worse, undecided, or no verdict.
        is_worse: whether the two-sided test finds the model worse, however little.
        p_not_worse, p_equivalent: p values of the one-sided test and of both, corrected by Holm
            over the models.
        bounds: of the difference, each one-sided at the level of the tests (the 90% interval at a
            confidence of 0.95): a loss below the lower one is excluded.
        seeds_needed, images_needed: runs of each model, and images, that would show with 80% power
            that the model is not worse than by the margin, were the difference the observed one;
            None if there are not enough (see `verdicts.Pair`), or the observed loss reaches the
            margin.
        has_power: whether there are enough seeds to say so.
    """

    model: int
    baseline: int
    estimate: Estimate
    verdict: str
    is_worse: bool
    p_not_worse: float
    p_equivalent: float
    bounds: tuple[float, float]
    seeds_needed: int | None
    images_needed: int | None
    has_power: bool


def margin_tests(
    drawn: Resampled,
    pairs: Sequence[Pair],
    baseline: int,
    margin: float,
    confidence: float = 0.95,
) -> list[MarginTest]:
    """Tests every other model against the baseline, in the order of the pairs.

    Args:
        drawn: the models, resampled.
        pairs: all pairs of them, with their verdicts.
        baseline: position of the baseline.
        margin: the largest loss that does not matter, a fraction above 0.
        confidence: 1 - confidence is the level of each one-sided test.
    """
    level = 1 - confidence
    against = [pair for pair in pairs if baseline in (pair.a, pair.b)]
    others = [pair.b if pair.a == baseline else pair.a for pair in against]
    estimates = [drawn.difference(model, baseline) for model in others]
    tested = [one_sided(estimate, margin) for estimate in estimates]
    lower = holm([p for p, _ in tested])
    both = holm([max(p) for p in tested])
    found = []
    for pair, model, estimate, p_lower, p_both in zip(
        against, others, estimates, lower, both, strict=True
    ):
        found.append(
            MarginTest(
                model=model,
                baseline=baseline,
                estimate=estimate,
                verdict=_verdict(pair, model, p_lower < level, p_both < level),
                is_worse=_two_sided(pair, model) == WORSE,
                p_not_worse=float(p_lower),
                p_equivalent=float(p_both),
                bounds=_bounds(estimate, level),
                seeds_needed=_needed(seeds_needed, drawn, pair, model, margin, level),
                images_needed=_needed(images_needed, drawn, pair, model, margin, level),
                has_power=pair.has_power,
            )
        )
    return found


def one_sided(estimate: Estimate, margin: float) -> tuple[float, float]:
    """P values of two hypotheses on the mean: it is at most -margin; it is at least +margin.

    Both small: the difference lies within the margin.
    """
    value, error, dof = estimate.center[-1], estimate.error[-1], estimate.dof[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        lower, upper = np.divide(value + margin, error), np.divide(value - margin, error)
    return float(student_t.sf(lower, dof)), float(student_t.cdf(upper, dof))


def _needed(
    number: Callable[..., int | None],
    drawn: Resampled,
    pair: Pair,
    model: int,
    margin: float,
    level: float,
) -> int | None:
    other = pair.b if pair.a == model else pair.a
    return number(drawn, model, other, 2 * level, margin) if pair.has_power else None


def _bounds(estimate: Estimate, level: float) -> tuple[float, float]:
    reach = student_t.ppf(1 - level, estimate.dof[-1]) * estimate.error[-1]
    low, high = estimate.limits
    value = estimate.center[-1]
    return max(low, float(value - reach)), min(high, float(value + reach))


def _two_sided(pair: Pair, model: int) -> str:
    """The verdict of the two-sided test, said of `model`."""
    turned = {BETTER: WORSE, WORSE: BETTER}
    return pair.verdict if pair.a == model else turned.get(pair.verdict, pair.verdict)


def _verdict(pair: Pair, model: int, is_not_worse: bool, is_equivalent: bool) -> str:
    two_sided = _two_sided(pair, model)
    if two_sided in (ONE_SEED, BETTER):
        return two_sided
    if is_equivalent:
        return EQUIVALENT
    if is_not_worse:
        return NOT_WORSE
    return WORSE if two_sided == WORSE else UNDECIDED
