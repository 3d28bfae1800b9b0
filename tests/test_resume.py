"""An interrupted training resumes where it stopped, and ends as if it had not been interrupted."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.trained_as import weights_digest
from segbench.data.datamodule import SegmentationData
from segbench.errors import ConfigError, DataError
from segbench.training import session
from segbench.training.speed import Speed
from tests.conftest import ROOT, curves, run_verb, tiny_arguments

Train = Callable[..., Any]

STEPS = ("data.batch_size=2", "trainer.max_epochs=3")  # 3 epochs of 4 steps
VARIANTS = {
    "ema and dropout": ("model.dropout=0.5", "ema=0.9"),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "selection=last"),
    "accumulated": ("trainer.check_val_every_n_epoch=2", "trainer.accumulate_grad_batches=2"),
    "workers": ("model.dropout=0.5", "data.num_workers=2", "data.workers=process"),
    "early stopping": ("early_stopping=1", "optimizer.lr=1e-9"),
}
SLOW = pytest.mark.slow


# A model that raises a signal in the first step of its second epoch: an epoch of the tiny training
# is two steps and four validation images.
ENDED = """
import os, signal
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)
        self.calls = 0

    def forward(self, image):
        self.calls += 1
        if self.calls == 10:  # in the second epoch, after the trial of the first batch
            os.kill(os.getpid(), signal.{signal})
        return self.head(image)
"""


class PowerCutError(Exception):
    """Interrupts a training."""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def _crash_after(batches: int) -> Callable[..., None]:
    """`Speed.on_train_batch_end`, followed by a crash at the end of the given batch."""
    seen = 0
    on_train_batch_end = Speed.on_train_batch_end

    def crash(self: Speed, *arguments: Any) -> None:
        nonlocal seen
        on_train_batch_end(self, *arguments)
        seen += 1
        if seen == batches:
            raise PowerCutError

    return crash


def test_an_unfinished_run_is_not_continued_with_another_config_or_resume_never(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", _crash_after(3))
        with pytest.raises(PowerCutError):
            train_tiny()
    with pytest.raises(ConfigError, match="resume=never"):
        train_tiny("resume=never")
    run.result_file.write_text("{")  # a damaged disk: config.yaml still identifies the run
    with pytest.raises(ConfigError, match=r"optimizer\.lr: was 0\.001, now 0\.5"):
        train_tiny("optimizer.lr=0.5")
    assert train_tiny().status == "finished"


@pytest.mark.parametrize("written_by", ["this version", "an earlier version"])
def test_an_unfinished_run_is_never_continued_on_other_images(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch, written_by: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", _crash_after(3))
        with pytest.raises(PowerCutError):
            train_tiny()
    began = run.read_result().data_info
    if written_by == "an earlier version":
        checkpoint = torch.load(run.last_checkpoint, weights_only=True)
        del checkpoint["segbench"]["fingerprint"]
        torch.save(checkpoint, run.last_checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(session, "build_run", _fail)
        with pytest.raises(PowerCutError):
            train_tiny()
    with monkeypatch.context() as patch:
        patch.setattr(SegmentationData, "fingerprint", lambda self, split: f"other {split}")
        for _ in range(2):
            with pytest.raises(
                DataError, match="started on different data: the fingerprint of train"
            ):
                train_tiny()
            assert run.read_result().data_info == began
    assert train_tiny().status == "finished"


def _fail(*arguments: Any) -> None:
    raise PowerCutError


def test_the_record_knows_the_weights_that_a_run_started_from(
    train_tiny: Train, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "first.ckpt"
    train_tiny(f"run_dir={tmp_path}/first")
    shutil.copy(RunDirectory(tmp_path / "first").last_checkpoint, file)
    digest = weights_digest(file)
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", _crash_after(3))
        with pytest.raises(PowerCutError):
            train_tiny(f"weights={file}")
    changed = torch.load(file, weights_only=True)
    changed["state_dict"] = {key: value * 0 for key, value in changed["state_dict"].items()}
    torch.save(changed, file)
    train_tiny(f"weights={file}")
    assert weights_digest(file) != digest
    assert run.read_result().initial_weights == digest
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    assert checkpoint["segbench"]["initial_weights"] == digest
    assert RunDirectory(tmp_path / "first").read_result().initial_weights is None


def test_a_run_that_was_moved_keeps_its_best_epoch(
    train_tiny: Train, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", _crash_after(3))
        with pytest.raises(PowerCutError):
            train_tiny()
    moved = RunDirectory(run.path.rename(tmp_path / "moved"))
    for name in ("best_model_score", "kth_value"):  # no later epoch can be better
        _set_best(moved, name, torch.tensor(2.0))
    best = moved.best_checkpoint.read_bytes()
    train_tiny(f"run_dir={moved.path}")
    assert moved.read_result().selected_epoch == 1
    assert moved.best_checkpoint.read_bytes() == best
    state = _best_state(torch.load(moved.last_checkpoint, weights_only=True))
    assert state["best_model_score"] == 2.0
    assert state["best_model_path"] == str(moved.best_checkpoint)
    assert list(state["best_k_models"]) == [str(moved.best_checkpoint)]
    assert not run.path.exists()


def _best_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The state of the callback that writes best.ckpt, in the checkpoint."""
    found = [s for k, s in checkpoint["callbacks"].items() if k.startswith("MovableCheckpoint")]
    return next(state for state in found if state["monitor"] == "val/mIoU")


