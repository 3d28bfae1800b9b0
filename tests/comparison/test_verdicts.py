"""Verdicts in words, and the advice for a study that cannot decide."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from segbench.comparison import verdicts
from segbench.comparison.statistics import resample
from tests.comparison.simulation import World

WORLD = World(groups=4, frames=40, seed_sd=0.05)


def drawn(skills, seeds=4, world=WORLD, trial=0):
    study = world.study(np.random.default_rng(trial), seeds, skills)
    return resample(study, world.names(), replicates=500)


def test_a_clearly_better_model_is_called_better_and_listed_first():
    (pair,) = verdicts.pairs(drawn((0.0, 0.6)))
    assert (pair.a, pair.b, pair.verdict) == (1, 0, "better")
    assert pair.estimate.value[-1] > 0
    assert pair.p_holm < 0.05
    assert pair.effect > 2
    assert pair.improvement[0] == 1.0
    assert pair.seeds_needed is not None
    assert pair.seeds_needed <= 4


def test_equal_models_are_not_distinguishable_and_the_power_is_reported():
    (pair,) = verdicts.pairs(drawn((0.0, 0.0)))
    assert pair.verdict == "not distinguishable"
    assert pair.seeds_needed is None or pair.seeds_needed > 4
    assert pair.images_needed is None or pair.images_needed > 160
    assert pair.improvement[1] < 0.5 < pair.improvement[2]


def test_one_seed_never_gets_a_verdict_however_large_the_difference():
    (pair,) = verdicts.pairs(drawn((0.0, 2.0), seeds=1))
    assert pair.verdict == "one seed: no verdict"
    assert math.isnan(pair.effect)
    assert pair.seeds_needed is None


def test_holm_counts_all_pairs():
    found = verdicts.pairs(drawn((0.0, 0.1, 0.2)))
    assert len(found) == 3
    smallest = min(found, key=lambda pair: pair.p)
    assert smallest.p_holm == pytest.approx(min(1.0, 3 * smallest.p))


def test_ranks_are_sure_for_clear_differences_and_shared_for_equal_models():
    clear = verdicts.ranks(drawn((0.0, 0.5, 1.0)))
    assert clear == pytest.approx(np.eye(3)[::-1], abs=0.01)
    equal = verdicts.ranks(drawn((0.0, 0.0, 0.0), world=World(groups=4, frames=40, seed_sd=0.3)))
    assert equal.sum(axis=1) == pytest.approx(1.0)
    assert equal.max() < 0.95


def test_models_that_score_the_same_share_their_ranks():
    """Not: the one that happens to come first is first in 100% of the resampled sets."""
    scores = [np.full((50, 1), value) for value in (0.4, 0.7, 0.4, 0.4)]
    shares = verdicts.ranks(SimpleNamespace(runs=scores))
    assert np.allclose(shares[1], [1, 0, 0, 0])
    for place in (0, 2, 3):
        assert np.allclose(shares[place], [0, 1 / 3, 1 / 3, 1 / 3])


def test_the_advice_is_seeds_if_seeds_and_images_if_images_are_the_noise():
    noisy_seeds = World(groups=4, frames=40, seed_sd=0.4, luck_sd=0.0)
    (pair,) = verdicts.pairs(drawn((0.0, 0.25), seeds=4, world=noisy_seeds, trial=5))
    assert pair.seeds_needed is not None
    assert pair.images_needed is None
    noisy_images = World(groups=4, frames=30, seed_sd=0.02, luck_sd=0.0, taste_sd=1.0)
    (pair,) = verdicts.pairs(drawn((0.0, 0.1), seeds=4, world=noisy_images, trial=2))
    assert pair.images_needed is not None
    assert pair.seeds_needed is None


def test_as_many_seeds_as_advised_find_the_difference_four_times_out_of_five():
    world = World(groups=4, frames=30, seed_sd=0.3, luck_sd=0.0)
    advised = [
        verdicts.pairs(drawn((0.0, 0.3), seeds=20, world=world, trial=trial))[0].seeds_needed
        for trial in range(15)
    ]
    seeds = round(float(np.median([number or verdicts.MOST_SEEDS for number in advised])))
    found = [
        verdicts.pairs(drawn((0.0, 0.3), seeds=seeds, world=world, trial=100 + trial))[0].p < 0.05
        for trial in range(60)
    ]
    assert 0.6 < np.mean(found) < 0.95


@pytest.mark.parametrize("seeds", [2, 3])
def test_with_fewer_than_four_seeds_power_is_not_reported(seeds):
    (pair,) = verdicts.pairs(drawn((0.0, 0.05), seeds=seeds))
    assert not pair.has_power
    assert (pair.seeds_needed, pair.images_needed) == (None, None)
