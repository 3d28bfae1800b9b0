"""`python -m segbench.evaluate`, from the command line to the files it writes."""

import csv
import json
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from segbench.artifacts.aim import aim_of
from segbench.artifacts.result import Result, Training
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError, DataError
from segbench.evaluate import evaluate
from segbench.evaluation.record import _trained_on
from segbench.predict import predict
from tests.conftest import run_verb

STREETS = ["data=streets", "data.size=[24,33]", "data.train=8", "data.val=2", "data.test=5",
           "data.frames_per_drive=2"]  # fmt: skip


@pytest.fixture
def run(compose):
    return lambda *words: evaluate(compose("evaluate", *words))


@pytest.fixture
def perfect(small_streets, tmp_path):
    """The masks of the test split as predictions, void included."""
    folder = tmp_path / "perfect"
    folder.mkdir()
    for record in small_streets.records("test"):
        cv2.imwrite(str(folder / f"{record.name}.png"), small_streets.read(record)[1])
    return folder


def test_a_checkpoint_needs_no_other_argument(run, ckpt, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    outcome = run(f"ckpt={ckpt}", "num_workers=0", "gallery=2")
    folder = tmp_path / "runs" / "evaluations" / "custom-streets" / "seed3"
    result = json.loads((folder / "result.json").read_text())
    assert result["kind"] == "evaluate"
    assert result["status"] == "finished"
    assert result["data_info"]["num_images"] == {"test": 5}
    assert result["protocol"]["absent_classes"] == "exclude"
    assert result["protocol"]["void_prediction"] == "miss"
    scores = result["scores"]["test"]
    assert outcome.score == scores["mIoU"]
    for key in ("IoU", "precision", "boundary_F", "ECE", "worst_tenth_mIoU", "groups", "fwIoU"):
        assert key in scores
    names, groups, matrices = RunDirectory(folder).read_confusion()
    assert len(names) == len(groups) == len(matrices) == 5
    rows = list(csv.DictReader((folder / "classes.csv").open()))
    assert [row["class"] for row in rows] == result["classes"]["names"]
    assert float(rows[3]["IoU"]) == pytest.approx(scores["IoU"]["Road"])
    assert len(list(csv.DictReader((folder / "images.csv").open()))) == 5
    assert "| Road |" in (folder / "report.md").read_text()
    for picture in ("confusion.png", "worst.png"):
        assert cv2.imread(str(folder / picture)) is not None
    assert "Not comparable" in capsys.readouterr().out


def test_the_margin_that_a_training_was_fixed_to_is_taken_along(
    run, make_checkpoint, ckpt, tmp_path
):
    config = torch.load(ckpt, weights_only=True)["segbench"]["config"]
    aims = {"study": "town", "compare": {"margin": 2, "baseline": "unet"}}
    words = ("num_workers=0", "gallery=0", "calibration=false", "boundary=false")
    for given, expected in (
        (
            config | aims,
            {"study": "town", "margin": 2.0, "baseline": "unet", "metric": "mIoU"},
        ),
        (config | aims | {"compare": {"margin": 2, "baseline": None}}, None),
    ):
        run(f"ckpt={make_checkpoint(config=given)}", *words, f"run_dir={tmp_path / 'scored'}")
        training = json.loads((tmp_path / "scored/result.json").read_text())["training"]
        aim = aim_of(training["config"], training["config"]["study"])
        assert (None if aim is None else asdict(aim)) == expected
        assert len(training["weights"]) == 32


def test_saved_predictions_score_the_same_integers(run, ckpt, tmp_path):
    run(f"ckpt={ckpt}", "num_workers=0", f"run_dir={tmp_path}/a", "save=ids", "calibration=false")
    run(f"predictions={tmp_path}/a/predictions", *STREETS, f"run_dir={tmp_path}/b")
    first, second = (RunDirectory(tmp_path / name).read_confusion() for name in "ab")
    assert first[0] == second[0]
    assert np.array_equal(first[2], second[2])
    first, second = (RunDirectory(tmp_path / name).read_result() for name in "ab")
    assert first.scores == second.scores
    assert first.data_info.fingerprint == second.data_info.fingerprint


def test_the_mode_of_counting_changes_no_count(run, ckpt, compose, small_streets, tmp_path):
    few = ("num_workers=0", "gallery=0", "boundary=false", "calibration=false")
    for size in (1, 3, 16):
        run(f"ckpt={ckpt}", *few, f"batch_size={size}", f"run_dir={tmp_path}/{size}")
    # A window as large as the image is the whole image.
    run(f"ckpt={ckpt}", *few, "inference=slide", f"run_dir={tmp_path}/slide")
    (tmp_path / "images").mkdir()
    for record in small_streets.records("test"):
        pixels = small_streets.read(record)[0][..., ::-1]
        cv2.imwrite(str(tmp_path / "images" / f"{record.name}.png"), pixels)
    predict(compose("predict", f"ckpt={ckpt}", f"source={tmp_path}/images", "write=[ids]",
                    f"output={tmp_path}/out"))  # fmt: skip
    run(f"predictions={tmp_path}/out/ids", *STREETS, "gallery=0", f"run_dir={tmp_path}/predicted")
    names, _, expected = RunDirectory(tmp_path / "1").read_confusion()
    for other in ("3", "16", "slide", "predicted"):
        found = RunDirectory(tmp_path / other).read_confusion()
        assert found[0] == names
        assert np.array_equal(found[2], expected), other


def test_other_inference_modes_are_scored_and_recorded(run, ckpt, tmp_path):
    few = ("num_workers=0", "gallery=0", "boundary=false")
    ways = {
        "whole": (),
        "windows": ("inference=slide", "inference.crop_size=[16,16]", "inference.stride=[11,11]"),
        "tta": ("inference=tta",),
    }
    counts = {}
    for name, words in ways.items():
        run(f"ckpt={ckpt}", *few, *words, f"run_dir={tmp_path}/{name}")
        counts[name] = RunDirectory(tmp_path / name).read_confusion()[2]
        assert counts[name].sum() == counts["whole"].sum()
    assert not np.array_equal(counts["windows"], counts["whole"])
    assert not np.array_equal(counts["tta"], counts["whole"])
    protocol = RunDirectory(tmp_path / "tta").read_result().protocol
    assert protocol.inference["scales"] == [0.75, 1.0, 1.25]


@pytest.mark.slow
def test_two_processes_count_what_evaluate_counts(run, ckpt, tmp_path):
    run(f"ckpt={ckpt}", "num_workers=0", "gallery=0", f"run_dir={tmp_path}/one")
    model = ("model=custom", "model.width=8", "model.dilations=[2]", f"weights={ckpt}")
    mean = ("data.mean=[0.4,0.4,0.4]", "data.std=[0.3,0.3,0.3]", "data.num_workers=0")
    ddp = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu",
           "trainer.sync_batchnorm=false", "trainer.max_epochs=0")  # fmt: skip
    last = ("selection=last", "logger=csv", "samples=0", f"run_dir={tmp_path}/two")
    done = run_verb("train", *model, *STREETS, *mean, *ddp, *last)
    assert done.returncode == 0, done.stderr
    one, two = (RunDirectory(tmp_path / name).read_confusion() for name in ("one", "two"))
    assert one[0] == two[0]
    assert np.array_equal(one[2], two[2])


