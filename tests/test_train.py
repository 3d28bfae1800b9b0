"""`segbench.train` from config to result, with a data set and a model that take a second."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from segbench.artifacts import build
from segbench.artifacts.checkpoint import load_checkpoint
from segbench.artifacts.result import Budget
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.artifacts.segmenter import Segmenter
from segbench.artifacts.typed import read_as
from segbench.comparison.runs import LeftOut, Run, read_run
from segbench.errors import ConfigError, NonFiniteLogitsError, NonFiniteLossError
from segbench.evaluation.evaluator import evaluate_checkpoint
from segbench.evaluation.summary import Wanted
from segbench.metrics.scores import scores
from tests.conftest import curves, run_verb, tiny_arguments

Train = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def test_a_run_leaves_everything_that_is_promised(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train_tiny("samples=2", "log_every=1")
    result = run.read_result()

    written = json.loads(run.result_file.read_text())
    assert set(written) == {
        *("schema_version", "status", "reason", "study", "name", "model", "data", "seed", "kind"),
        *("config", "classes", "data_info", "protocol", "budget", "params", "versions", "commit"),
        *("dirty", "command", "hardware", "timings", "scores", "selected_epoch", "training"),
        "initial_weights",
    }
    assert written["schema_version"] == 1
    assert (result.status, result.kind) == ("finished", "train")
    assert (outcome.status, outcome.score) == ("finished", result.scores["test"].mIoU)
    assert outcome.objective == result.scores["val"].mIoU, "never tune on the test set"
    assert result.config == run.read_config()
    assert result.data_info.num_images == {"train": 8, "val": 4, "test": 4}
    assert result.budget == Budget(
        effective_batch_size=4,
        devices=1,
        precision="32-true",
        tuning_trials=0,
        epochs=2,
        steps=4,
        images_seen=16,
    )
    assert set(result.scores) == {"val", "test"}

    names, groups, matrices = run.read_confusion()
    assert names == [f"test_{drive:04d}_{frame:04d}" for drive in (0, 1) for frame in (0, 1)]
    assert groups == ["test_0000", "test_0000", "test_0001", "test_0001"]
    assert matrices.dtype == np.int64
    assert matrices.shape == (4, 11, 12)
    found = scores(matrices.sum(0), result.classes.names)
    assert read_as(Scores, found) == result.scores["test"]

    assert [row["epoch"] for row in curves(run)] == ["0", "1"]
    assert {"step", "lr", "train/loss", "train/loss/ce", "train/loss/dice", "val/loss"} <= set(
        curves(run)[0]
    )
    assert {"val/mIoU", "val/mDice", "val/pixel_acc", "val/mean_acc", "val/IoU/Road"} <= set(
        curves(run)[0]
    )
    pictures = sorted(run.samples.iterdir())
    names = [picture.name for picture in pictures]
    assert names == ["epoch0001.png", "epoch0002.png", "film_strip.png"]
    sheet = cv2.imread(str(pictures[1]))
    assert sheet.shape[1] > 4 * 320, "image, mask, pred and error side by side"
    assert sheet.std() > 10, "an empty picture"

    printed = capsys.readouterr().out
    for text in ("Road", "mean", str(run.path), "epoch0002.png", "segbench.predict ckpt="):
        assert text in printed


def test_images_seen_are_counted_not_computed(train_tiny: Train, run: RunDirectory) -> None:
    train_tiny("data.batch_size=2", "trainer.accumulate_grad_batches=3")  # 8 images an epoch
    assert run.read_result().budget.images_seen == 16


def test_speed_is_reported_for_a_training_that_ends_within_an_epoch(
    train_tiny: Train, run: RunDirectory
) -> None:
    train_tiny("trainer.max_steps=1", "trainer.max_epochs=-1", "selection=last")
    timings = run.read_result().timings
    assert timings.epoch_seconds >= timings.train_seconds > 0
    assert sum(timings.shares.values()) == pytest.approx(1)
    assert run.read_result().budget.images_seen == 4


def test_half_precision_that_a_cpu_lacks_is_refused(train_tiny: Train) -> None:
    with pytest.raises(ConfigError, match="set precision=bf16-mixed"):
        train_tiny("precision=16-mixed")


def test_the_rate_is_logged_for_the_step_it_belongs_to(
    train_tiny: Train, run: RunDirectory
) -> None:
    train_tiny("log_every=2", "data.batch_size=2", "scheduler=poly", "trainer.max_epochs=1")
    with next(run.path.glob("csv/*/metrics.csv")).open(newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    assert len(rates) == 2
    assert rates[0] == pytest.approx(1e-3 * (1 - 1 / 4) ** 0.9), "of the second step of four"


def test_a_score_of_some_test_images_is_marked(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tiny("trainer.limit_test_batches=3")
    info = run.read_result().data_info
    assert (info.tested, info.num_images["test"], info.comparable) == (3, 4, False)
    assert len(run.read_confusion()[0]) == 3
    assert "3 of the 4 test images were tested" in capsys.readouterr().out


def test_a_run_without_test_has_no_test_score_until_it_is_requested(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train_tiny("test=false")
    result = run.read_result()
    assert set(result.scores) == {"val"}
    assert outcome.score == outcome.objective == result.scores["val"].mIoU
    assert not run.confusion_file.exists()
    assert "not tested (test=false)" in capsys.readouterr().out
    found = read_run(run.path)
    assert isinstance(found, LeftOut)
    assert (found.reason, found.broken) == ("the run was not tested (test=false)", False)

    assert train_tiny("test=false").status == "unchanged"
    assert train_tiny("test=true").status == "finished"
    tested = run.read_result()
    assert tested.scores["val"] == result.scores["val"], "it was trained on"
    assert tested.budget == result.budget
    assert isinstance(read_run(run.path), Run)


@pytest.mark.parametrize("ema", ["null", "0.5"])
def test_the_checkpoint_alone_reproduces_the_score(
    train_tiny: Train, run: RunDirectory, ema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_tiny(f"ema={ema}")
    result = run.read_result()
    checkpoint = run.path.rename(run.path.parent / "moved") / "checkpoints" / "best.ckpt"
    for file in (checkpoint.parents[1]).iterdir():
        if file.is_file():
            file.unlink()  # no config, no result: only the checkpoint
    segmenter = Segmenter(checkpoint, device="cpu")
    config = torch.load(checkpoint, weights_only=True)["segbench"]["config"]
    source = build.build_source(config["data"])
    data = build.build_datamodule(config["data"], source, config["seed"])
    wanted = Wanted(options=())
    evaluation = evaluate_checkpoint(segmenter, data, "test", wanted, lambda done, total: None)
    again = scores(evaluation.matrices.sum(0), source.classes.names)
    assert again["mIoU"] == pytest.approx(result.scores["test"].mIoU, abs=1e-6)
    assert read_as(Scores, again) == result.scores["test"]


def test_the_tested_weights_are_the_selected_ones(train_tiny: Train, run: RunDirectory) -> None:
    train_tiny("selection=last", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    result = run.read_result()
    assert result.selected_epoch == 3
    assert result.scores["val"] is None, "the last weights were never validated"
    rows = curves(run)
    assert [bool(row["val/mIoU"]) for row in rows] == [False, True, False]


def test_best_without_a_validation_is_explained(train_tiny: Train) -> None:
    with pytest.raises(ConfigError, match="selection=best: no epoch with validation"):
        train_tiny("trainer.check_val_every_n_epoch=5")


def test_a_nan_stops_the_run_and_names_the_images(train_tiny: Train, run: RunDirectory) -> None:
    with pytest.raises(NonFiniteLossError, match="the loss became nan at step") as caught:
        train_tiny("optimizer=sgd", "optimizer.lr=1e18", "trainer.max_epochs=9")
    assert "train_000" in str(caught.value)
    (dump,) = run.path.glob("non_finite_step*.pt")
    assert str(dump) in str(caught.value)
    assert torch.load(dump, weights_only=True)["batch"]["image"].shape == (4, 3, 48, 64)
    result = run.read_result()
    assert result.status == "failed"
    assert "NonFiniteLossError: the loss became nan" in result.reason


@pytest.mark.parametrize("extra", ["", "trainer.limit_val_batches=0"])
def test_a_training_that_diverges_in_its_last_step_is_not_finished(
    train_tiny: Train, run: RunDirectory, extra: str
) -> None:
    words = ("optimizer=sgd", "optimizer.lr=1e30", "scheduler=constant", "trainer.max_epochs=1")
    more = ("trainer.max_steps=-1", "data.batch_size=8", "selection=last", *extra.split())
    with pytest.raises((NonFiniteLogitsError, NonFiniteLossError), match=r"not finite|val/loss is"):
        train_tiny(*words, *more)
    result = run.read_result()
    assert result.status == "failed"
    assert not any(result.scores.values())


def test_a_compiled_network_saves_plain_names(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    train_tiny("compile=true", "trainer.max_epochs=1")
    assert compiled
    names = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    assert all(name.startswith("model.") and "_orig_mod" not in name for name in names)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_gradients_are_clipped_under_mixed_precision_where_optimizers_are_fused(
    train_tiny: Train, optimizer: str
) -> None:
    words = (f"optimizer={optimizer}", "precision=bf16-mixed", "trainer.max_epochs=1")
    assert train_tiny(*words, "trainer.gradient_clip_val=1").status == "finished"


@pytest.mark.slow
def test_a_network_that_is_really_compiled_saves_plain_names(
    train_tiny: Train, run: RunDirectory
) -> None:
    train_tiny("compile=true", "ema=0.9", "model.depth=1", "trainer.max_epochs=1")
    names = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    assert all(name.startswith("model.") and "_orig_mod" not in name for name in names)
    load_checkpoint(run.last_checkpoint)


def test_synchronized_batch_norm_on_a_cpu_is_refused(train_tiny: Train) -> None:
    with pytest.raises(ConfigError, match=r"on CPUs add trainer\.sync_batchnorm=false"):
        train_tiny("trainer=ddp", "trainer.devices=1", "++trainer.accelerator=cpu")


@pytest.mark.slow
def test_two_processes_count_what_one_counts(train_tiny: Train, tmp_path: Path) -> None:
    one, two = RunDirectory(tmp_path / "one"), RunDirectory(tmp_path / "two")
    common = (
        "model._target_=tests.linear_net.LinearNet",
        "optimizer.lr=1e-12",  # so that rounding in the sum of gradients cannot tip a pixel
        "data.val=3",
        "data.test=5",
    )
    _train(*common, "data.batch_size=4", f"run_dir={one.path}")
    _train(
        *common,
        "data.batch_size=2",
        "trainer=ddp",
        "trainer.devices=2",
        f"run_dir={two.path}",
        "trainer.sync_batchnorm=false",
        "++trainer.accelerator=cpu",
    )
    assert one.read_confusion()[:2] == two.read_confusion()[:2]
    assert np.array_equal(one.read_confusion()[2], two.read_confusion()[2])
    first, second = one.read_result(), two.read_result()
    assert first.scores == second.scores
    assert first.budget == replace(second.budget, devices=1)


def _train(*overrides: str) -> None:
    done = run_verb("train", *tiny_arguments(*overrides))
    assert done.returncode == 0, done.stderr
