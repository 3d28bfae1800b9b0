"""Terminal output during a run: a line per epoch and, below the lines, a progress bar."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from segbench.system.console import duration


class EpochLines(pl.Callback):
    """Prints one line per epoch, with the remaining time."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints loss, scores and times."""
        if not trainer.is_global_zero:
            return
        found = trainer.callback_metrics
        shown = [("train/loss", "train/loss", ".4f"), ("train/images_per_s", "images/s", ".1f")]
        if pl_module.is_validated:  # otherwise Lightning keeps the scores of an earlier epoch
            shown[1:1] = [(key, key, ".4f") for key in ("val/mIoU", "val/mDice")]
        parts = [
            f"{label} {float(found[key]):{form}}" for key, label, form in shown if key in found
        ]
        if (last := trainer.max_epochs) not in (None, -1):
            done = trainer.current_epoch + 1 - self._first
            left = (time.monotonic() - self._started) / done * (last - trainer.current_epoch - 1)
            parts.append(f"{duration(left)} left")
        line = "  ".join([epoch_of(trainer), *parts])
        Tqdm.write(line, file=sys.stdout)  # above the bar, if there is one
        sys.stdout.flush()


def epoch_of(trainer: pl.Trainer) -> str:
    """The current epoch, counted from 1, of all: `epoch 3/10`."""
    is_limited = trainer.max_epochs not in (None, -1)
    return f"epoch {trainer.current_epoch + 1}" + f"/{trainer.max_epochs}" * is_limited


class Bar(TQDMProgressBar):
    """Lightning's progress bar, but it reads the loss only when it is logged.

    Reading the loss makes the host wait for the device; Lightning would do so at every step.

    Args:
        read_every: number of steps between two readings.
    """

    def __init__(self, read_every: int) -> None:
        super().__init__()
        self.read_every = read_every

    def init_train_tqdm(self) -> Tqdm:
        """Creates the bar, which is removed after the training; the lines of the epochs stay."""
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Counts epochs from 1, as the lines above the bar do."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(epoch_of(trainer))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Counts the batch; tqdm itself redraws at most ten times a second."""
        bar, done = self.train_progress_bar, batch_idx + 1
        bar.update(done - bar.n)
        if done % self.read_every == 0 or done == bar.total:
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Loss and val/mIoU, without the version number, which has no meaning here."""
        return {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num"}
