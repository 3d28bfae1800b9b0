"""Checkpoints that were evaluated later are compared and audited as their trainings."""

import json
import shutil

import pytest

from tests.comparison.fabricated import as_evaluations, compared, edit


def test_evaluated_checkpoints_are_audited_as_their_trainings(runs):
    as_evaluations(runs)
    assert compared(runs)["audit"] == []
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.config.weights", "imagenet.pth")
        edit(folder, "training.config.optimizer.lr", 0.1)
        edit(folder, "training.config.trainer.max_epochs", 40)
        edit(folder, "training.config.data.batch_size", 16)
        edit(folder, "training.fingerprint.train", "ffff")
        edit(folder, "protocol.inference.mode", "slide")
    found = compared(runs)
    assert [(entry["field"], entry["grade"]) for entry in found["audit"]] == [
        ("training data", "invalidates"),
        ("pretraining", "invalidates"),
        ("inference", "weakens"),
        ("optimizer", "weakens"),
        ("epochs", "weakens"),
        ("effective batch size", "weakens"),
    ]
    assert "invalid: the runs differ in training data and pretraining" in found["verdict"]


def test_a_checkpoint_that_is_scored_twice_is_one_training(runs):
    as_evaluations(runs)
    edit(runs / "mine/unet-streets/seed1", "training.config.seed", 0)
    (entry,) = compared(runs)["left_out"]
    assert entry["path"] == "unet-streets/seed1"
    assert entry["reason"].startswith("it scores the training of unet-streets/seed0 again")


def test_what_a_checkpoint_does_not_tell_is_no_difference(runs):
    as_evaluations(runs, "unet")
    assert compared(runs)["audit"] == []
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.fingerprint", {})  # as in files of earlier versions
        edit(folder, "training.devices", None)
    assert compared(runs)["audit"] == []


def test_a_checkpoint_scored_on_the_images_that_chose_it_is_named(runs):
    as_evaluations(runs)
    for folder in (runs / "mine").glob("*/seed*"):
        edit(folder, "training.fingerprint.val", "4e5f")  # that of test
    (entry,) = compared(runs)["audit"]
    assert entry["field"] == "selection on test"


def test_a_training_and_its_checkpoint_are_one_seed(runs):
    copy = runs / "mine/unet-streets/seed7"
    shutil.copytree(runs / "mine/unet-streets/seed0", copy)
    edit(copy, "seed", 7)
    config = json.loads((copy / "result.json").read_text())["config"]
    training = {"config": config, "fingerprint": {}, "devices": 1, "weights": "x"}
    for key, value in {"kind": "evaluate", "training": training}.items():
        edit(copy, key, value)
    counts = copy / "confusion.npz"
    shutil.copy(runs / "mine/unet-streets/seed1/confusion.npz", counts)
    edit(
        copy,
        "scores",
        json.loads((runs / "mine/unet-streets/seed1/result.json").read_text())["scores"],
    )
    (entry,) = compared(runs)["left_out"]
    assert entry["path"] == "unet-streets/seed7"


@pytest.mark.parametrize(("label", "key"), [("unet", "max_epochs"), ("*", "max_steps")])
def test_the_length_of_a_training_is_the_limit_that_a_checkpoint_tells(runs, label, key):
    as_evaluations(runs, label)
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, f"training.config.trainer.{key}", 100_000)
    (entry,) = compared(runs)["audit"]
    assert (entry["field"], entry["grade"]) == (key.removeprefix("max_"), "weakens")
    assert entry["values"]["unet"] == "100,000"


def test_checkpoints_without_any_training_are_no_seeds(runs):
    as_evaluations(runs, "unet")
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.config.trainer.max_epochs", 0)
    (entry,) = compared(runs)["left_out"]
    assert "two seeds are not two trainings" in entry["reason"]


def test_trainings_of_one_name_on_different_images_are_two(runs):
    as_evaluations(runs, "unet")
    run = runs / "mine/unet-streets/seed1"
    edit(run, "training.config.seed", 0)
    edit(run, "training.fingerprint.train", "ffff")
    found = compared(runs)
    assert found["left_out"] == []
    assert [entry["field"] for entry in found["audit"]] == ["training data"]


def test_folds_are_those_of_the_scored_data(runs):
    as_evaluations(runs)
    for label, fold in (("custom", 0), ("unet", 2)):
        for folder in (runs / f"mine/{label}-streets").glob("seed*"):
            edit(folder, "training.config.data.folds", 3)
            edit(folder, "training.config.data.fold", fold)
            edit(folder, "training.fingerprint.train", f"{fold}{fold}")
            edit(folder, "config.data", {"_target_": "their.Data", "folds": None, "fold": 0})
    assert [entry["field"] for entry in compared(runs)["audit"]] == ["training data"]
