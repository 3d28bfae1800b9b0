"""Measures where the time of a training goes, for the logs and result.json."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch


class Speed(pl.Callback):
    """Measures the wall time of the epochs by activity, images/s, and peak GPU memory.

    The activities, in seconds: `steps` of the training; `data`, the wait for the batch of each
    step, including the first of an epoch; `validation`; `checkpoints`, writing them. The rest of
    `epochs`, from the start of each to the start of the next, is curves, sheets and Lightning.

    A GPU continues while the host waits, so there `data` is an upper bound. The host waits for the
    GPU only at the end of each epoch, which is added to `steps`.
    """

    PARTS = ("steps", "data", "validation", "checkpoints")

    def __init__(self) -> None:
        self._began: float | None = None  # start of the current epoch
        self.totals: dict[str, float] = {"images": 0, "epochs": 0.0, **dict.fromkeys(self.PARTS, 0)}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock of the epoch, and stops that of the previous one."""
        self._end_epoch(trainer)
        self._began = self._last_end = time.perf_counter()
        self._epoch = {"images": 0, "steps": 0.0, "data": 0.0}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Records the time already spent on writing checkpoints."""
        self._written = _seconds_writing(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived: the time since the last step was spent waiting."""
        self._step_began = time.perf_counter()
        self._epoch["data"] += self._step_began - self._last_end
        self._epoch["images"] += len(batch["name"])

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Adds the time of the step, and logs at the end of the epoch."""
        is_last = trainer.is_last_batch or trainer.global_step == trainer.max_steps
        if is_last and pl_module.device.type == "cuda":
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() / 2**20
            pl_module.log("train/peak_memory_MiB", peak)
        self._last_end = time.perf_counter()
        self._epoch["steps"] += self._last_end - self._step_began
        if not is_last:
            return
        self._epoch["images"] *= trainer.world_size
        seconds = max(self._epoch["steps"] + self._epoch["data"], 1e-9)
        pl_module.log("train/images_per_s", self._epoch["images"] / seconds)
        pl_module.log("train/waiting_for_data", self._epoch["data"] / seconds)
        for key, value in self._epoch.items():
            self.totals[key] += value

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock of the validation."""
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops it when the scores are known, for which the host has waited."""
        if not trainer.sanity_checking:
            self.totals["validation"] += time.perf_counter() - self._validation_began

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock of the last epoch."""
        self._end_epoch(trainer)

    def _end_epoch(self, trainer: pl.Trainer) -> None:
        if self._began is None:
            return
        self.totals["epochs"] += time.perf_counter() - self._began
        self._began = None
        written = _seconds_writing(trainer)
        self.totals["checkpoints"] += written - self._written
        self._written = written

    def timings(self) -> dict[str, Any]:
        """The timings for result.json.

        `epoch_seconds` and their `shares`; and, for the steps and the wait for their data alone,
        `train_seconds`, `images_per_s` and `waiting_for_data`.
        """
        train = self.totals["steps"] + self.totals["data"]
        epochs = max(self.totals["epochs"], 1e-9)
        shares = {part: self.totals[part] / epochs for part in self.PARTS}
        return {
            "epoch_seconds": self.totals["epochs"],
            "shares": {**shares, "other": max(0.0, 1 - sum(shares.values()))},
            "train_seconds": train,
            "images_per_s": self.totals["images"] / max(train, 1e-9),
            "waiting_for_data": self.totals["data"] / max(train, 1e-9),
        }

    def state_dict(self) -> dict[str, Any]:
        """The totals so far, for the checkpoint, which is written within the epoch."""
        going_on = 0.0 if self._began is None else time.perf_counter() - self._began
        return {**self.totals, "epochs": self.totals["epochs"] + going_on}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the totals of the run that is resumed; earlier versions stored fewer."""
        old = {"seconds": "steps", "waiting": "data"}
        known = {old.get(key, key): value for key, value in state_dict.items()}
        if "seconds" in state_dict:  # steps and waiting together
            known["steps"] -= known["data"]
            known["epochs"] = state_dict["seconds"]
        self.totals |= known


def _seconds_writing(trainer: pl.Trainer) -> float:
    return getattr(trainer.strategy.checkpoint_io, "seconds", 0.0)
