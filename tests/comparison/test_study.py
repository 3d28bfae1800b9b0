"""Reading a study: which runs are used, which are left out by name, which are refused."""

import json
import shutil

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.audit import audit
from segbench.comparison.measures import entrants_by
from segbench.comparison.study import read_studies, read_study
from segbench.errors import DataError
from segbench.metrics.scores import scores
from tests.comparison.fabricated import NAMES, WORLD, edit, result, write_run, write_study


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, {"custom": 0.3, "unet": 0.0}, seeds=2)


def run_of(study, label="unet", seed=1):
    return study / f"{label}-streets" / f"seed{seed}"


def test_runs_are_grouped_by_model_with_seeds_in_order(study):
    found = read_study(study)
    assert {label: [run.seed for run in runs] for label, runs in found.runs.items()} == {
        "custom": [0, 1],
        "unet": [0, 1],
    }
    assert found.left_out == []
    assert entrants_by(found, "mIoU")[0].counts.shape == (2, 48, 3, 6)


def test_an_unfinished_or_failed_run_is_named_but_no_broken_file(study):
    edit(run_of(study), "status", "failed")
    edit(run_of(study), "reason", "out of memory")
    (study / "unet-streets" / "seed2").mkdir()
    left_out = read_study(study).left_out
    assert [entry.broken for entry in left_out] == [False, False]
    assert "out of memory" in left_out[0].reason
    assert "never started" in left_out[1].reason


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: edit(run, "classes.colors", [[0, 0, 999]] * 6), "classes: (0, 0, 999) is not"),
        (lambda run: edit(run, "hardware", "H100"), "hardware: must be"),
        (lambda run: edit(run, "command", ["python"]), "command: must be a valid string"),
        (lambda run: edit(run, "scores.test.mIoU", "x"), "scores.test.mIoU: must be"),
        (lambda run: edit(run, "scores.test.IoU", {"road": 7}), "IoU.road: must be less than"),
        (lambda run: edit(run, "budget.steps", -1), "budget.steps: must be greater than"),
        (lambda run: edit(run, "seed", 10**30), "seed: must be less than"),
        (lambda run: edit(run, "config", None), "config: must be a valid dictionary"),
        (lambda run: (run / "result.json").write_bytes(b"\xff\xfe\x00"), "result.json is corrupt"),
        (lambda run: flip(run / "confusion.npz"), "confusion.npz is corrupt"),
        (lambda run: (run / "result.json").write_text("{"), "result.json is corrupt"),
        (lambda run: (run / "result.json").write_text("[]"), "no schema_version"),
        (lambda run: edit(run, "schema_version", 99), "reads up to 1; update segbench"),
        (lambda run: edit(run, "scores.test.mIoU", 0.99), "result.json says 0.99"),
        (lambda run: edit(run, "scores.test.mDice", 0.99), "result.json says 0.99"),
        (lambda run: edit(run, "scores.test.fwIoU", None), "result.json says None"),
        (lambda run: edit(run, "scores.test.IoU.car", 0.99), "result.json says 0.99"),
        (lambda run: (run / "confusion.npz").write_bytes(b"PK"), "confusion.npz is corrupt"),
        (lambda run: (run / "confusion.npz").unlink(), "no confusion.npz"),
        (
            lambda run: RunDirectory(run).write_confusion(["a"], ["g"], np.zeros((1, 2, 3), int)),
            "expected",
        ),
    ],
)
def test_a_broken_file_is_named_and_its_run_left_out(study, damage, message):
    damage(run_of(study))
    found = read_study(study)
    (entry,) = found.left_out
    assert entry.path == run_of(study)
    assert entry.broken
    assert message in entry.reason
    assert ("rerun it" in entry.reason) != ("update segbench" in entry.reason)  # one remedy
    assert len(found.runs["unet"]) == 1


def flip(file):
    """Damages the compressed data in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def unlabel(run, absent="exclude"):
    """Removes all labeled pixels from a run's test split."""
    names, groups, matrices = RunDirectory(run).read_confusion()
    RunDirectory(run).write_confusion(names, groups, np.zeros_like(matrices))
    edit(run, "scores.test", scores(np.zeros_like(matrices[0]), NAMES, absent))
    edit(run, "protocol.absent_classes", absent)


@pytest.mark.parametrize("absent", ["exclude", "zero", "one"])
def test_a_split_without_labels_is_reported_and_is_not_a_broken_file(study, absent):
    unlabel(run_of(study), absent)
    (entry,) = read_study(study).left_out
    assert entry.path == run_of(study)
    assert not entry.broken
    assert "the test split has no labels, so there is nothing to compare" in entry.reason
    assert "segbench.evaluate ckpt=FILE split=val" in entry.reason


def test_a_study_without_any_labels_says_why_there_is_nothing_to_compare(study):
    for run in study.glob("*/seed*"):
        unlabel(run)
    with pytest.raises(DataError, match=r"(?s)no finished run to compare.*has no labels"):
        read_study(study)


@pytest.mark.parametrize("stated", [None, 0.5])
def test_a_score_that_only_one_file_has_is_a_broken_file(study, stated):
    if stated is not None:
        unlabel(run_of(study))
    edit(run_of(study), "scores.test.mIoU", stated)
    (entry,) = read_study(study).left_out
    assert entry.broken
    assert f"result.json says {stated}" in entry.reason


