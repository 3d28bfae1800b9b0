"""Scores on corrupted images: those of evaluate, paired between models, by corruption."""

import json
import re

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison import robustness
from segbench.comparison.comparison import compare_runs
from segbench.comparison.corrupted import Corrupted
from segbench.comparison.formats import latex_tables, markdown_report
from segbench.comparison.gallery import gallery
from segbench.comparison.measures import entrants_by
from segbench.comparison.options import Options
from segbench.comparison.report import write_report
from segbench.comparison.resampling import plan
from segbench.comparison.study import read_study
from segbench.errors import DataError
from segbench.evaluation.corruptions import Corruption
from segbench.evaluation.robustness import count_corrupted
from segbench.metrics.robustness import CORRUPTED, summary
from tests.comparison.fabricated import edit, write_study

NAMES, SEVERITIES = ("fog", "snow", "gaussian_noise"), (1, 3)
FAST = Options(replicates=200)


def corrupt_study(path, names=NAMES):
    """Adds to each run what `evaluate corruptions=...` counts; unet suffers most, in fog."""
    for folder in sorted(path.glob("*/seed*")):
        run = RunDirectory(folder)
        image_names, groups, matrices = run.read_confusion()
        loss = 0.05 if "custom" in folder.parent.name else 0.15

        def evaluate(corruption, matrices=matrices, loss=loss):
            part = loss * corruption.severity * (1.5 if corruption.name == "fog" else 1)
            moved = matrices.copy()
            classes = np.arange(matrices.shape[1])
            lost = (matrices[:, classes, classes] * part).astype(np.int64)
            moved[:, classes, classes] -= lost
            moved[:, classes, (classes + 1) % len(classes)] += lost
            return moved

        chosen = [Corruption(name, level) for name in names for level in SEVERITIES]
        scored, counts = count_corrupted(chosen, evaluate, "exclude")
        run.write_confusion(image_names, groups, matrices, {CORRUPTED: counts})
        edit(folder, "scores.test.corrupted", scored)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return corrupt_study(write_study(root, {"custom": 0.3, "unet": 0.1}, seeds=3))


@pytest.fixture(scope="module")
def found(path):
    return compare_runs(read_study(path), FAST)


def test_the_scores_are_those_that_evaluate_reports(path):
    study = read_study(path)
    for entrant in entrants_by(study, "mIoU_corrupted"):
        scores = Corrupted().observed(entrant.counts, "exclude")
        for run, columns in zip(study.runs[entrant.name], scores, strict=True):
            stated = summary(run.scores.corrupted, run.scores.mIoU)
            assert columns[:-2] == pytest.approx(list(stated["mean"].values()), abs=1e-12)
            assert columns[-2] == pytest.approx(stated["drop"], abs=1e-12)
            assert columns[-1] == pytest.approx(stated["mean_corrupted"], abs=1e-12)


def test_influence_is_the_derivative_and_equal_weights_give_the_score():
    rng = np.random.default_rng(0)
    unions = rng.integers(50, 100, (2, 30, 1, 4, 2, 3))
    counts = np.concatenate([unions * rng.random(unions.shape), unions], axis=2)
    sample = Corrupted().sampler(plan(["g"] * 30, rng.random((1, 30)), "image"), counts, "exclude")
    ones = np.ones((1, 30))
    assert sample(ones)[0] == pytest.approx(Corrupted().observed(counts, "exclude"), abs=1e-12)
    moved = ones.copy()
    moved[0, 7] += 1e-6
    slope = (sample(moved) - sample(ones))[0, :, -1] / 1e-6
    assert Corrupted().influence(counts)[:, 7] == pytest.approx(slope, rel=1e-3)


def test_every_corruption_has_the_score_of_each_model_and_a_paired_interval(found):
    entry = found["robustness"]
    rows = {row["name"]: row for row in entry["rows"]}
    assert list(rows) == ["clean", *NAMES, "mean", "drop"]
    assert entry["worst"] == {"custom": "fog", "unet": "fog"}
    assert entry["pair"] == ["custom", "unet"]
    for name in (*NAMES, "mean", "drop"):
        row = rows[name]
        assert row["value"] == pytest.approx(row["values"]["custom"] - row["values"]["unet"])
        assert row["interval"][0] < row["value"] < row["interval"][1]
    assert rows["mean"]["value"] > 0 > rows["drop"]["value"]
    assert rows["clean"]["values"]["unet"] == pytest.approx(
        next(row["mIoU"] for row in found["leaderboard"] if row["label"] == "unet")
    )
    assert "worst: fog" in robustness.sentence(found)


def test_it_is_in_every_report(path, found):
    study = read_study(path)
    page = write_report(study, found, gallery(study, found)).read_text()
    assert '<section id="robustness">' in page
    assert "gaussian noise" in page
    assert "## Corrupted images" in markdown_report(found)
    assert "robustness}" in latex_tables(found)
    assert (path / "report/robustness.csv").read_text().startswith("images,custom,unet,")


def test_it_can_be_the_headline_and_a_further_metric(path):
    found = compare_runs(read_study(path), Options(metric="mIoU_corrupted", replicates=200))
    assert found["verdict"].startswith("custom is better than unet, by")
    rows = {row["name"]: row["value"] for row in found["robustness"]["rows"]}
    assert found["pairs"][0]["value"] == pytest.approx(rows["mean"])
    found = compare_runs(read_study(path), Options(metrics=("mIoU_corrupted",), replicates=200))
    assert found["metrics"][0]["difference"]["value"] == pytest.approx(rows["mean"])


def test_runs_with_other_corruptions_are_not_compared_and_named(tmp_path):
    path = corrupt_study(write_study(tmp_path, {"custom": 0.3, "unet": 0.1}, seeds=2))
    for run in path.glob("unet-streets/seed*"):
        edit(run, "scores.test.corrupted", None)
    found = compare_runs(read_study(path), FAST)
    assert found["robustness"] is None
    entry = next(entry for entry in found["audit"] if entry["field"] == "corrupted images")
    assert entry["values"] == {"custom": "fog 1,3, snow 1,3, gaussian_noise 1,3", "unet": "none"}
    with pytest.raises(DataError, match="unet seed 0, unet seed 1 lack what it needs"):
        compare_runs(read_study(path), Options(metrics=("mIoU_corrupted",), replicates=200))


def _without_snow(run):
    content = json.loads((run / "result.json").read_text())
    del content["scores"]["test"]["corrupted"]["snow"]
    (run / "result.json").write_text(json.dumps(content))


def _without_counts(run):
    directory = RunDirectory(run)
    directory.write_confusion(*directory.read_confusion())


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (_without_snow, r"mIoU_corrupted .* is not that of 4 corruptions"),
        (_without_counts, "there are no counts of the corrupted images"),
        (lambda run: edit(run, "scores.test.corrupted.fog", {"1": 0.2}), "different severities"),
        (lambda run: edit(run, "scores.test.corrupted.fog.3", 0.9), "result.json says 0.9"),
        (lambda run: edit(run, "scores.test.corrupted.fog.3", None), "result.json says None"),
    ],
)
def test_a_run_whose_counts_do_not_give_its_corrupted_scores_is_left_out(tmp_path, alter, reason):
    path = corrupt_study(write_study(tmp_path, {"custom": 0.3, "unet": 0.1}, seeds=2))
    alter(path / "unet-streets/seed1")
    study = read_study(path)
    assert [run.seed for run in study.runs["unet"]] == [0]
    (left_out,) = study.left_out
    assert left_out.broken
    assert re.search(reason, left_out.reason)
    compare_runs(study, FAST)