def _set_best(run: RunDirectory, name: str, value: Any) -> None:
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    state = _best_state(checkpoint)
    state[name] = value
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], value)
    torch.save(checkpoint, run.last_checkpoint)


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [("SIGTERM", 143, "stopped by SIGTERM"), ("SIGINT", 130, "interrupted")],
)
def test_a_run_ended_by_a_signal_is_recorded_and_can_be_continued(
    tmp_path: Path, name: str, code: int, told: str
) -> None:
    (tmp_path / "ended.py").write_text(ENDED.replace("{signal}", name))
    words = ("model._target_=ended.Net", f"run_dir={tmp_path}/run", "test=false")
    done = run_verb("train", *tiny_arguments(*words), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    expected = f"{tmp_path}/run was {told} in epoch 2 of 2; run the same command again to continue"
    assert f"segbench.train: error: {expected}\n" in done.stderr
    assert "Traceback" not in done.stderr
    run = RunDirectory(tmp_path / "run")
    result = run.read_result()
    assert result.status == "interrupted"
    assert expected in result.reason
    assert torch.load(run.last_checkpoint, weights_only=True)["epoch"] == 0, "kept, and written"


def test_a_run_that_never_got_to_a_checkpoint_may_be_started_with_another_config(
    train_tiny: Train, run: RunDirectory
) -> None:
    with pytest.raises(ConfigError, match=r"model\.width: must be at least 1"):
        train_tiny("model.width=0")
    assert run.read_result().status == "failed"
    assert train_tiny("trainer.max_epochs=1").status == "finished"


@pytest.mark.parametrize(
    ("variant", "crash_at"),
    [
        ("ema and dropout", 7),
        ("plateau", 4),
        ("accumulated", 10),
        *(pytest.param("ema and dropout", step, marks=SLOW) for step in (2, 4, 12)),
        *(pytest.param("plateau", step, marks=SLOW) for step in (7, 12)),
        *(pytest.param("workers", step, marks=SLOW) for step in (5, 8)),
        pytest.param("early stopping", 6, marks=SLOW),
    ],
)
def test_a_resumed_run_ends_exactly_as_one_that_never_stopped(
    train_tiny: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    crash_at: int,
) -> None:
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    overrides = (*STEPS, *VARIANTS[variant])
    train_tiny(*overrides, f"run_dir={whole.path}")
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", _crash_after(crash_at))
        with pytest.raises(PowerCutError):
            train_tiny(*overrides, f"run_dir={broken.path}")
    assert broken.read_result().status == "failed"
    torch.rand(17)  # the random state of a new process differs
    train_tiny(*overrides, f"run_dir={broken.path}")
    assert_same_run(whole, broken)


def assert_same_run(whole: RunDirectory, broken: RunDirectory) -> None:
    """Weights, training state, curves, scores and counts are equal, bit by bit."""
    for name in ("last", "best"):
        one, other = (
            torch.load(r.checkpoints / f"{name}.ckpt", weights_only=True) for r in (whole, broken)
        )
        assert one.keys() == other.keys()
        # Paths, and counters of loop starts, differ.
        for key in one.keys() - {"callbacks", "loops", "segbench"}:
            assert_equal(one[key], other[key], key)
        assert_equal(one["segbench"]["scores"], other["segbench"]["scores"], "scores")
    assert curves(whole) == curves(broken)
    first, second = whole.read_result(), broken.read_result()
    for key in ("scores", "budget", "selected_epoch", "data_info", "status"):
        assert getattr(first, key) == getattr(second, key), key
    assert np.array_equal(whole.read_confusion()[2], broken.read_confusion()[2])


@pytest.mark.slow
def test_a_run_killed_by_the_system_ends_exactly_as_one_that_was_not(
    train_tiny: Train, tmp_path: Path
) -> None:
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    overrides = (*STEPS, *VARIANTS["ema and dropout"], "checkpoint_every=0")
    train_tiny(*overrides, f"run_dir={whole.path}")

    words = tiny_arguments(*overrides, f"run_dir={broken.path}")
    command = [sys.executable, "-m", "segbench.train", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not broken.last_checkpoint.is_file() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))  # somewhere in the second epoch, or in the third
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert broken.read_result().status == "running"

    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert_same_run(whole, broken)


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Recursively, tensors bit by bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for position, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{where}/{position}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def test_a_run_that_stopped_early_is_not_continued(train_tiny: Train, run: RunDirectory) -> None:
    words = (*STEPS[:1], "trainer.max_epochs=60", "early_stopping=1", "optimizer.lr=1e-9")
    train_tiny(*words, "test=false")
    before = run.read_result().budget
    assert before.epochs < 60
    train_tiny(*words, "test=true")
    after = run.read_result()
    assert after.budget == before
    assert "test" in after.scores
