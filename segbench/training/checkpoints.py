"""last.ckpt, from which a run resumes: the state at the end of an epoch, written periodically."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor


class LastCheckpoint(Checkpoint):
    """Writes the state at the end of an epoch, so that a resume starts a new one; not every epoch.

    If an epoch ends before the next file is due, its state is kept in memory. It is written when
    the training ends, whether normally, by SIGTERM, by Ctrl-C or by an error. Only SIGKILL and a
    power failure lose it, and with it at most `every` seconds plus the current epoch.

    Args:
        file: the file to write.
        every: minimum seconds between two files; 0 writes every epoch.
    """

    def __init__(self, file: Path, every: float) -> None:
        self.file = file
        self.every = every
        self._written_at = 0.0
        self._kept: dict[str, Any] | None = None
        self._copied: torch.cuda.Event | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._written_at = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the state or keeps it in memory; all ranks do the same."""
        is_due = time.monotonic() - self._written_at >= self.every
        if trainer.strategy.broadcast(is_due):
            trainer.save_checkpoint(self.file)
            self._written_at = time.monotonic()
            self._kept = None
            return
        state = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        self._kept = _copied(state) if trainer.is_global_zero else None
        if pl_module.device.type == "cuda":
            self._copied = torch.cuda.Event()
            self._copied.record()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the state of the last epoch, if it has not been written yet."""
        self._write_kept(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Writes it, so that the epochs completed so far are not lost."""
        try:
            self._write_kept(trainer)
        except (RuntimeError, OSError) as error:  # the device failed, or the disk is full
            print(f"note: {self.file} does not contain the last epoch: {error}")

    def _write_kept(self, trainer: pl.Trainer) -> None:
        if self._kept is None:
            return
        if self._copied is not None:
            self._copied.synchronize()
        trainer.strategy.checkpoint_io.save_checkpoint(self._kept, self.file)
        self._kept = None


def _copied(value: Any) -> Any:
    """Copies a state to host memory; the host does not wait for the GPU."""
    if isinstance(value, Tensor):
        return value.to("cpu", non_blocking=True) if value.is_cuda else value.detach().clone()
    if isinstance(value, dict):
        return type(value)((key, _copied(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
