"""Is one model better than another? Intervals, tests and verdicts from per-image counts.

Two things vary if the experiment is repeated: the seed (initial weights, order, augmentation) and
the images. Both variances are estimated, reported separately and added:

    variance of a model's mean score = S^2 / n  +  V

S^2 is the variance over the n seeds on the given images; V is the variance over resampled images of
the seed-averaged score, from a hierarchical bootstrap in which all seeds and all models use the
same resampled blocks (so that the comparison is paired). S^2 / n already contains the part of the
image noise that differs from seed to seed, so that part, which the same bootstrap measures, is
subtracted from V. For a difference of two models both seed terms add up, and V is that of the
difference. Seeds of two models are independent runs, even if they have the same number.

A mean over the worst images is also biased: few images lack the worst that many would have. The
bootstrap shows how much (Efron & Tibshirani 1993, ch. 10): intervals and tests are around the value
without that bias, whose square, for the bias is itself uncertain, is added to V. Even so they are
approximate. Only the few units that contain the worst images matter, and a sample that lacks the
worst has both too high a score and too small a variance, which no resampling of it can show.

Intervals are Student's t with Welch-Satterthwaite degrees of freedom. Resampling three or five
seeds instead would make them too narrow by sqrt((n - 1) / n) and ignore that a variance from five
numbers is itself uncertain. The resampled seeds are used where a whole distribution is needed:
ranks and the probability of improvement.

Sources: Bouthillier et al., MLSys 2021 (vary every source; probability of outperforming);
Davison & Hinkley 1997, ch. 3 (hierarchical data); Field & Welsh, JRSS-B 2007 (bootstrapping
clustered data); Satterthwaite 1946, Welch 1947; Holm 1979; Agarwal et al., NeurIPS 2021 (rliable:
intervals over few runs); Isensee et al., MICCAI 2024 (nnU-Net Revisited: why it is needed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import t as student_t

from segbench.comparison import resampling
from segbench.comparison.content import Summary
from segbench.comparison.entrants import Entrant, check_same_images
from segbench.comparison.scoring import Ratio

CHUNK_BYTES = 16 << 20
ROUNDING = 1e-12  # scores that differ by less are the same


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of two, with its estimated error. Arrays `[C + 1]`.

    The last element is the mean over classes, the others are the classes.

    Args:
        value: the score or difference, a fraction.
        seed_var, image_var: variances of `value` (of the mean over seeds, not of one run).
        bias: what few images add to `value` on average, as far as it is known.
        dof: degrees of freedom of its error.
        limits: the minimum and maximum possible value: 0 and 1, for a difference -1 and 1.
    """

    value: np.ndarray
    seed_var: np.ndarray
    image_var: np.ndarray
    dof: np.ndarray
    limits: tuple[float, float] = (0.0, 1.0)
    bias: np.ndarray | float = 0.0

    @property
    def center(self) -> np.ndarray:
        """`value` without its bias: what intervals and tests are around."""
        return self.value - self.bias

    @property
    def error(self) -> np.ndarray:
        """Standard error of `value`."""
        return np.sqrt(self.seed_var + self.image_var)

    def interval(self, confidence: float = 0.95) -> np.ndarray:
        """Lower and upper bound, float64 `[C + 1, 2]`, within the possible values.

        NaN if all possible values are inside, as with two very different seeds, which carry no
        information.
        """
        reach = student_t.ppf(0.5 + confidence / 2, self.dof) * self.error
        low, high = self.limits
        bounds = np.stack([self.center - reach, self.center + reach], axis=-1)
        useless = (bounds[..., 0] <= low) & (bounds[..., 1] >= high) & (reach > 0)
        return np.where(useless[..., None], np.nan, np.clip(bounds, low, high))

    def summary(self, column: int, confidence: float) -> Summary:
        """One column in plain values: the value, its interval and the parts of its error."""
        return {
            "value": self.value[column],
            "interval": self.interval(confidence)[column],
            "seed_se": np.sqrt(self.seed_var[column]),
            "image_se": np.sqrt(self.image_var[column]),
            "dof": self.dof[column],
        }

    def p_value(self) -> np.ndarray:
        """Two-sided p values of the hypothesis that `value` is zero.

        Returns:
            float64 `[C + 1]`; NaN if `value` or `error` is, for a class that does not occur; 1
            where the value is no more than rounding.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.abs(self.center) / self.error
        p = 2 * student_t.sf(t, self.dof)
        is_rounding = (np.abs(self.center) < ROUNDING) & (self.error < ROUNDING)
        return np.where(is_rounding, 1.0, p)


@dataclass(frozen=True)
class Resampled:
    """The scores of all runs, as observed and on resampled images.

    Args:
        entrants: the models.
        plan: how the images were resampled.
        scores: per entrant float64 `[S, C + 1]`, as observed.
        means: float64 `[R, M, C + 1]`; seed-averaged scores on each resampled image set.
        runs: per entrant float64 `[R, S]`; mean score of each run on each resampled image set.
        noise: float64 `[M, C + 1]`; the variance over images of one seed's contribution to its
            model's mean (0 for a single seed, where it cannot be separated).
    """

    entrants: tuple[Entrant, ...]
    plan: resampling.Plan
    scores: tuple[np.ndarray, ...]
    means: np.ndarray
    runs: tuple[np.ndarray, ...]
    noise: np.ndarray

    def model(self, index: int) -> Estimate:
        """The mean score of one model."""
        return self._estimate(((index, 1),))

    def difference(self, a: int, b: int) -> Estimate:
        """Score of model `a` minus score of model `b`, on the same images."""
        return self._estimate(((a, 1), (b, -1)))

    def seed_sd(self, index: int) -> np.ndarray:
        """Standard deviation over seeds `[C + 1]`; NaN for a single seed."""
        scores = self.scores[index]
        if len(scores) < 2:
            return np.full(scores.shape[1], np.nan)
        return scores.std(axis=0, ddof=1)

    def _estimate(self, terms: Sequence[tuple[int, int]]) -> Estimate:
        value = np.sum([sign * _nan_mean(self.scores[i]) for i, sign in terms], axis=0)
        draws = np.sum([sign * self.means[:, i] for i, sign in terms], axis=0)
        number = {i: len(self.scores[i]) for i, _ in terms}
        parts = {i: np.nan_to_num(self.seed_sd(i)) ** 2 / number[i] for i, _ in terms}
        twice = sum(self.noise[i] / number[i] for i, _ in terms)
        images = self.plan.correction * np.maximum(_nan_var(draws) - twice, 0.0)
        scoring = self.entrants[0].scoring or Ratio()
        bias = _nan_mean(draws) - value if scoring.is_biased else np.zeros_like(value)
        images = images + bias**2
        seeds = sum(parts.values())
        weight = images**2 / self.plan.dof
        for i, part in parts.items():
            weight = weight + part**2 / max(number[i] - 1, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            dof = np.where(weight > 0, (seeds + images) ** 2 / weight, np.inf)
        low, high = scoring.limits
        limits = (low, high) if len(terms) == 1 else (low - high, high - low)
        return Estimate(value, np.asarray(seeds), images, np.maximum(dof, 1.0), limits, bias)


def resample(
    entrants: Sequence[Entrant],
    groups: Sequence[str],
    *,
    unit: resampling.Unit = "auto",
    block_length: int | None = None,
    replicates: int = 10_000,
    absent: str = "exclude",
    seed: int = 0,
) -> Resampled:
    """Resamples the images once, for all runs of all models together.

    Args:
        entrants: at least one, all counted on the same images in the same order.
        groups: the group (drive, city, patient) of each image; time runs within a group.
        unit: unit of resampling (see `resampling`).
        block_length: images per block; None = chosen from the data.
        replicates: number of resampled image sets.
        absent: how a class in neither mask nor pred counts (see `scores_of`).
        seed: seed of the resampling: the same input gives the same numbers.

    Raises:
        ValueError: the entrants do not match, or there are too few images.
    """
    check_same_images(entrants)
    bounds = np.cumsum([0, *(len(entrant.seeds) for entrant in entrants)])
    parts = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
    counts = np.concatenate([entrant.counts for entrant in entrants])
    scoring = entrants[0].scoring or Ratio()
    observed = scoring.observed(counts, absent)
    series = np.stack([scoring.influence(entrant.counts).mean(axis=0) for entrant in entrants])
    plan = resampling.plan(groups, series, unit, block_length, scoring.sizes(counts))
    sample = scoring.sampler(plan, counts, absent)

    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_BYTES // (8 * max(counts[:, 0].size, counts.shape[1])))
    means = np.empty((replicates, len(parts), observed.shape[1]))
    runs = np.empty((replicates, len(counts)))
    deviation = np.zeros((2, *observed.shape))
    for start in range(0, replicates, chunk):
        weights = plan.weights(min(chunk, replicates - start), rng)
        scores = sample(weights)
        rows = slice(start, start + len(weights))
        runs[rows] = scores[..., -1]
        for model, part in enumerate(parts):
            means[rows, model] = _nan_mean(scores[:, part], axis=1)
            center = _nan_mean(observed[part])
            off = scores[:, part] - means[rows, model][:, None] - (observed[part] - center)
            deviation[0, part] += np.nan_to_num(off**2).sum(axis=0)
            deviation[1, part] += (~np.isnan(off)).sum(axis=0)
    spread = deviation[0] / np.maximum(deviation[1], 1)
    return Resampled(
        entrants=tuple(entrants),
        plan=plan,
        scores=tuple(observed[part] for part in parts),
        means=means,
        runs=tuple(runs[:, part] for part in parts),
        noise=np.stack([_unbiased(spread[part]) for part in parts]),
    )


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down correction (1979): adjusted p values in the given order, NaN kept."""
    p = np.asarray(p_values, float)
    out = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    scaled = p[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def _unbiased(spread: np.ndarray) -> np.ndarray:
    """Mean over seeds `[S, K]` of the squared deviation from their mean, made unbiased."""
    return spread.sum(axis=0) / max(len(spread) - 1, 1)


def _nan_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    number = (~np.isnan(values)).sum(axis=axis)
    total = np.nan_to_num(values).sum(axis=axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _nan_var(values: np.ndarray) -> np.ndarray:
    centered = values - _nan_mean(values)
    number = (~np.isnan(values)).sum(axis=0)
    total = np.nan_to_num(centered**2).sum(axis=0)
    return np.where(number > 1, total / np.maximum(number - 1, 1), np.nan)
