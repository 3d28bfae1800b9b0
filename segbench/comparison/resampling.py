"""Resampling of correlated images: the unit, the block length, and the resulting weights.

Neighboring frames of a drive are almost copies of each other, so resampling single frames would
overstate the evidence. The unit of resampling is therefore one of

- `block`: runs of neighboring frames within a group, wrapped at its end (the circular block
  bootstrap: Künsch 1989; Politis & Romano 1992). It generalizes to other moments of these groups.
- `group`: whole groups (the cluster bootstrap: Davison & Hinkley 1997, 3.8; Field & Welsh 2007).
  It generalizes to other groups, and needs many of them.
- `image`: single images, valid only if images are independent. Groups of one image each are
  treated as `image`.

`auto` uses `group` for at least `MIN_GROUPS` groups, otherwise `block`.

There are two corrections for few units. Of k units, k - 1 are drawn and weighted by k / (k - 1),
which makes the variance of a resampled mean unbiased (Rao & Wu 1988; plain resampling is too narrow
by the factor (k - 1) / k in every stratum). And the number of units gives the degrees of freedom,
so that the intervals use Student's t. Where a score pools the pixels of images of very different
sizes, a few images decide, and that number is Kish's effective one (1965): (sum w)^2 / sum w^2 of
the pixels w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Unit = Literal["auto", "image", "block", "group"]
UNITS = ("auto", "image", "block", "group")
MIN_GROUPS = 10
MIN_BLOCKS = 8
FEWEST_IMAGES = 64  # below it, blocks cannot be as long as the correlation needs (`caution`)
UNEVEN = 0.75  # below this share of effective units, a caution says so, if these are so few
LENGTHEN = 3
LARGEST_CORRECTION = 2.0
UNGROUPED = "Every image is its own group; if these are video frames, set data.group_regex."


@dataclass(frozen=True)
class Plan:
    """How the images are resampled.

    Args:
        unit: `image`, `block` or `group`.
        block_length: images per block (1 unless `unit` is `block`).
        position: int64 `[N]`; the position of each image in the resampled series. Images with the
            same position always stay together.
        strata: `(start, length, block)` of each stretch of positions that is resampled separately.
        note: for the reader: what was chosen and why.
        correction: factor for image variances, for what blocks of this length still miss.
        evenness: share of the units that counts, by their pixels: 1 if all are equally large.
    """

    unit: str
    block_length: int
    position: np.ndarray
    strata: tuple[tuple[int, int, int], ...]
    note: str
    correction: float = 1.0
    evenness: float = 1.0

    @property
    def caution(self) -> str:
        """What the reader must know of too few images, or few that decide; else empty."""
        found = []
        if self.unit == "block" and len(self.position) < FEWEST_IMAGES:
            found.append(
                f"fewer than {FEWEST_IMAGES} neighboring images are too few for correct "
                "intervals, and differences are found too often"
            )
        number = self._draws + len(self.strata)
        counting = max(1, round(number * self.evenness))
        if self.evenness < UNEVEN and counting < FEWEST_IMAGES:
            units = {"image": "images", "group": "groups", "block": "blocks of images"}[self.unit]
            found.append(
                f"a few large {units} decide: by their pixels, the {number} {units} count like "
                f"{counting}, and intervals are somewhat too narrow"
            )
        return "; ".join(found) + "." * bool(found)

    @property
    def dof(self) -> float:
        """Degrees of freedom of a variance estimated from the units."""
        return max(1.0, self._draws * self.evenness)

    @property
    def _draws(self) -> int:
        return sum(_draws(length, block) for _, length, block in self.strata)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Sums `values` `[N, ...]` over the images of each position: `[positions, ...]`."""
        kind = np.result_type(values.dtype, np.int64)  # sums of 32 bits need more
        out = np.zeros((int(self.position.max()) + 1, *values.shape[1:]), kind)
        np.add.at(out, self.position, values)
        return out

    def weights(self, replicates: int, rng: np.random.Generator) -> np.ndarray:
        """Draws the weight of each position in each replicate.

        Returns:
            float64 `[replicates, positions]`, each with expectation 1.
        """
        size = sum(length for _, length, _ in self.strata)
        out = np.empty((replicates, size))
        rows = np.arange(replicates)[:, None]
        for start, length, block in self.strata:
            draws = _draws(length, block)
            first = rng.integers(length, size=(replicates, draws)) + rows * length
            hits = np.bincount(first.ravel(), minlength=replicates * length)
            counts = _moving_sum(hits.reshape(replicates, length), block)
            out[:, start : start + length] = counts * (length / (draws * block))
        return out


