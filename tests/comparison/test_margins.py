"""Non-inferiority and equivalence: the same p values as statsmodels, and honest at the margin."""

import numpy as np
import pytest

from segbench.comparison.entrants import Entrant
from segbench.comparison.margins import margin_tests, one_sided
from segbench.comparison.statistics import resample
from segbench.comparison.verdicts import pairs
from tests.comparison.simulation import World
from tests.comparison.test_statistics import constant_images

A, B = [0.61, 0.64, 0.60, 0.66], [0.63, 0.635, 0.625]
# statsmodels 0.15.0: ttost_ind(A, B, -M, M, usevar="unequal"): of each margin the p value of both
# tests together, of "at most -M" and of "at least M".
STATSMODELS = {
    0.01: (0.3140883868, 0.3140883868, 0.2174628969),
    0.02: (0.1477326473, 0.1477326473, 0.1004041641),
    0.05: (0.0190587163, 0.0190587163, 0.0145307473),
}
SETTINGS = {
    "tastes": World(groups=5, frames=30, taste_sd=0.3),
    "twelve drives": World(groups=12, frames=12, drive_sd=0.4, taste_sd=0.3),
}


def seeds_only(a=A, b=B):
    entrants = [Entrant(name, tuple(range(len(scores))), constant_images(scores))
                for name, scores in (("a", a), ("b", b))]  # fmt: skip
    return resample(entrants, ["x"] * 6, replicates=50)


@pytest.mark.parametrize("margin", STATSMODELS)
def test_without_image_noise_it_is_the_tost_of_statsmodels(margin):
    lower, upper = one_sided(seeds_only().difference(0, 1), margin)
    assert (max(lower, upper), lower, upper) == pytest.approx(STATSMODELS[margin], abs=1e-6)


@pytest.mark.parametrize("margin", [0.005, 0.03, 0.1])
def test_it_agrees_with_the_installed_statsmodels(margin):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    p, (_, lower, _), (_, upper, _) = weightstats.ttost_ind(A, B, -margin, margin, usevar="unequal")
    found = one_sided(seeds_only().difference(0, 1), margin)
    assert (max(found), *found) == pytest.approx((p, lower, upper), abs=1e-6)


# autorank 1.3.0, approach="bayesian", rope=0.01, rope_mode="absolute": its decision on the model of
# the lower rank (see made_by.py), and the verdict that means the same here
ROPE = {"equal": "equal", "lower": "smaller", "unclear": "inconclusive"}
MEANS = {"equal": "equivalent", "smaller": "worse", "inconclusive": "undecided"}
GAPS = {"equal": (0.0, 0.001), "lower": (-0.05, 0.004), "unclear": (-0.01, 0.02)}


def paired_scores(name):
    """A model and the baseline: ten seeds each, with a gap and a spread."""
    rng = np.random.default_rng(1)
    gap, spread = GAPS[name]
    return 0.6 + gap + spread * rng.standard_normal(10), 0.6 + spread * rng.standard_normal(10)


def verdict(a, b, margin=0.01):
    drawn = seeds_only(a, b)
    (found,) = margin_tests(drawn, pairs(drawn), 1, margin)
    return found


@pytest.mark.parametrize("name", ROPE)
def test_verdicts_on_seeds_alone_are_those_of_autoranks_region_of_equivalence(name):
    assert verdict(*paired_scores(name)).verdict == MEANS[ROPE[name]]


@pytest.mark.parametrize(
    ("scores", "expected", "is_worse"),
    [
        ((0.700, 0.702, 0.701, 0.699), "better", False),
        ((0.600, 0.601, 0.599, 0.602), "equivalent", False),
        ((0.597, 0.5972, 0.5968, 0.597), "equivalent", True),
        ((0.600, 0.612, 0.606, 0.604), "not worse than by the margin", False),
        ((0.580, 0.581, 0.579, 0.580), "worse", True),
        ((0.580, 0.610, 0.600, 0.595), "undecided", False),
    ],
)
def test_every_verdict(scores, expected, is_worse):
    found = verdict(scores, (0.600, 0.6004, 0.5996, 0.6))
    assert (found.verdict, found.is_worse) == (expected, is_worse)
    if expected in ("equivalent", "not worse than by the margin"):
        assert found.bounds[0] > -0.01


def test_one_seed_gets_no_verdict_whatever_the_margin():
    assert verdict((0.6,), (0.6, 0.61)).verdict == "one seed: no verdict"


def test_what_is_needed_shrinks_with_the_margin_and_is_nothing_where_the_loss_reaches_it():
    scores, base = (0.595, 0.605, 0.590, 0.606), (0.600, 0.610, 0.592, 0.604)
    small, large = (verdict(scores, base, margin).seeds_needed for margin in (0.006, 0.02))
    assert large is not None
    assert small is None or small > large
    assert verdict((0.58, 0.59, 0.57, 0.58), base, 0.01).seeds_needed is None


def test_p_values_are_corrected_over_the_models():
    world = World(groups=4, frames=20)
    drawn = resample(world.study(np.random.default_rng(0), 4, (0.0, 0.0, 0.0)), world.names(),
                     replicates=300)  # fmt: skip
    found = margin_tests(drawn, pairs(drawn), 0, 0.02)
    raw = sorted(one_sided(test.estimate, 0.02)[0] for test in found)
    assert sorted(test.p_not_worse for test in found) == pytest.approx(
        [min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])]
    )


def rates_at_the_margin(world: World, trials: int) -> tuple[float, float]:
    """How often a model that loses just the margin is called not worse by it, or equivalent."""
    skill = -0.15
    margin = world.truth() - world.truth(skill)
    hits = np.zeros(2)
    for trial in range(trials):
        study = world.study(np.random.default_rng(trial), 4, (0.0, skill))
        drawn = resample(study, world.names(), replicates=300, seed=trial)
        lower, upper = one_sided(drawn.difference(1, 0), margin)
        hits += [lower < 0.05, max(lower, upper) < 0.05]
    return float(hits[0] / trials), float(hits[1] / trials)


def test_a_model_that_loses_the_margin_is_seldom_called_as_good():
    not_worse, equivalent = rates_at_the_margin(SETTINGS["tastes"], 60)
    assert equivalent <= not_worse <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / 60)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_type_one_errors_at_the_margin_over_a_thousand_trials(setting):
    not_worse, equivalent = rates_at_the_margin(SETTINGS[setting], 1000)
    print(f"\n{setting}: not worse {not_worse:.3f}, equivalent {equivalent:.3f}")
    assert 0.02 < not_worse <= 0.06
    assert equivalent <= 0.06
