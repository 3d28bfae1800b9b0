"""The unit of resampling, the length of blocks, and the meaning of the weights."""

import numpy as np
import pytest

from segbench.comparison import resampling

NAMES = ["a"] * 40 + ["b"] * 60
# arch 8.0.0 on `noise(memory, count)[0]` (see made_by.py): optimal_block_length, circular, and the
# variance of the mean by CircularBlockBootstrap with blocks of 20
ARCH = {
    (0.0, 400): (0.324033, 0.001945630),
    (0.5, 400): (9.238870, 0.005335061),
    (0.9, 2000): (69.302879, 0.005525934),
}


def noise(memory: float, count: int, seed: int = 0) -> np.ndarray:
    step = np.random.default_rng(seed).standard_normal((3, count))
    for t in range(1, count):
        step[:, t] = memory * step[:, t - 1] + np.sqrt(1 - memory**2) * step[:, t]
    return step


@pytest.mark.parametrize(("unit", "block"), [("image", None), ("block", 7), ("group", None)])
def test_every_image_counts_once_on_average(unit, block):
    plan = resampling.plan(NAMES, noise(0, 100), unit, block)
    weights = plan.weights(4000, np.random.default_rng(0))
    assert weights.mean(axis=0) == pytest.approx(1.0, abs=0.2)
    assert weights.mean() == pytest.approx(1.0, abs=0.02)


def test_blocks_stay_within_their_group_and_keep_its_share():
    plan = resampling.plan(NAMES, noise(0, 100), "block", 10)
    weights = plan.weights(50, np.random.default_rng(0))
    assert weights[:, :40].sum(axis=1) == pytest.approx(40)
    assert weights[:, 40:].sum(axis=1) == pytest.approx(60)
    assert plan.dof + len(plan.strata) == 10  # blocks
    assert plan.dof == 8


@pytest.mark.parametrize(("unit", "block"), [("image", None), ("block", 7), ("group", None)])
def test_equally_large_images_all_count(unit, block):
    without = resampling.plan(NAMES, noise(0, 100), unit, block)
    sized = resampling.plan(NAMES, noise(0, 100), unit, block, np.full(100, 30))
    if unit == "group":  # one of the two has 60 of the 100 images
        assert sized.evenness == pytest.approx(1 / (2 * (0.4**2 + 0.6**2)))
    else:
        assert (sized.evenness, sized.dof) == (1, without.dof)
    assert not sized.caution


def test_a_few_large_images_take_degrees_of_freedom_and_are_said():
    sizes = np.ones(41)
    sizes[:2] = 1000
    names = [f"image{i:02d}" for i in range(41)]
    found = resampling.plan(names, noise(0, 41), "auto", None, sizes)
    kish = sizes.sum() ** 2 / (sizes**2).sum()
    assert found.dof == pytest.approx(40 * kish / 41)
    assert found.caution == (
        "a few large images decide: by their pixels, the 41 images count like 2, and intervals are "
        "somewhat too narrow."
    )
    assert resampling.plan(names, noise(0, 41), "auto", None, np.zeros(41)).evenness == 1


def test_blocks_are_neighbors_and_wrap_around():
    plan = resampling.plan(["a"] * 8, noise(0, 8), "block", 4)  # draws 1 of 2 blocks, weight 2
    weights = plan.weights(200, np.random.default_rng(0))
    circles = {tuple(np.roll([2, 2, 2, 2, 0, 0, 0, 0], shift)) for shift in range(8)}
    assert {tuple(row.astype(int)) for row in weights} == circles


def test_images_of_a_group_may_be_scattered_in_the_file():
    names = ["a", "b"] * 10
    plan = resampling.plan(names, noise(0, 20), "block", 5)
    values = np.arange(20)
    gathered = plan.gather(values)
    assert (gathered[:10] % 2 == 0).all()
    assert (np.diff(gathered[:10]) > 0).all()


