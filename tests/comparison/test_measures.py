"""Every metric has its published value and an honest interval, and says how it is had."""

import dataclasses
import html

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.comparison import more_metrics
from segbench.comparison.comparison import compare_runs
from segbench.comparison.entrants import Entrant
from segbench.comparison.formats import latex_tables, markdown_report
from segbench.comparison.measures import APPROXIMATE, MEASURES, check_metrics, entrants_by
from segbench.comparison.options import Options
from segbench.comparison.resampling import plan
from segbench.comparison.scoring import Bins, Worst
from segbench.comparison.statistics import resample
from segbench.comparison.study import read_study
from segbench.comparison.tables import leaderboard, method
from segbench.config.schema import EvaluateConfig
from segbench.errors import ConfigError, DataError
from segbench.metrics.catalog import CATALOG
from segbench.metrics.fine_grained import fine_grained_scores
from tests.comparison.fabricated import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two models, three seeds, with made-up probabilities and outlines."""
    path = write_study(tmp_path_factory.mktemp("runs"), {"custom": 0.8, "unet": 0.0}, seeds=3)
    rng = np.random.default_rng(0)
    for run in sorted(path.glob("*/seed*")):
        directory = RunDirectory(run)
        names, groups, matrices = directory.read_confusion()
        worse = 1.0 + ("unet" in run.parent.name)
        pixels = np.full((len(names), 1), 1000.0)
        bins = np.zeros((len(names), 1, 15, 3))
        bins[..., 0] = 100
        bins[..., 1] = 50 + rng.normal(0, 2, bins.shape[:-1])
        bins[..., 2] = bins[..., 1] + 10 * worse
        counts = {
            "NLL": np.stack([pixels * worse * rng.uniform(0.4, 0.6, pixels.shape), pixels], 1),
            "AURC": np.stack([0.1 * worse * np.ones_like(pixels), np.ones_like(pixels)], 1),
            "ECE": bins,
        }
        directory.write_confusion(names, groups, matrices, counts)
    return read_study(path)


def test_the_headline_is_a_score_of_which_more_is_better():
    check_metrics("mIoU_C5", ["NLL", "ECE"])
    with pytest.raises(ConfigError, match=r"metric=NLL: less is better.*metrics=\[NLL\]"):
        check_metrics("NLL", [])
    with pytest.raises(ConfigError, match=r"metric: miou: there is no such metric.*mIoU"):
        check_metrics("miou", [])
    with pytest.raises(ConfigError, match="metrics=NLL,ECE,NLL: name each metric once"):
        check_metrics("mIoU", ["NLL", "ECE", "NLL"])
    with pytest.raises(ConfigError, match=r"set metric=mIoU metrics=\[mDice\]"):
        check_metrics("mIoU,mDice", ())
    with pytest.raises(ConfigError, match=r"metrics: HD59: there is no such metric.*HD95"):
        check_metrics("mIoU", ["HD59"])


def test_a_metric_takes_a_row_of_the_catalog_and_a_field_of_the_scores():
    fields = {field.name for field in dataclasses.fields(Scores)}
    for name, metric in CATALOG.items():
        assert name in MEASURES
        if metric.counter:
            assert name in fields
            assert metric.argument.removesuffix("=true") in EvaluateConfig.__annotations__


@pytest.mark.parametrize("name", [n for n in MEASURES if n[0] == "m" and "corrupted" not in n])
def test_what_is_observed_is_the_published_score(study, name):
    entrants = entrants_by(study, name)
    drawn = resample(entrants, study.first.groups, replicates=100)
    for entrant, scores in zip(entrants, drawn.scores, strict=True):
        for run, found in zip(study.runs[entrant.name], scores[:, -1], strict=True):
            plain = {"mIoU": run.scores.mIoU, "mDice": run.scores.mDice}
            expected = (plain | fine_grained_scores(run.images.counts))[name]
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["mIoU_I", "mIoU_C", "mIoU_I10", "mDice_C5"])
def test_any_of_them_can_be_the_headline(study, name):
    found = compare_runs(study, Options(metric=name, replicates=200))
    assert found["verdict"].startswith("custom is better than unet, by")
    assert name in found["verdict"]
    assert "IoU" in markdown_report(found)
    assert r"\toprule" in latex_tables(found)


def test_further_metrics_have_intervals_and_are_corrected_together(study):
    names = ("mIoU_C", "NLL", "ECE", "AURC")
    found = compare_runs(study, Options(metrics=names, replicates=200))
    rows = {row["metric"]: row for row in found["metrics"]}
    assert tuple(rows) == names
    for row in rows.values():
        assert row["difference"]["verdict"] == "better", row["metric"]
        for model in row["models"]:
            assert model["interval"][0] <= model["value"] <= model["interval"][1]
    assert rows["NLL"]["difference"]["value"] < 0, "less is better"
    raw = [row["difference"]["p"] for row in rows.values()]
    assert min(row["difference"]["p_holm"] for row in rows.values()) >= 4 * min(raw) - 1e-12
    cells = more_metrics.table(found).texts()
    assert cells[1][0] == "NLL (nats) ↓"
    assert cells[0][0] == "mIoU_C (%) ↑"
    assert "Further metrics" in latex_tables(found)


def test_intervals_over_the_worst_images_are_called_approximate_wherever_they_are(study, write):
    found = compare_runs(study, Options(metrics=("mIoU_C", "mIoU_I5"), replicates=200))
    assert [row["approximate"] for row in found["metrics"]] == [False, True]
    assert not found["approximate"]
    plain, worst = more_metrics.table(found).texts()
    assert not any("about" in cell for cell in plain)
    assert all("(about " in cell for cell in worst[1:4])
    page = html.unescape(write(study.path, found).read_text())
    for text in (markdown_report(found), latex_tables(found), page):
        assert APPROXIMATE.replace("%", "") in text.replace("\\%", "").replace("%", "")


def test_a_headline_over_the_worst_images_is_called_approximate_in_every_sentence(study):
    found = compare_runs(study, Options(metric="mDice_C5", replicates=200))
    assert found["approximate"]
    assert "approximate 95% interval" in found["evidence"]
    assert "approximate 95% interval" in leaderboard(found).heads
    assert APPROXIMATE in method(found)
    assert "approximate" not in method(compare_runs(study, Options(replicates=200)))


def test_intervals_of_a_biased_score_are_around_the_value_without_the_bias(study):
    drawn = resample(entrants_by(study, "mIoU_I5"), study.first.groups, replicates=300)
    found = drawn.model(0)
    expected = np.mean(drawn.means[:, 0, -1]) - found.value[-1]
    assert found.bias[-1] == pytest.approx(expected)
    assert found.bias[-1] > 0, "few images lack the worst"
    low, high = found.interval()[-1]
    assert (low + high) / 2 == pytest.approx(found.value[-1] - expected)
    assert low < found.value[-1] < high
    unbiased = resample(entrants_by(study, "mIoU_I"), study.first.groups, replicates=300)
    assert not unbiased.model(0).bias.any()


@pytest.mark.parametrize("name", ["mIoU_I1", "mDice_C5"])
def test_the_worst_of_three_images_and_of_equal_ones(name):
    for values in (np.array([0.2, 0.5, 0.9]), np.ones(3)):
        counts = np.repeat(values[None, :, None], 2, axis=0)
        entrants = [Entrant(model, (0, 1), counts, MEASURES[name].scoring) for model in "ab"]
        found = resample(entrants, ["x", "y", "z"], replicates=200).difference(0, 1)
        assert found.value[-1] == 0
        assert found.p_value()[-1] == 1
        assert list(found.interval()[-1]) == [0, 0]


def test_a_metric_that_was_not_counted_names_the_command_that_does(study):
    with pytest.raises(DataError) as error:
        compare_runs(study, Options(metrics=("HD95",), replicates=100))
    assert "metric=HD95: custom seed 0, custom seed 1" in str(error.value)
    assert "segbench.evaluate ckpt=" in str(error.value)
    assert "surface=true" in str(error.value)


def test_equal_weights_give_the_score_and_heavy_images_pull_it():
    rng = np.random.default_rng(0)
    values = rng.random((2, 50, 3))
    values[:, ::7, 1] = np.nan
    worst = Worst(10)
    everything = plan(["g"] * 50, rng.random((1, 50)), "image")
    sample = worst.sampler(everything, values, "exclude")
    ones = sample(np.ones((1, 50)))[0]
    assert ones == pytest.approx(worst.observed(values, "exclude"), abs=1e-12)
    assert ones[0, 0] == pytest.approx(np.sort(values[0, :, 0])[:5].mean())
    lowest = values[0, :, 0].argmin()
    heavy = np.ones((1, 50))
    heavy[0, lowest] = 20
    assert sample(heavy)[0, 0, 0] == pytest.approx(values[0, lowest, 0])


@pytest.mark.parametrize("scoring", ["worst", "bins"])
def test_influence_is_the_derivative_of_the_score(scoring):
    rng = np.random.default_rng(1)
    if scoring == "worst":
        kind, counts = Worst(10), rng.random((1, 40, 1))
    else:
        kind, counts = Bins(), rng.random((1, 40, 2, 15, 3))
    everything = plan(["g"] * 40, rng.random((1, 40)), "image")
    sample = kind.sampler(everything, counts, "exclude")
    lowest = int(counts[0, :, 0].reshape(40, -1)[:, 0].argmin())
    for image in (0, 3, lowest):
        # The worst have a kink: this is the side on which the last of them stays the last.
        step = 1e-6 if image == lowest else -1e-6
        moved = np.ones((1, 40))
        moved[0, image] += step
        slope = (sample(moved) - sample(np.ones((1, 40))))[0, 0, -1] / step
        assert kind.influence(counts)[0, image] == pytest.approx(slope, rel=1e-3, abs=1e-6)
