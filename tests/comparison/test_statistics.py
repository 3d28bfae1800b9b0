"""The statistics in small cases: agreement with other programs, and known properties."""

import numpy as np
import pytest
import scipy.stats

from segbench.comparison.entrants import Entrant, count, influence, scores_of
from segbench.comparison.statistics import Estimate, holm, resample
from segbench.metrics.scores import class_dice, class_iou, mean_over_classes, reduced
from tests.comparison.fabricated import matrices as matrices_of
from tests.comparison.simulation import World


def constant_images(scores: list[float], images: int = 6) -> np.ndarray:
    """Counts of runs whose every image has the same IoU in both classes."""
    hit = np.round(np.array(scores)[:, None, None] * np.ones((1, images, 2)) * 1e6)
    full = np.full_like(hit, 1e6)
    return np.stack([hit, full, full], axis=2).astype(np.int64)


@pytest.mark.parametrize("absent", ["exclude", "zero", "one"])
@pytest.mark.parametrize(("metric", "by_class"), [("mIoU", class_iou), ("mDice", class_dice)])
def test_the_reduced_counts_give_the_scores_of_the_whole_matrix(absent, metric, by_class):
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 50, (7, 4, 5))
    matrices[:, 2, :] = 0
    matrices[:, :, 2] = 0
    total = matrices.sum(axis=0)
    found = scores_of(count(reduced(matrices), metric).sum(axis=0), absent)
    assert found[:-1] == pytest.approx(by_class(total), abs=1e-15, nan_ok=True)
    assert found[-1] == pytest.approx(mean_over_classes(by_class(total), absent), abs=1e-15)


@pytest.mark.parametrize("metric", ["mIoU", "mDice"])
def test_influence_is_the_derivative_of_the_score_in_an_image_weight(metric):
    counts = World(groups=2, frames=10).study(np.random.default_rng(1), seeds=1)[0].counts[0]
    counts = count(reduced(matrices_of(counts)), metric)
    step = 1e-6
    for image in (0, 7):
        weights = np.ones(20)
        weights[image] += step
        moved = scores_of((counts * weights[:, None, None]).sum(axis=0))[-1]
        slope = (moved - scores_of(counts.sum(axis=0))[-1]) / step
        assert influence(counts)[image] == pytest.approx(slope, rel=1e-3)
    assert influence(counts).sum() == pytest.approx(0, abs=1e-12)


def test_without_image_noise_the_test_is_welchs_t_test():
    a, b = [0.61, 0.64, 0.60, 0.66], [0.58, 0.59, 0.57]
    entrants = [
        Entrant("a", (0, 1, 2, 3), constant_images(a)),
        Entrant("b", (0, 1, 2), constant_images(b)),
    ]
    difference = resample(entrants, ["x"] * 6, replicates=50).difference(0, 1)
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert difference.p_value()[-1] == pytest.approx(welch.pvalue, rel=1e-6)
    interval = welch.confidence_interval(0.95)
    assert difference.interval()[-1] == pytest.approx([interval.low, interval.high], abs=1e-6)


def test_one_run_and_independent_images_agree_with_scipys_bootstrap():
    world = World(groups=1, frames=80, memory=0.0)
    entrant = world.study(np.random.default_rng(2), seeds=1)[0]
    ours = resample([entrant], world.names(), unit="image", replicates=20_000).model(0)

    def miou(index, axis=-1):
        return scores_of(entrant.counts[0][index].sum(axis=axis - 2 if axis < 0 else axis))[..., -1]

    theirs = scipy.stats.bootstrap(
        (np.arange(80),), miou, n_resamples=20_000, method="percentile", rng=3
    )
    # scipy draws all 80 images, which is too narrow by sqrt(79 / 80); segbench draws 79.
    assert ours.error[-1] * np.sqrt(79 / 80) == pytest.approx(theirs.standard_error, rel=0.03)


def test_paired_images_cancel_between_two_equal_models():
    world = World(seed_sd=0.05, luck_sd=0.0)
    drawn = resample(world.study(np.random.default_rng(3)), world.names(), replicates=500)
    assert drawn.difference(0, 1).error[-1] < 0.5 * drawn.model(0).error[-1]


def test_seed_and_image_variance_are_separated():
    quiet_seeds = World(seed_sd=0.0, luck_sd=0.0)
    loud_seeds = World(seed_sd=0.5, luck_sd=0.0, scene_sd=0.02)
    for world, seeds_dominate in ((quiet_seeds, False), (loud_seeds, True)):
        drawn = resample(world.study(np.random.default_rng(4)), world.names(), replicates=500)
        estimate = drawn.model(0)
        assert (estimate.seed_var[-1] > estimate.image_var[-1]) == seeds_dominate