def test_perfect_predictions_are_perfect(run, perfect, tmp_path):
    outcome = run(f"predictions={perfect}", *STREETS, f"run_dir={tmp_path}/run", "name=oracle")
    assert outcome.score == 1
    assert RunDirectory(tmp_path / "run").read_result().name == "oracle"


def test_the_policy_for_absent_classes_is_stored_and_used(run, perfect, tmp_path):
    for policy in ("zero", "one"):
        run(f"predictions={perfect}", *STREETS, f"run_dir={tmp_path}/{policy}",
            f"absent_classes={policy}")  # fmt: skip
    zero, one = (RunDirectory(tmp_path / policy).read_result() for policy in ("zero", "one"))
    assert zero.protocol.absent_classes == "zero"
    absent = sum(value is None for value in zero.scores["test"].IoU.values())
    assert zero.scores["test"].mIoU == pytest.approx(1 - absent / 11)
    assert one.scores["test"].mIoU == 1


def test_an_incomplete_folder_is_scored_only_on_request(run, perfect, tmp_path):
    files = sorted(perfect.glob("*.png"))
    files[0].unlink()
    with pytest.raises(DataError, match=f"{files[0].stem}: has no prediction"):
        run(f"predictions={perfect}", *STREETS, f"run_dir={tmp_path}/run")
    assert not (tmp_path / "run").exists()
    run(f"predictions={perfect}", *STREETS, f"run_dir={tmp_path}/run", "partial=true")
    result = RunDirectory(tmp_path / "run").read_result()
    assert result.protocol.partial == [f"{files[0].stem}: has no prediction"]
    assert result.data_info.num_images == {"test": 4}
    assert "PARTIAL" in (tmp_path / "run" / "report.md").read_text()


