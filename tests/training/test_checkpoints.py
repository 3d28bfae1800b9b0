"""last.ckpt is written periodically, when the training ends, and when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.training.trainer import AtomicCheckpointIO
from tests.test_resume import assert_same_run

Train = Callable[..., Any]
EPOCHS = ("trainer.max_epochs=3", "ema=0.9", "test=false", "trainer.limit_val_batches=1")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name and epoch of every checkpoint that is written."""
    found: list[tuple[str, int]] = []
    save = AtomicCheckpointIO.save_checkpoint

    def note(self: AtomicCheckpointIO, checkpoint: Any, path: Any, **options: Any) -> None:
        found.append((Path(path).name, checkpoint["epoch"]))
        save(self, checkpoint, path, **options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", note)
    return found


def test_a_short_training_writes_the_state_of_its_last_epoch_once(
    train_tiny: Train, tmp_path: Path, written: list[tuple[str, int]]
) -> None:
    train_tiny(*EPOCHS, f"run_dir={tmp_path}/once")
    assert [epoch for name, epoch in written if name == "last.ckpt"] == [2]
    written.clear()
    train_tiny(*EPOCHS, f"run_dir={tmp_path}/each", "checkpoint_every=0")
    assert [epoch for name, epoch in written if name == "last.ckpt"] == [0, 1, 2]
    once, each = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("once", "each")
    )
    assert once["loops"] == each["loops"]
    assert once["callbacks"].keys() == each["callbacks"].keys()


def test_a_resume_from_what_was_kept_in_memory_is_exact(
    train_tiny: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("data.batch_size=2", *EPOCHS[:2])
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    train_tiny(*words, f"run_dir={whole.path}")
    with monkeypatch.context() as patch:
        from segbench.training.task import SegmentationTask

        step = SegmentationTask.training_step

        def interrupt(self: Any, batch: Any, batch_idx: int) -> Any:
            if (self.current_epoch, batch_idx) == (2, 1):
                raise SystemExit(1)
            return step(self, batch, batch_idx)

        patch.setattr(SegmentationTask, "training_step", interrupt)
        with pytest.raises(SystemExit):
            train_tiny(*words, f"run_dir={broken.path}")
    assert torch.load(broken.last_checkpoint, weights_only=True)["epoch"] == 1
    train_tiny(*words, f"run_dir={broken.path}")
    assert_same_run(whole, broken)
