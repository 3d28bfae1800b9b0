"""What a comparison concludes: scores, verdicts, intervals and tests of a study."""

import json

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.comparison import Options, compare_runs
from segbench.comparison.entrants import Entrant, entrants_of
from segbench.comparison.statistics import resample
from segbench.comparison.study import read_study
from segbench.errors import DataError
from tests.comparison.compared import FAST, recount, write
from tests.comparison.fabricated import edit, write_study
from tests.comparison.simulation import World


def test_the_leaderboard_recomputes_scores_from_summed_matrices(study_path, comparison):
    row = next(row for row in comparison["leaderboard"] if row["label"] == "unet")
    files = sorted((study_path / "unet-streets").glob("seed*/result.json"))
    stated = [json.loads(file.read_text())["scores"]["test"]["mIoU"] for file in files]
    assert row["scores"] == pytest.approx(stated, abs=1e-12)
    assert row["value"] == pytest.approx(np.mean(stated))
    assert row["sd"] == pytest.approx(np.std(stated, ddof=1))
    assert row["interval"][0] < row["value"] < row["interval"][1]


def test_the_better_model_wins_and_the_sentence_says_so(comparison):
    assert comparison["leaderboard"][0]["label"] == "custom"
    assert comparison["verdict"].startswith("custom is better than ")
    assert "3 seeds each" in comparison["evidence"]


def test_the_baseline_decides_which_pair_the_report_is_about(study_path):
    study = read_study(study_path)
    for baseline in ("unet", "fcn"):
        found = compare_runs(study, Options(baseline=baseline, replicates=200))
        assert f"custom is better than {baseline}" in found["verdict"]
    with pytest.raises(DataError, match=r"baseline=segnet.*custom, fcn, unet"):
        compare_runs(study, Options(baseline="segnet", replicates=200))


def test_one_seed_gets_no_verdict(tmp_path):
    path = write_study(tmp_path, {"custom": 2.0, "unet": 0.0}, seeds=1)
    found = compare_runs(read_study(path), FAST)
    assert found["verdict"].startswith("No verdict: one seed of custom and unet proves nothing")
    assert found["leaderboard"][0]["sd"] is None
    write(path, found)


def test_an_invalid_comparison_says_so_in_the_verdict(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for seed in (0, 1):
        edit(path / "custom-streets" / f"seed{seed}", "config.weights", "imagenet.pt")
    found = compare_runs(read_study(path), FAST)
    assert "does not hold: the runs differ in pretraining" in found["verdict"]
    text = write(path, found).read_text()
    assert "What invalidates this comparison" in text


def test_a_group_without_labels_is_not_tested(tmp_path):
    def blank(matrices, groups):
        matrices[groups == "drive1"] = 0

    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    recount(path, blank)
    study = read_study(path)
    found = compare_runs(study, FAST)
    rows = {row["group"]: row for row in found["by_group"]}
    assert [rows["drive1"][key] for key in ("value", "interval", "p_holm")] == [
        None, [None, None], None,
    ]  # fmt: skip
    inside = np.array(study.first.groups) == "drive0"
    parts = [Entrant(e.name, e.seeds, e.counts[:, inside]) for e in entrants_of(study)]
    alone = resample(parts, ["drive0"] * 16, unit="block", replicates=200).difference(0, 1)
    assert rows["drive0"]["interval"] == pytest.approx(alone.interval(1 - 0.05 / 2)[-1])
    text = write(study.path, found).read_text()
    assert "– to –" not in text


def test_independent_images_are_not_called_groups_or_blocks(tmp_path):
    world = World(groups=48, frames=1, taste_sd=0.2)
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2, world=world)
    found = compare_runs(read_study(path), FAST)
    assert found["unit"] == "image"
    text = write(path, found).read_text()
    assert "48 images, taken as independent" in text
    assert "set data.group_regex" in text
    assert "Whole " not in text


def test_decisive_images_really_differ(comparison):
    wins = comparison["images"]["wins"]
    assert [image["gain"] for image in wins] == sorted((i["gain"] for i in wins), reverse=True)
    assert all(image["pixel_acc"][0] > image["pixel_acc"][1] for image in wins)


def test_boundaries_are_compared_where_all_runs_counted_them(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    assert "boundary" not in compare_runs(read_study(path), FAST)
    for run in path.glob("*/seed*"):
        names, groups, matrices = RunDirectory(run).read_confusion()
        hit = np.diagonal(matrices, axis1=1, axis2=2)
        share = 0.6 if "custom" in run.parent.name else 0.5
        bands = np.stack([(share * hit).astype(np.int64), hit], axis=1)
        np.savez(run / "confusion.npz", names=names, groups=groups, matrices=matrices,
                 boundary=bands)  # fmt: skip
    found = compare_runs(read_study(path), FAST)["boundary"]
    assert found["value"] == pytest.approx(0.1, abs=0.001)


def test_an_interval_excludes_impossible_values(tmp_path):
    world = World(groups=3, frames=16, seed_sd=3.0)
    path = write_study(tmp_path, {"custom": 0.3, "unet": 0.0}, seeds=2, world=world)
    found = compare_runs(read_study(path), FAST)
    intervals = [row["interval"] for row in found["leaderboard"]]
    assert all(0 <= end <= 1 for ends in intervals for end in ends if end is not None)
    pair = found["pairs"][0]
    for ends in [pair["interval"], *(entry["interval"] for entry in pair["classes"])]:
        assert all(end is None or -1 <= end <= 1 for end in ends)
    assert [None, None] in [pair["interval"], *(entry["interval"] for entry in pair["classes"])]
    write(path, found)
