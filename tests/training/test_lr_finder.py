"""The learning-rate finder: what it finds is what is trained with, recorded, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.tuner.lr_finder import _LRFinder

from segbench.artifacts.checkpoint import read_checkpoint
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError
from segbench.training.lr_finder import LRFinder
from tests.conftest import curves

Train = Callable[..., Any]
FIND = ("callbacks=lr_finder", "callbacks.lr_finder.num_training_steps=15", "data.cache=none")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def rates(run: RunDirectory) -> list[float]:
    """`lr` of every epoch."""
    return [float(row["lr"]) for row in curves(run)]


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return read_checkpoint(run.last_checkpoint)["state_dict"]


def test_a_run_trains_at_the_rate_that_is_found_records_it_and_keeps_it_when_resumed(
    train_tiny: Train,
    run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("scheduler=constant", "optimizer.lr=0.5", "checkpoint_every=0", *FIND)
    with monkeypatch.context() as patch:
        patch.setattr(LRFinder, "on_train_epoch_start", stop_in_epoch(1), raising=False)
        with pytest.raises(MemoryError):
            train_tiny(*words)
    monkeypatch.setattr(LRFinder, "lr_find", stop_in_epoch(0))  # is not called again
    train_tiny(*words)
    result = run.read_result()
    assert result is not None
    found = result.budget.found_lr
    assert found is not None
    assert 1e-6 < found < 0.5
    assert rates(run) == pytest.approx([found] * 2), "and not 0.5 from the second step on"
    assert f"learning rate found: {found:.3g} (optimizer.lr is 0.5)" in capsys.readouterr().out
    assert not list(run.path.glob(".lr_find*"))


def test_the_search_itself_leaves_no_trace(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_tiny("data.cache=none")
    without, plain = weights(run), run.read_result()
    monkeypatch.setattr(_LRFinder, "suggestion", lambda self: plain.config["optimizer"]["lr"])
    diverging = ("callbacks.lr_finder.max_lr=1e30", "callbacks.lr_finder.early_stop_threshold=null")
    train_tiny(*FIND, *diverging, "overwrite=true")
    found = run.read_result()
    assert found.budget == replace(plain.budget, found_lr=found.config["optimizer"]["lr"])
    assert found.scores == plain.scores
    for key, value in weights(run).items():
        assert torch.equal(value, without[key]), key


def stop_in_epoch(number: int) -> Any:
    """A hook that ends the training."""

    def hook(self: LRFinder, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == number:
            raise MemoryError

    return hook


def test_too_few_steps_and_impossible_rates_are_refused(train_tiny: Train) -> None:
    with pytest.raises(ConfigError, match="5 steps of the learning-rate finder are too few"):
        train_tiny(*FIND, "callbacks.lr_finder.num_training_steps=5")
    with pytest.raises(ConfigError, match=r"callbacks\.lr_finder: min_lr=2\.0 must be above 0"):
        train_tiny(*FIND, "callbacks.lr_finder.min_lr=2.0")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("LearningRateFinder", "callbacks=lr_finder"),
        ("BatchSizeFinder", r"data\.batch_size"),
        ("GradientAccumulationScheduler", r"trainer\.accumulate_grad_batches"),
    ],
)
def test_callbacks_that_would_train_otherwise_than_recorded_are_refused(
    train_tiny: Train, name: str, advice: str
) -> None:
    words = [f"+callbacks.mine._target_=pytorch_lightning.callbacks.{name}"]
    words += ["+callbacks.mine.scheduling={4: 2}"] if "Scheduler" in name else []
    with pytest.raises(ConfigError, match=rf"callbacks\.mine: .*{name} .*{advice}"):
        train_tiny("data.cache=none", *words)