def plan(
    groups: Sequence[str],
    series: np.ndarray,
    unit: Unit = "auto",
    block_length: int | None = None,
    sizes: np.ndarray | None = None,
) -> Plan:
    """Chooses the unit and the block length of the resampling.

    Args:
        groups: the group of each image, images in order of time within a group.
        series: float `[K, N]`; contribution of each image to the score of K models. Its
            autocorrelation determines the default block length.
        unit: see the module.
        block_length: images per block; None uses `choose_block_length`.
        sizes: int `[N]`; the pixels of each image, if the score pools them; None = all images
            count the same.

    Raises:
        ValueError: fewer than two units, or an impossible option.
    """
    found = _plan(groups, series, unit, block_length)
    return found if sizes is None else replace(found, evenness=_evenness(found, sizes))


def _plan(groups: Sequence[str], series: np.ndarray, unit: Unit, block_length: int | None) -> Plan:
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r} is not one of {', '.join(UNITS)}")
    if block_length is not None and block_length < 1:
        raise ValueError(f"block_length {block_length} must be at least 1 image")
    names, member = np.unique(np.asarray(groups, str), return_inverse=True)
    if len(member) < 2 or (unit == "group" and len(names) < 2):
        raise ValueError(
            f"cannot resample {len(member)} images in {len(names)} groups by {unit}: "
            "at least two units are needed"
        )
    if unit == "auto":
        unit = "group" if len(names) >= MIN_GROUPS else "block"
    ungrouped = len(names) == len(member)
    hint = f" {UNGROUPED}" if ungrouped else ""
    if unit == "group" and not ungrouped:
        note = f"Whole groups are resampled ({len(names)} groups)."
        return Plan(unit, 1, member, ((0, len(names), 1),), note)
    order = np.argsort(member, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    if unit in ("image", "group"):
        how = "" if ungrouped else " as configured, although they have groups"
        note = f"Single images are resampled ({len(order)} images, assumed independent{how}).{hint}"
        return Plan("image", 1, position, ((0, len(order), 1),), note)
    sizes = np.bincount(member)
    memory = memory_length(series[:, order], sizes)
    chosen = block_length or choose_block_length(memory, len(order))
    length = min(chosen, max(1, len(order) // 2))
    missed = min(memory / length, 1 - 1 / LARGEST_CORRECTION)
    strata = _strata(sizes, length)
    blocks = sum(_draws(size, block) + 1 for _, size, block in strata)
    how = "as configured" if block_length else "chosen from the autocorrelation of the images"
    within = "" if ungrouped else f" within {len(names)} group{'s' * (len(names) != 1)}"
    images = f"{length} neighboring images" if length > 1 else "1 image"
    note = f"Blocks of {images} are resampled{within} ({blocks} blocks, {how}).{hint}"
    return Plan(unit, length, position, strata, note, 1 / (1 - missed))


def _evenness(plan: Plan, sizes: np.ndarray) -> float:
    """Kish's effective number of units, as a share of them.

    A block counts as large as its mean image, so that a last, shorter one is no exception.
    """
    pixels = plan.gather(sizes).astype(np.float64)
    means = []
    for start, length, block in plan.strata:
        first = np.arange(0, length, block)
        sums = np.add.reduceat(pixels[start : start + length], first)
        means.append(sums / np.diff([*first, length]))
    found = np.concatenate(means)
    if not found.any():
        return 1.0
    return float(found.sum() ** 2 / (len(found) * (found**2).sum()))


def memory_length(series: np.ndarray, sizes: np.ndarray) -> float:
    """Correlation length of the images: sum |k| R(k) / sum R(k) over all lags k, in images.

    R is the autocovariance within groups, averaged over the series and truncated by the flat-top
    window of Politis & White (2004). With blocks of L images, the variance of a mean is
    underestimated by about memory / L.

    Args:
        series: float `[K, N]`, images sorted by group, then time.
        sizes: images in each group, in the same order.
    """
    count = series.shape[1]
    rho = _autocorrelation(series, sizes, min(count - 1, 2 * (count // MIN_BLOCKS) + 5))
    bound = 2 * math.sqrt(math.log10(count) / count)
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    quiet = np.abs(rho[1:]) < bound
    last = next((m for m in range(len(quiet)) if quiet[m : m + run].all()), len(quiet))
    lags = np.arange(1, min(2 * max(last, 1), len(rho) - 1) + 1)
    taper = np.clip(2 * (1 - lags / (lags[-1] + 1)), 0, 1)
    long_run = max(1 + 2 * float((taper * rho[lags]).sum()), 1e-6)
    return max(0.0, 2 * float((taper * lags * rho[lags]).sum()) / long_run)


def choose_block_length(memory: float, count: int) -> int:
    """Chooses the block length from the data: `LENGTHEN` times that of Politis & White.

    Their rule (2004; corrected by Patton et al. 2009) is the length (1.5 memory^2 N)^(1/3), which
    minimizes the mean squared error of the bootstrap variance. Intervals need longer blocks: short
    blocks make every interval too narrow, while the higher variance of few long blocks is covered
    by Student's t (Sun, Phillips & Jin 2008). At least 1.3 N^(1/2) images, the rule of Lazarus et
    al. (2018) in case the estimated correlation is unreliable; at most N / `MIN_BLOCKS`.

    Args:
        memory: see `memory_length`.
        count: N, the number of images.
    """
    longest = max(1, count // MIN_BLOCKS)
    best = math.ceil(LENGTHEN * (1.5 * memory**2 * count) ** (1 / 3))
    return int(np.clip(best, min(math.ceil(1.3 * count**0.5), longest), longest))


def _autocorrelation(series: np.ndarray, sizes: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation `[lags + 1]` within groups, averaged over the series."""
    ends = np.cumsum(sizes)
    total = np.zeros((len(series), lags + 1))
    for end, size in zip(ends, sizes, strict=True):
        part = series[:, end - size : end]
        part = part - part.mean(axis=1, keepdims=True)
        for lag in range(min(lags, size - 1) + 1):
            total[:, lag] += (part[:, : size - lag] * part[:, lag:]).sum(axis=1)
    variance = total[:, :1]
    usable = variance[:, 0] > 0
    if not usable.any():
        return np.eye(1, lags + 1)[0]
    return (total[usable] / variance[usable]).mean(axis=0)


def _strata(sizes: np.ndarray, block: int) -> tuple[tuple[int, int, int], ...]:
    """One stratum per group; neighbors are merged until two blocks fit into each."""
    lengths: list[int] = []
    open_length = 0
    for size in sizes:
        open_length += int(size)
        if open_length >= 2 * block:
            lengths.append(open_length)
            open_length = 0
    if open_length:
        lengths[-1] += open_length
    starts = np.cumsum([0, *lengths[:-1]])
    # A block length that divides the stratum keeps "k - 1 of k blocks" exact.
    return tuple(
        (int(start), length, max(1, round(length / round(length / block))))
        for start, length in zip(starts, lengths, strict=True)
    )


def _draws(length: int, block: int) -> int:
    return max(1, round(length / block) - 1)


def _moving_sum(hits: np.ndarray, block: int) -> np.ndarray:
    """Number of blocks covering each position; blocks wrap around the end of the series."""
    if block == 1:
        return hits
    wrapped = np.concatenate([hits[:, hits.shape[1] - block + 1 :], hits], axis=1)
    total = np.cumsum(wrapped, axis=1)
    total[:, block:] -= total[:, :-block].copy()
    return total[:, block - 1 :]