def test_a_missing_key_is_named(study):
    file = run_of(study) / "result.json"
    content = json.loads(file.read_text())
    del content["protocol"]
    file.write_text(json.dumps(content))
    assert "a finished run lacks protocol" in read_study(study).left_out[0].reason


def test_the_same_run_is_not_counted_twice(study):
    shutil.copytree(run_of(study), run_of(study, seed=7))
    assert "also exists in" in read_study(study).left_out[0].reason
    edit(run_of(study, seed=7), "seed", 7)
    assert "one run would count twice" in read_study(study).left_out[0].reason


def test_seeds_of_one_model_on_different_data_are_told_apart(study):
    edit(run_of(study), "data_info.fingerprint.test", "0" * 64)
    with pytest.raises(DataError) as error:
        read_study(study)
    name = run_of(study).parent.name
    assert f"({name} seed 1)" in str(error.value)
    assert f"{name} seed 0" in str(error.value)


def predict_only(run, name):
    """Makes every prediction of a run the class `name`."""
    directory = RunDirectory(run)
    names, groups, matrices = directory.read_confusion()
    constant = np.zeros_like(matrices)
    constant[:, :, NAMES.index(name)] = matrices.sum(axis=2)
    directory.write_confusion(names, groups, constant)
    edit(run, "scores.test", scores(constant.sum(axis=0), NAMES))


def test_two_trainings_that_predict_one_class_everywhere_are_two(study):
    for seed in (0, 1):
        predict_only(run_of(study, seed=seed), NAMES[1])
        edit(run_of(study, seed=seed), "timings.train_seconds", 60.0 + seed)
    found = read_study(study)
    assert not found.left_out
    (entry,) = [e for e in audit(found.runs) if e.field == "constant predictions"]
    assert entry.values == {"unet": f"only '{NAMES[1]}' (seed 0, 1)"}
    edit(run_of(study, seed=1), "timings.train_seconds", 60.0)
    assert "one run would count twice" in read_study(study).left_out[0].reason


def test_two_data_sets_can_be_compared_one_at_a_time(study):
    write_study(study.parent, {"custom": 0.1, "unet": 0.0}, 2, data="camvid11")
    for seed in (0, 1):
        for label in ("custom", "unet"):
            edit(study / f"{label}-camvid11" / f"seed{seed}", "data_info.fingerprint.test", "aa")
    with pytest.raises(DataError, match="data fingerprint"):
        read_study(study)
    found = read_study(study, only=["custom-camvid11", "unet-camvid11"])
    assert sorted(found.runs) == ["custom", "unet"]


def test_models_may_be_named_as_in_the_report(study):
    names = [f.name for f in study.glob("*")]
    assert "custom-streets" in names
    (found,) = read_studies([study], only=["custom"])
    assert list(found.runs) == [found.label_of("custom-streets")]
    assert {run.result.name for runs in found.runs.values() for run in runs} == {"custom-streets"}
    with pytest.raises(DataError) as error:
        read_studies([study], only=["costom", "costom"])
    assert str(error.value).count("no run has this name; did you mean 'custom'?") == 1
    with pytest.raises(DataError, match=rf"is named without its folder: {study.name}$"):
        read_study(study.parent / study.parent.name / study.name)


def test_other_images_under_the_same_fingerprint_are_refused(study):
    run = RunDirectory(run_of(study))
    names, groups, matrices = run.read_confusion()
    run.write_confusion(names[::-1], groups, matrices)
    with pytest.raises(DataError, match="the images or their groups"):
        read_study(study)


def test_given_weights_count_once_whatever_their_seeds(study):
    """On a GPU, scoring the same weights twice differs by rounding; that is no second training."""
    for seed in (0, 1):
        edit(run_of(study, seed=seed), "budget.epochs", 0)
    found = read_study(study)
    assert [run.seed for run in found.runs["unet"]] == [0]
    (entry,) = found.left_out
    assert entry.path == run_of(study)
    assert "nothing was trained in it" in entry.reason
    assert "seed0 (trainer.max_epochs=0): two seeds are not two trainings" in entry.reason


def test_nothing_to_compare_is_an_error_that_says_why(study, tmp_path):
    with pytest.raises(DataError, match=r"no such study; did you mean 'custom_vs_unet'\?"):
        read_study(study.parent / "custom_unet")
    with pytest.raises(DataError, match="no such study; nothing was trained"):
        read_study(tmp_path / "elsewhere" / "nothing")
    for run in study.glob("*/seed*"):
        edit(run, "status", "running")
    with pytest.raises(DataError, match=r"(?s)no finished run.*running"):
        read_study(study)
    with pytest.raises(DataError, match="among typo"):
        read_study(study, only=["typo"])


def test_predictions_of_another_program_are_in_the_same_table(study):
    _, _, matrices = RunDirectory(run_of(study)).read_confusion()
    content = result("theirs", 0, matrices, study.name, "streets")
    content |= {"kind": "evaluate", "budget": {}, "params": None, "config": {"predictions": "x"}}
    content["name"] = "theirs"
    write_run(study / "theirs" / "seed0", content, matrices, WORLD)
    assert sorted(read_study(study).runs) == ["custom", "theirs", "unet"]
