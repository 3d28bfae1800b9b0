"""Finds the learning rate of a run before its first epoch, with Lightning's range test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateFinder

from segbench.errors import ConfigError
from segbench.system.console import say
from segbench.training.task import SegmentationTask


class LRFinder(LearningRateFinder):
    """The learning-rate range test (Smith 2017, arXiv:1506.01186, section 3.3), then trains at it.

    Lightning's own callback sets the rate of the first step alone: a schedule that moves every step
    computes the next one from the rate of the config. Here the rate of every parameter group and
    the base of the schedule are scaled, so that warm-up and `encoder_lr_factor` stay. During the
    test all groups have one rate. The test leaves weights, random numbers and counts as they were;
    a resumed run keeps the rate of its first start.

    Args:
        min_lr: first rate that is tried.
        max_lr: last rate, unless the loss diverges before.
        num_training_steps: optimizer steps of the test; they are no part of the training.
        mode: `exponential` or `linear`, how the rate grows.
        early_stop_threshold: the test ends where the loss is this many times the lowest;
            None = never.

    Attributes:
        found: the rate; None before the test.
    """

    def __init__(
        self,
        min_lr: float = 1e-6,
        max_lr: float = 1.0,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
    ) -> None:
        if not 0 < min_lr < max_lr:
            raise ValueError(f"min_lr={min_lr} must be above 0 and below max_lr={max_lr}")
        super().__init__(
            min_lr, max_lr, num_training_steps, mode, early_stop_threshold, update_attr=False
        )
        self.found: float | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finds the rate of a run that begins, and gives it to optimizer and schedule.

        Raises:
            ConfigError: no rate can be suggested.
        """
        task = cast(SegmentationTask, pl_module)
        if self.found is None and trainer.max_epochs != 0:
            with _rehearsal(trainer, task):
                self.lr_find(trainer, pl_module)
            found = self.optimal_lr.suggestion() if self.optimal_lr else None
            if found is None:
                raise ConfigError(
                    f"callbacks: {self._num_training_steps} steps of the learning-rate finder are "
                    "too few to suggest a rate; set num_training_steps to at least 30"
                )
            self.found = float(found)
            before = _scale(trainer, self.found)
            if trainer.is_global_zero:
                say(f"learning rate found: {self.found:.3g} (optimizer.lr is {before:.3g})")
        task.found_lr = self.found

    def state_dict(self) -> dict[str, float | None]:
        """The rate, for the checkpoint."""
        return {"found": self.found}

    def load_state_dict(self, state_dict: Mapping[str, float | None]) -> None:
        """The rate of the run that is resumed."""
        self.found = state_dict["found"]


@contextmanager
def _rehearsal(trainer: pl.Trainer, task: SegmentationTask) -> Iterator[None]:
    """Steps that do not count: of any number of epochs, without validation, and may diverge."""
    for left in Path(trainer.default_root_dir).glob(".lr_find_*.ckpt"):  # of a killed process
        if trainer.is_global_zero:
            left.unlink(missing_ok=True)
    loop, epochs, every = trainer.fit_loop, trainer.max_epochs, trainer.check_val_every_n_epoch
    loop.max_epochs, trainer.check_val_every_n_epoch = -1, sys.maxsize
    task.may_diverge = True
    try:
        yield
    finally:
        loop.max_epochs, trainer.check_val_every_n_epoch = epochs, every
        task.may_diverge = False


def _scale(trainer: pl.Trainer, lr: float) -> float:
    """Makes `lr` the base rate of the last parameter group, whose rate is logged, and scales the
    others with it; returns what it was."""
    (optimizer,) = trainer.optimizers
    groups = optimizer.param_groups
    before = float(groups[-1].get("initial_lr", groups[-1]["lr"]))
    for group in groups:
        for key in ("lr", "initial_lr"):
            if key in group:
                group[key] *= lr / before
    for config in trainer.lr_scheduler_configs:
        if bases := getattr(config.scheduler, "base_lrs", None):
            config.scheduler.base_lrs = [base * lr / before for base in bases]
    return before