def test_whole_groups_are_resampled_if_there_are_many():
    names = [f"patient{i // 3}" for i in range(60)]
    assert resampling.plan(names, noise(0, 60)).unit == "group"
    assert resampling.plan(names[:27], noise(0, 27)).unit == "block"


@pytest.mark.parametrize("unit", ["auto", "group", "image"])
def test_groups_of_one_image_are_images_taken_as_independent(unit):
    names = [f"image{i:03d}" for i in range(60)]
    plan = resampling.plan(names, noise(0, 60), unit)
    assert (plan.unit, plan.dof + 1) == ("image", 60)
    assert "60 images, assumed independent" in plan.note
    assert "set data.group_regex" in plan.note
    assert "group_regex" not in resampling.plan(NAMES, noise(0, 100), unit).note


def test_few_ungrouped_images_are_not_described_as_grouped():
    plan = resampling.plan(list("abcdef"), noise(0, 6))
    assert plan.note.startswith("Blocks of 1 image are resampled (6 blocks")
    assert "set data.group_regex" in plan.note


def test_the_variance_of_a_mean_is_unbiased_even_for_few_units():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        values = rng.standard_normal(4)
        plan = resampling.plan(list("abcd"), values[None], "group")
        found.append((plan.weights(300, rng) @ values / 4).var())
    assert np.mean(found) == pytest.approx(1 / 4, rel=0.1)


def test_block_length_grows_with_the_memory_of_the_frames():
    plans = [resampling.plan(["a"] * 600, noise(m, 600)) for m in (0.0, 0.7, 0.95)]
    lengths = [plan.block_length for plan in plans]
    assert lengths[0] == 32  # 1.3 sqrt(600): the minimum, even for independent images
    assert lengths[0] < lengths[1] < lengths[2] == 600 // resampling.MIN_BLOCKS
    assert plans[0].correction < plans[1].correction < plans[2].correction < 1.5


def test_memory_of_an_autoregressive_series_is_known_in_closed_form():
    found = resampling.memory_length(noise(0.7, 20_000), np.array([10_000, 10_000]))
    assert found == pytest.approx(2 * 0.7 / (1 - 0.7**2), rel=0.1)


@pytest.mark.parametrize("case", ARCH)
def test_the_variance_of_the_bootstrap_is_that_of_arch(case):
    _, variance = ARCH[case]
    series, count = noise(*case)[:1], case[1]
    plan = resampling.plan(["g"] * count, series, "block", 20)
    drawn = plan.weights(4000, np.random.default_rng(0)) @ series[0] / count
    blocks = count // 20  # of which one fewer is drawn here, for an unbiased variance
    assert drawn.var() * (blocks - 1) / blocks == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("case", ARCH)
def test_the_rule_for_blocks_is_that_of_arch_but_for_its_window(case):
    length, _ = ARCH[case]
    memory = resampling.memory_length(noise(*case)[:1], np.array([case[1]]))
    found = (1.5 * memory**2 * case[1]) ** (1 / 3)
    assert found == pytest.approx(length, rel=0.1, abs=0.5)


def test_long_blocks_join_short_groups():
    plan = resampling.plan([f"g{i // 5}" for i in range(40)], noise(0, 40), "block", 8)
    assert all(length >= 2 * 8 for _, length, _ in plan.strata)
    assert sum(length for _, length, _ in plan.strata) == 40


@pytest.mark.parametrize(
    ("names", "unit", "block", "message"),
    [
        (["a"], "auto", None, "at least two"),
        (["a"] * 5, "group", None, "at least two"),
        (["a"] * 5, "pixel", None, "not one of"),
        (["a"] * 5, "block", 0, "at least 1"),
    ],
)
def test_impossible_plans_are_refused(names, unit, block, message):
    with pytest.raises(ValueError, match=message):
        resampling.plan(names, noise(0, len(names)), unit, block)