def test_impossible_commands_say_what_to_do(run, ckpt, perfect, tmp_path):
    with pytest.raises(ConfigError, match="set either ckpt=FILE or predictions=FOLDER"):
        run("split=val")
    with pytest.raises(ConfigError, match="predictions: also set data=NAME"):
        run(f"predictions={perfect}")
    with pytest.raises(ConfigError, match=r"data\.root"):
        run(f"ckpt={ckpt}", *STREETS, "root=x")
    with pytest.raises(ConfigError, match="save=cityscapes is for"):
        run(f"predictions={perfect}", *STREETS, f"run_dir={tmp_path}/run", "save=cityscapes")
    assert not (tmp_path / "run").exists()
    training = RunDirectory(tmp_path / "training")
    training.write_result(
        Result(status="running", kind="train", study="s", name="n", seed=0, data="d", config={})
    )
    with pytest.raises(ConfigError, match="contains a training"):
        run(f"predictions={perfect}", *STREETS, f"run_dir={training.path}")
    with pytest.raises(ConfigError, match="split: 'tset' is not one of test, val"):
        run(f"ckpt={ckpt}", "split=tset")


def test_images_are_preprocessed_as_in_training_or_refused(run, ckpt, tmp_path):
    few = ("num_workers=0", "gallery=0", "boundary=false", "calibration=false")
    words = (f"ckpt={ckpt}", *STREETS, *few, f"run_dir={tmp_path}/run")
    with pytest.raises(ConfigError, match=r"data\.resize=\[8, 12\] \(in training None\)"):
        run(*words, "data.resize=[8,12]")
    with pytest.raises(ConfigError, match=r"data\.std=.*sees images as in training"):
        run(*words, "data.std=[0.5,0.5,0.5]")
    assert not (tmp_path / "run").exists()
    run(*words, "data.mean=[0.4,0.4,0.4]")  # that of the training
    recorded = RunDirectory(tmp_path / "run").read_result().config["data"]
    assert recorded["resize"] is None
    assert recorded["std"] == [0.3, 0.3, 0.3]


def test_a_checkpoint_of_other_classes_is_not_scored(run, make_checkpoint, small_streets, tmp_path):
    classes = small_streets.classes.to_dict()
    classes["names"] = [name.upper() for name in classes["names"]]
    with pytest.raises(ConfigError, match="the classes differ"):
        run(f"ckpt={make_checkpoint(classes=classes)}", f"run_dir={tmp_path}/run")