def test_a_class_missing_from_a_resample_counts_for_no_model():
    world = World(groups=2, frames=30)
    entrants = world.study(np.random.default_rng(5), seeds=2)
    for entrant in entrants:
        # The last class is labeled on one image alone, and falsely predicted on the others.
        predicted = entrant.counts[:, 1:, 1, 5] - entrant.counts[:, 1:, 2, 5]
        entrant.counts[:, 1:, 1, 5] = predicted + entrant.counts[:, 1:, 0, 5]
        entrant.counts[:, 1:, (0, 2), 5] = 0
    drawn = resample(entrants, world.names(), replicates=400)
    absent = np.isnan(drawn.means[:, 0, 5])
    assert 0.2 < absent.mean() < 0.99
    assert np.array_equal(absent, np.isnan(drawn.means[:, 1, 5]))
    assert np.isfinite(drawn.difference(0, 1).error).all()


def test_a_class_that_does_not_occur_has_no_p_value_and_is_not_corrected_for():
    world = World(groups=2, frames=30)
    entrants = world.study(np.random.default_rng(8), seeds=2)
    for entrant in entrants:
        entrant.counts[..., 4] = 0
    p = resample(entrants, world.names(), replicates=200).difference(0, 1).p_value()
    assert np.flatnonzero(np.isnan(p)).tolist() == [4]
    assert np.nanmin(holm(p[:-1])) == pytest.approx(5 * np.nanmin(p[:-1]))


@pytest.mark.parametrize(
    ("value", "variance", "expected"),
    [(np.nan, np.nan, np.nan), (np.nan, 0.0, np.nan), (0.1, np.nan, np.nan), (0.0, 0.0, 1.0),
     (0.1, 0.0, 0.0), (0.1, 0.01, 0.3632)],
)  # fmt: skip
def test_p_values_where_value_or_error_is_missing_or_zero(value, variance, expected):
    zero, dof = np.zeros(1), np.array([5.0])
    found = Estimate(np.array([value]), np.array([variance]), zero, dof).p_value()
    assert found == pytest.approx([expected], abs=1e-4, nan_ok=True)


def test_the_same_input_gives_the_same_numbers():
    world = World(groups=2, frames=20)
    entrants = world.study(np.random.default_rng(6), seeds=2)
    first, second = (resample(entrants, world.names(), replicates=100) for _ in range(2))
    assert np.array_equal(first.means, second.means)


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, float("nan"), 0.01])[[0, 2]] == pytest.approx([0.5, 0.02])


def test_entrants_must_match():
    world = World(groups=1, frames=10)
    a, b = world.study(np.random.default_rng(7), seeds=2)
    with pytest.raises(ValueError, match="images or classes"):
        resample([a, Entrant("b", (0, 1), b.counts[:, :5])], world.names())
    with pytest.raises(ValueError, match="different names"):
        resample([a, a], world.names())
    with pytest.raises(ValueError, match="one by one"):
        Entrant("b", (0, 0), b.counts)


def test_intervals_stay_within_possible_values_and_are_nan_if_uninformative():
    value = np.array([0.5, 0.9, 0.2])
    zero, dof = np.zeros(3), np.array([1.0, 30.0, 30.0])
    variance = np.array([0.01, 0.01, 0.0])
    score = Estimate(value, variance, zero, dof).interval()
    assert np.isnan(score[0]).all()  # two seeds of SD 14: every score is inside
    assert score[1, 1] == 1.0
    assert 0.6 < score[1, 0] < 0.75
    assert score[2].tolist() == [0.2, 0.2]
    difference = Estimate(value, variance, zero, dof, limits=(-1.0, 1.0)).interval()
    assert difference[0].tolist() == [pytest.approx(0.5 - 12.706 * 0.1, abs=1e-3), 1.0]


def test_dice_is_tested_as_dice():
    world = World(groups=2, frames=30)
    entrants = world.study(np.random.default_rng(9), seeds=3, skills=(0.0, 0.4))
    dice = [Entrant(e.name, e.seeds, as_dice(e.counts)) for e in entrants]
    found = resample(dice, world.names(), replicates=300)
    hits, union = entrants[1].counts[:, :, 0].sum(axis=1), entrants[1].counts[:, :, 1].sum(axis=1)
    expected = (2 * hits / (union + hits)).mean(axis=1)
    assert found.scores[1][:, -1] == pytest.approx(expected)
    assert found.difference(1, 0).value[-1] > 0


def as_dice(counts: np.ndarray) -> np.ndarray:
    hits, union, labeled = (counts[:, :, part] for part in range(3))
    return np.stack([2 * hits, union + hits, labeled], axis=2)
