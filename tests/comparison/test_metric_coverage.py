"""The interval of every metric contains the truth as often as it says: 93 to 97% of 1,000 trials.

The truth is the value of the average run on endlessly many frames. Each metric gets counts of a
simulated world (see `simulation`): what is counted of an image follows from its pixels that are
right, and from their number.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

from segbench.comparison.entrants import Entrant, count
from segbench.comparison.measures import APPROXIMATE, MEASURES
from segbench.comparison.scoring import Bins, Worst
from segbench.comparison.statistics import resample
from segbench.metrics.fine_grained import class_scores, image_means
from segbench.metrics.robustness import CORRUPTED
from tests.comparison.simulation import World

TRIALS, FAST = 1000, 60
WORLD = World(groups=5, frames=40, seed_sd=0.1)
LONG = World(groups=5, frames=200, seed_sd=0.1)  # for the worst 1%, of which 200 frames have two
UNLIKE = World(groups=12, frames=20, seed_sd=0.1, drive_sd=0.4, taste_sd=0.3)
ENDLESS = 200
BINS = 15


def counts_of(name: str, pixels: np.ndarray) -> np.ndarray:
    """What is counted of a run for a metric, from hits, union and labeled pixels `[N, 3, C]`."""
    hits, union, labeled = (pixels[:, part].astype(float) for part in range(3))
    counted = np.stack([hits, labeled, union - labeled + hits], axis=1)
    right = hits / np.maximum(labeled, 1)
    one = np.ones_like(right)
    if name in ("mIoU", "mDice"):
        return count(counted.astype(np.int64), name)
    if name[0] == "m" and name != CORRUPTED:
        values = class_scores(counted, name[1:].split("_")[0])
        values = image_means(values)[:, None] if "_I" in name else values
        if isinstance(MEASURES[name].scoring, Worst):
            return values
        known = ~np.isnan(values)
        return np.stack([np.where(known, values, 0), known, known], axis=1)
    if name == CORRUPTED:
        return corrupted(hits, union, [0.9, 0.7, 1.0])
    if isinstance(MEASURES[name].scoring, Bins):
        return bins(hits, labeled, name == "ECE")
    if name == "boundary_IoU":
        return np.stack([hits, union, union], axis=1)
    if name in ("NLL", "Brier"):
        loss = (labeled * (0.2 + 2 * (1 - right)) / 2).sum(axis=1, keepdims=True)
        size = labeled.sum(axis=1, keepdims=True)
        return np.stack([loss, size, size], axis=1)
    if name == "AURC":
        one, right = one[:, :1], hits.sum(1, keepdims=True) / labeled.sum(1, keepdims=True)
        return np.stack([0.4 * (1 - right) ** 2, one, one], axis=1)
    values = 30 * (1 - right) if name == "HD95" else right**2
    return np.stack([values, one, one], axis=1)


def corrupted(hits: np.ndarray, union: np.ndarray, kept: list[float]) -> np.ndarray:
    """Of two corruptions and the clean images, `[N, 2, A + 1, 1, C]`."""
    parts = [np.stack([share * hits, union], axis=1) for share in kept]
    return np.stack(parts, axis=2)[:, :, :, None]


def bins(hits: np.ndarray, labeled: np.ndarray, is_whole: bool) -> np.ndarray:
    """An overconfident model: `[N, K, 15, 3]`, the harder an image the wider its gaps."""
    spread = np.linspace(0.5, 1.5, BINS)[None, None, :] / BINS
    pixels = labeled[..., None] * spread
    sure = np.broadcast_to(np.linspace(0.8, 0.99, BINS), pixels.shape)
    right = np.clip(hits / np.maximum(labeled, 1), 0, 1)[..., None] * sure
    found = np.stack([pixels, pixels * right, pixels * sure], axis=-1)
    return found.sum(axis=1, keepdims=True) if is_whole else found


def entrant(name: str, world: World, rng: np.random.Generator, seeds: int) -> Entrant:
    (model,) = world.study(rng, seeds, (0.0,))
    counts = np.stack([counts_of(name, run) for run in model.counts])
    return Entrant("model", model.seeds, counts, MEASURES[name].scoring)


def truth(name: str, many: World, runs: int) -> float:
    """The score of the average run on endlessly many frames."""
    scoring = MEASURES[name].scoring
    drawn = (entrant(name, many, np.random.default_rng(10_000 + i), 1) for i in range(runs))
    return float(np.mean([scoring.observed(one.counts, "exclude")[0, -1] for one in drawn]))


def coverage(name: str, trials: int, world: World | None = None) -> float:
    """How often the interval of a model's score contains its value on endlessly many frames."""
    world = world or (LONG if name.endswith("1") else WORLD)
    true = truth(
        name, replace(world, groups=ENDLESS, frames=min(world.frames, 40)), max(40, trials // 5)
    )
    hits = 0
    for trial in range(trials):
        one = entrant(name, world, np.random.default_rng(trial), 5)
        drawn = resample([one], world.names(), replicates=200, seed=trial)
        low, high = drawn.model(0).interval()[-1]
        hits += low <= true <= high
    return hits / trials


def test_intervals_are_not_far_off():
    assert coverage(CORRUPTED, FAST) >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MEASURES if not MEASURES[name].is_approximate])
def test_intervals_contain_the_truth_as_often_as_they_say(name):
    found = coverage(name, TRIALS)
    print(f"\n{name}: {found:.3f}")
    assert 0.93 <= found <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("world", [None, UNLIKE], ids=["one kind of drives", "unlike drives"])
@pytest.mark.parametrize("name", [name for name in MEASURES if MEASURES[name].is_approximate])
def test_approximate_intervals_contain_the_truth_as_often_as_the_report_says(name, world):
    found = coverage(name, TRIALS, world)
    print(f"\n{name}, {'unlike drives' if world else 'one kind of drives'}: {found:.3f}")
    lowest, highest = map(float, re.findall(r"(\d+) to (\d+)%", APPROXIMATE)[0])
    assert lowest <= round(100 * found) <= highest  # the report says whole percents
