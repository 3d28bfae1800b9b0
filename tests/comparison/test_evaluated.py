"""Checkpoints that were evaluated later are compared and audited as their trainings."""

import json
import shutil

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
    first = runs / "mine/unet-streets/seed0"
    edit(runs / "mine/unet-streets/seed1", "training.config.seed", 0)
    (entry,) = compared(runs)["left_out"]
    assert entry["path"] == "unet-streets/seed1"
    assert entry["reason"].startswith(f"it scores the training of {first} again")


def test_what_a_checkpoint_does_not_tell_is_no_difference(runs):
    as_evaluations(runs, "unet")
    assert compared(runs)["audit"] == []
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.config.trainer.max_epochs", 40)  # the limit, not what was reached
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