@pytest.mark.parametrize(
    ("value", "said"),
    [(70000, r"void_values=\[70000\]: labels are 0 to 65535"), (-1, "labels are 0 to"),
     (3, "void_values: 3 is 'Road', a class of the data set")],
)  # fmt: skip
def test_a_value_that_cannot_mean_void_is_refused(run, tmp_path, value, said):
    words = (f"void_values=[{value}]", "study=v", "name=v")
    with pytest.raises(ConfigError, match=said):
        run(f"predictions={tmp_path}", *STREETS, *words, f"run_dir={tmp_path}/run")


def test_another_evaluation_in_the_same_place_is_named_and_leaves_no_pictures(
    run, ckpt, tmp_path, capsys
):
    few = ("num_workers=0", "boundary=false", "calibration=false", f"run_dir={tmp_path}/r")
    run(f"ckpt={ckpt}", *few, "gallery=2", "save=ids")
    run(f"ckpt={ckpt}", *few, "gallery=0")
    assert (tmp_path / "r/worst.png").is_file()
    assert "replaces" not in capsys.readouterr().out
    run(f"ckpt={ckpt}", *few, "gallery=0", "split=val")
    assert "replaces an evaluation of other images" in capsys.readouterr().out
    assert not (tmp_path / "r/worst.png").exists()
    assert not (tmp_path / "r/predictions").exists()


@pytest.mark.parametrize(("trained", "said"), [("ab", {"test": 5}), ("cd", {})])
def test_a_checkpoint_scored_on_its_training_images_says_so(trained, said):
    training = Training(config={}, fingerprint={"train": trained}, devices=1, weights="x")
    subject = SimpleNamespace(training=training, fingerprint="ab")
    assert _trained_on(subject, "test", 5) == said


def test_changed_images_of_the_own_data_set_are_said(run, make_checkpoint, tmp_path, capsys):
    words = ("num_workers=0", "gallery=0", "calibration=false", "boundary=false")
    run(f"ckpt={make_checkpoint()}", *words, f"run_dir={tmp_path}/first")
    same = json.loads((tmp_path / "first/result.json").read_text())["data_info"]["fingerprint"]
    for known, is_said in ((same, False), ({"test": "f" * 32}, True), ({}, False)):
        run(f"ckpt={make_checkpoint(fingerprint=known)}", *words, f"run_dir={tmp_path}/again")
        assert ("are not those of the training's test split" in capsys.readouterr().out) is is_said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("format=label_ids", "partial=true"), "format, partial: for predictions=FOLDER"),
        (("severities=[1]",), "severities: of corruptions; also set corruptions"),
        (("root=x",), "root=x: the data set of the checkpoint is generated and has no folder"),
    ],
)
def test_options_that_would_do_nothing_are_refused(run, ckpt, words, said):
    with pytest.raises(ConfigError, match=said):
        run(f"ckpt={ckpt}", *words)


def test_scores_of_the_same_predictions_are_not_lost(run, ckpt, tmp_path):
    few = ("num_workers=0", "gallery=0", "calibration=false", f"run_dir={tmp_path}/r")
    run(f"ckpt={ckpt}", *few)
    before = (tmp_path / "r/result.json").read_text()
    with pytest.raises(ConfigError, match=r"would be lost: set boundary=true again, or another"):
        run(f"ckpt={ckpt}", *few, "boundary=false")
    assert (tmp_path / "r/result.json").read_text() == before
    run(f"ckpt={ckpt}", *few, "boundary=false", "split=val")


def test_the_selection_is_that_of_the_file(run, ckpt, tmp_path):
    for name in ("best", "last"):
        shutil.copy(ckpt, tmp_path / f"{name}.ckpt")
        few = ("num_workers=0", "gallery=0", f"run_dir={tmp_path}/{name}")
        run(f"ckpt={tmp_path}/{name}.ckpt", *few)
        assert RunDirectory(tmp_path / name).read_result().protocol.selection == name
