"""The comparison as values: scores, pairs, classes, groups, and the sentence about them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison import tables, wording
from segbench.comparison.comparison import compare_runs
from segbench.comparison.entrants import Entrant
from segbench.comparison.measures import entrants_by
from segbench.comparison.options import Options
from segbench.comparison.statistics import resample
from segbench.comparison.study import read_study
from segbench.errors import DataError
from segbench.metrics.scores import scores
from tests.comparison.fabricated import COLORS, NAMES, edit, write_study
from tests.comparison.simulation import World

FAST = Options(replicates=200)


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


def test_one_seed_gets_no_verdict(tmp_path, write):
    path = write_study(tmp_path, {"custom": 2.0, "unet": 0.0}, seeds=1)
    found = compare_runs(read_study(path), FAST)
    assert found["verdict"].startswith("No verdict: one seed of custom and unet is not enough")
    assert found["leaderboard"][0]["sd"] is None
    assert found["pairs"][0]["improvement"] == [None] * 3
    write(path, found)


def test_one_model_is_reported_without_a_verdict(tmp_path, write):
    path = write_study(tmp_path, {"custom": 0.0}, seeds=2)
    found = compare_runs(read_study(path), FAST)
    assert "nothing to compare" in found["verdict"]
    assert write(path, found).is_file()


def test_an_invalid_comparison_is_stated_in_the_verdict(tmp_path, write):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for seed in (0, 1):
        edit(path / "custom-streets" / f"seed{seed}", "config.weights", "imagenet.pt")
    found = compare_runs(read_study(path), FAST)
    assert "is invalid: the runs differ in pretraining" in found["verdict"]
    text = write(path, found).read_text()
    assert "What invalidates this comparison" in text


def recount(path: Path, change) -> None:
    """Rewrites the matrices of all runs of a study, and their scores, after `change`."""
    for run in path.glob("*/seed*"):
        names, groups, matrices = RunDirectory(run).read_confusion()
        change(matrices, np.array(groups))
        RunDirectory(run).write_confusion(names, groups, matrices)
        edit(run, "scores.test", scores(matrices.sum(axis=0), NAMES))


def test_a_class_that_does_not_occur_is_a_row_of_dashes_and_is_not_corrected_for(tmp_path, write):
    def drop_poles(matrices, _):
        matrices[:, NAMES.index("pole")] = 0
        matrices[:, :, NAMES.index("pole")] = 0

    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    recount(path, drop_poles)
    study = read_study(path)
    found = compare_runs(study, FAST)
    rows = tables.classes(found).texts()
    row = next(row for row in rows if row[0] == "pole")
    assert row == ["pole"] + 5 * ["–"]
    assert all("–" not in cell for row in rows[:-1] for cell in row[:4])
    drawn = resample(entrants_by(study, "mIoU"), study.first.groups, replicates=200)
    bounds = drawn.difference(0, 1).interval(1 - 0.05 / 5)
    assert found["pairs"][0]["classes"][0]["interval"] == pytest.approx(bounds[0])
    assert "no p value" not in write(study.path, found).read_text()


def test_a_group_without_labels_is_not_tested(tmp_path, write):
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
    parts = [Entrant(e.name, e.seeds, e.counts[:, inside]) for e in entrants_by(study, "mIoU")]
    alone = resample(parts, ["drive0"] * 16, unit="block", replicates=200).difference(0, 1)
    assert rows["drive0"]["interval"] == pytest.approx(alone.interval(1 - 0.05 / 2)[-1])
    text = write(study.path, found).read_text()
    assert "– to –" not in text


def test_independent_images_are_not_called_groups_or_blocks(tmp_path, write):
    world = World(groups=48, frames=1, taste_sd=0.2)
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2, world=world)
    found = compare_runs(read_study(path), FAST)
    assert found["unit"] == "image"
    text = write(path, found).read_text()
    assert "48 images, assumed independent" in text
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


def test_classes_and_colors_of_the_fixture_match():
    assert len(NAMES) == len(COLORS)


def test_only_a_difference_that_the_test_confirms_is_bold(tmp_path, write):
    for skill, is_clear in ((1.0, True), (0.0, False)):
        path = write_study(tmp_path, {"custom": skill, "unet": 0.0}, seeds=3, name=f"s{skill}")
        found = compare_runs(read_study(path), FAST)
        latex = (write(path, found).parent / "tables.tex").read_text()
        board = latex[latex.index("leaderboard}") : latex.index("end{table}")]
        assert (r"\textbf" in board) == is_clear


def test_dice_can_be_the_tested_metric(tmp_path, write):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    iou, dice = (compare_runs(read_study(path), Options(metric=metric, replicates=200))
                 for metric in ("mIoU", "mDice"))  # fmt: skip
    for mine, other in zip(dice["leaderboard"], iou["leaderboard"], strict=True):
        stated = [json.loads(file.read_text())["scores"]["test"]["mDice"]
                  for file in path.glob(f"{mine['label']}-streets/seed*/result.json")]  # fmt: skip
        assert mine["value"] == pytest.approx(np.mean(stated))
        assert (mine["mIoU"], other["mDice"]) == pytest.approx((other["value"], mine["value"]))
    assert "points of mDice" in dice["verdict"]
    assert tables.leaderboard(dice).heads[1] == "mDice (%)"
    text = write(path, dice).read_text()
    assert "Dice per class" in text
    assert "points of mIoU" not in text


def test_an_interval_excludes_impossible_values(tmp_path, write):
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
    surer = compare_runs(read_study(path), replace(FAST, confidence=0.999))
    assert surer["pairs"][0]["interval"] == [None, None]
    assert "two seeds give no usable 99.9% interval" in surer["evidence"]


def test_two_seeds_without_a_usable_interval_are_reported_as_such(comparison):
    pair = {**comparison["pairs"][0], "interval": [None, None], "verdict": "not distinguishable",
            "has_power": True, "seeds_needed": None, "images_needed": None}  # fmt: skip
    rows = [{**row, "seeds": [0, 1]} for row in comparison["leaderboard"]]
    changed = {**comparison, "pairs": [pair], "headline": 0, "leaderboard": rows, "audit": []}
    evidence = wording.verdict(changed)[1]
    assert "two seeds give no usable 95% interval" in evidence
    assert "more than 100 seeds" in evidence
    assert "would not settle" not in evidence
    pair["has_power"] = False
    assert "fewer than four seeds" in wording.verdict(changed)[1]


def test_small_models_have_parameters(tmp_path, write):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2)
    for seed in (0, 1):
        edit(path / "custom-streets" / f"seed{seed}", "params", 2866)
    found = compare_runs(read_study(path), FAST)
    assert "2.87 K" in write(path, found).read_text()
