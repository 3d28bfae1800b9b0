"""`segbench.train` from config to result, on a data set and a network that take a second."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.training.callbacks import Speed
from segbench.training.run_directory import RunDirectory
from segbench.training.scores import scores

Train = Callable[..., Any]

# Measured in seconds, so no two runs agree on them.
CLOCK = {"train/images_per_s", "train/waiting_for_data"}


class Crash(Exception):
    """Stands for a power cut."""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def rows_of(run: RunDirectory) -> list[dict[str, str]]:
    """The rows of metrics.csv but for the columns that a clock fills."""
    with run.metrics_file.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in CLOCK} for row in csv.DictReader(file)]


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


STEPS = ("data.batch_size=2", "trainer.max_epochs=3")  # 3 epochs of 4 steps


@pytest.mark.parametrize("crash_at", [2, 4, 7, 12], ids="step{}".format)
@pytest.mark.parametrize(
    "overrides",
    [
        ("model.dropout=0.5", "ema=0.9", "data.num_workers=1"),
        ("scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "selection=last"),
        ("trainer.check_val_every_n_epoch=2", "trainer.accumulate_grad_batches=2"),
    ],
    ids=["ema and dropout", "plateau", "accumulated"],
)
def test_a_resumed_run_ends_exactly_as_one_that_never_stopped(
    train_tiny: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crash_at: int,
    overrides: tuple[str, ...],
) -> None:
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    train_tiny(*STEPS, *overrides, f"run_dir={whole.path}")

    batches = 0
    on_train_batch_end = Speed.on_train_batch_end

    def crash(self: Speed, *arguments: Any) -> None:
        nonlocal batches
        on_train_batch_end(self, *arguments)
        batches += 1
        if batches == crash_at:
            raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Speed, "on_train_batch_end", crash)
        train_tiny(*STEPS, *overrides, f"run_dir={broken.path}")
    assert broken.read_result()["status"] == "failed"
    torch.rand(17)  # the random state of the new process is another one
    train_tiny(*STEPS, *overrides, f"run_dir={broken.path}")

    for name in ("last", "best"):
        one, other = (
            torch.load(r.checkpoints / f"{name}.ckpt", weights_only=True) for r in (whole, broken)
        )
        for key in one.keys() - {"callbacks", "loops", "segbench"}:
            assert_equal(one[key], other[key], key)
        assert_equal(one["segbench"]["scores"], other["segbench"]["scores"], "scores")
    assert rows_of(whole) == rows_of(broken)
    one, other = whole.read_result(), broken.read_result()
    for key in ("scores", "budget", "selected_epoch", "data_info", "status"):
        assert one[key] == other[key], key
    assert np.array_equal(whole.read_confusion()[2], broken.read_confusion()[2])
