"""Simulated experiments check the statistics: 1,000 in the slow tests, fewer in the fast ones.

Every setting is a world with a known truth (see `simulation`). The bounds of the fast tests allow
three standard errors for their number of trials, so that they fail for a broken method and not by
chance; the slow tests check the claims of the documentation.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from segbench.comparison.statistics import resample
from tests.comparison.simulation import World

FAST, FULL = 120, 1000
SETTINGS = {
    "same model twice": World(),
    "models with tastes": World(taste_sd=0.3),
    "two long drives": World(groups=2, frames=120, taste_sd=0.3),
    "twelve unlike drives": World(groups=12, frames=20, drive_sd=0.4, taste_sd=0.3),
    "independent images": World(memory=0.0, taste_sd=0.3),
}


@dataclass
class Rates:
    """Shares of the trials."""

    rejected: float
    model_covered: float
    difference_covered: float


def rates(world, trials, *, seeds=5, skill=0.0, unit="auto", first=0) -> Rates:
    truth = world.truth(), world.truth(skill)
    hits = np.zeros(3)
    for trial in range(first, first + trials):
        study = world.study(np.random.default_rng(trial), seeds, (0.0, skill))
        drawn = resample(study, world.names(), unit=unit, replicates=300, seed=trial)
        difference = drawn.difference(0, 1)
        hits += [
            difference.p_value()[-1] < 0.05,
            _holds(drawn.model(0).interval()[-1], truth[0]),
            _holds(difference.interval()[-1], truth[0] - truth[1]),
        ]
    return Rates(*(float(share) for share in hits / trials))


def slack(rate: float, trials: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / trials)


def _holds(interval, truth) -> bool:
    return interval[0] <= truth <= interval[1]


@pytest.mark.parametrize("setting", ["models with tastes", "twelve unlike drives"])
def test_equal_models_are_rarely_called_different(setting):
    found = rates(SETTINGS[setting], FAST)
    assert found.rejected <= 0.07 + slack(0.07, FAST)
    assert found.model_covered >= 0.93 - slack(0.93, FAST)
    assert found.difference_covered >= 0.93 - slack(0.93, FAST)


def test_single_frames_are_overconfident_on_correlated_images():
    found = rates(SETTINGS["models with tastes"], FAST, unit="image")
    assert found.model_covered < 0.93 - slack(0.93, FAST)
    assert found.model_covered < 0.80


def detected(world, trials=60, seeds=5) -> float:
    """How often a truly better model is found at the 5% level."""
    found = 0
    for trial in range(trials):
        study = world.study(np.random.default_rng(trial), seeds, (0.15, 0.0))
        difference = resample(study, world.names(), replicates=200, seed=trial).difference(0, 1)
        found += difference.p_value()[-1] < 0.05 and difference.value[-1] > 0
    return found / trials


def test_power_grows_with_seeds_and_with_images():
    by_seeds = [detected(World(frames=30, seed_sd=0.2), seeds=seeds) for seeds in (3, 8)]
    assert by_seeds[1] > by_seeds[0] + 0.15
    worlds = [World(frames=frames, seed_sd=0.02, taste_sd=0.6) for frames in (20, 120)]
    by_images = [detected(world, seeds=3) for world in worlds]
    assert by_images[1] > by_images[0] + 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("setting", list(SETTINGS))
def test_the_rates_claimed_in_the_documentation(setting, seeds):
    """At most 7% false verdicts; 93-97% coverage, plus or minus one standard error of a rate."""
    found = rates(SETTINGS[setting], FULL, seeds=seeds, first=10_000)
    print(f"\n{setting}, {seeds} seeds: {found}")
    assert found.rejected <= 0.07
    margin = slack(0.93, FULL) / 3
    assert 0.93 - margin <= found.model_covered <= 0.97 + margin
    assert 0.93 - margin <= found.difference_covered <= 0.97 + margin


@pytest.mark.slow
def test_a_frame_bootstrap_calls_equal_models_different():
    """Why blocks are the default: a frame bootstrap gives false verdicts too often."""
    found = rates(SETTINGS["models with tastes"], FULL, unit="image", first=10_000)
    print(f"\nframe bootstrap: {found}")
    assert found.rejected > 0.09
    assert found.model_covered < 0.75


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "frames", "is_short"), [(3, 16, True), (3, 32, False)])
def test_too_few_neighboring_frames_come_with_a_caution(groups, frames, is_short):
    """Why reports on fewer than `FEWEST_IMAGES` neighboring images have one."""
    world = World(groups=groups, frames=frames, taste_sd=0.3)
    found = rates(world, FULL, seeds=3, first=10_000)
    print(f"\n{groups} drives of {frames} frames: {found}")
    study = world.study(np.random.default_rng(0), 3, (0.0, 0.0))
    caution = resample(study, world.names(), replicates=100).plan.caution
    assert bool(caution) == is_short
    assert found.rejected > 0.1 if is_short else found.rejected < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("size_sd", "is_uneven"), [(0.3, False), (0.8, True), (1.6, True)])
def test_a_few_large_images_come_with_a_caution(size_sd, is_uneven):
    """Why reports on images of very different sizes have one."""
    world = World(groups=42, frames=1, memory=0.0, taste_sd=0.3, size_sd=size_sd)
    found = rates(world, FULL, first=10_000)
    print(f"\nsizes with a standard deviation of exp({size_sd}): {found}")
    study = world.study(np.random.default_rng(0), 3, (0.0, 0.0))
    caution = resample(study, world.names(), replicates=100).plan.caution
    assert bool(caution) == is_uneven
    assert found.rejected <= (0.1 if is_uneven else 0.07)
    assert found.model_covered >= (0.9 if is_uneven else 0.93) - slack(0.93, FULL) / 3
