"""The LightningModule: training, validation and test steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from segbench.data.batch import Batch, parts
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, NonFiniteLossError
from segbench.inference.labels import FiniteLogits, checked_argmax
from segbench.inference.predictor import Predictor
from segbench.metrics.boundary import BoundaryPerImage
from segbench.metrics.confusion import ConfusionPerImage
from segbench.metrics.scores import MatrixScores, scores
from segbench.training.finite import CAUSES, LossWatch, check_weights
from segbench.training.loss_terms import EpochMeans, step_terms


class SegmentationTask(pl.LightningModule):
    """Trains a model and scores it at the original resolution of the masks.

    Args:
        model: `image [N, 3, H, W] -> logits [N, C, H, W]`; with `forward_with_aux` if it has
            auxiliary heads, with `aux_terms` if they have losses of their own, and with
            `training_loss` if the whole loss is its own.
        loss: `(logits, mask) -> scalar`; with `terms` if it is a sum.
        classes: the class set.
        predictor: predicts the label maps of the test set, with the same `model`.
        make_optimizer: builds the optimizer of a model.
        make_scheduler: builds the schedule from the optimizer and the number of steps.
        image_names: for each split, the names of its images by index.
        seed: seed of the run.
        channels_last: memory format of model and images.
        log_every: number of steps between logged values of the training step.
        checkpoint_meta: metadata in the checkpoint besides the weights; plain types.

    Attributes:
        tested: after a test, as `counts`, plus boundaries int64 `[N, 2, C]`; None before.
        found_lr: the base learning rate, where a callback has found it; None = that of the config.
        may_diverge: whether a loss that is not finite is no error.
    """

    model: Any
    loss: Any
    confusion: Any

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        classes: ClassSet,
        predictor: Predictor,
        make_optimizer: Callable[[nn.Module], Optimizer],
        make_scheduler: Callable[[Optimizer, int], LRScheduler | ReduceLROnPlateau],
        image_names: dict[str, list[str]],
        seed: int = 0,
        channels_last: bool = True,
        log_every: int = 20,
        checkpoint_meta: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=self.memory_format)
        self.loss = loss
        self.classes = classes
        self.predictor = predictor
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        self.confusion = nn.ModuleDict(
            {s: ConfusionPerImage(classes, image_names.get(s, [])) for s in ("val", "test")}
        )
        self.boundary = BoundaryPerImage(classes)
        self.seed = seed
        self.log_every = log_every
        self.checkpoint_meta = checkpoint_meta or {}
        self.latest_scores: dict[str, MatrixScores] = {}
        self.tested: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self.found_lr: float | None = None
        self.may_diverge = False
        self._val_epoch: int | None = None
        self._losses: LossWatch | None = None
        self._finite = FiniteLogits()
        self._steps = 0  # of the whole training
        self._means = EpochMeans()
        self._lr = 0.0

    def normalize(self, image: Tensor) -> Tensor:
        """uint8 `[N, 3, H, W]` -> float32, normalized, in the memory format of the model."""
        return self.predictor.normalize(image.to(memory_format=self.memory_format))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds the random numbers of each epoch from (seed, epoch, rank) alone.

        Random operations of a model (dropout) are then the same after a resume.
        """
        if batch_idx == 0:
            self._means = EpochMeans()
            key = (self.seed, self.current_epoch, self.global_rank)
            torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Runs one step; logs each term of the loss."""
        image, mask = batch["image"], batch["mask"]
        assert isinstance(image, Tensor)  # training images have one size
        assert isinstance(mask, Tensor)
        image = self.normalize(image)
        progress = self.global_step / max(self._steps, 1)
        ignored = self.classes.ignore_index
        terms = step_terms(self.model, self.loss, image, mask, ignored, progress)
        values = torch.stack(list(terms.values()))
        loss = values.sum()
        if not self.may_diverge:
            if self._losses is None:
                self._losses = LossWatch(Path(self.trainer.default_root_dir))
            self._losses.add(loss.detach(), self.global_step, batch)
        self._means.add(list(terms), values.detach())
        self._lr = self.trainer.optimizers[0].param_groups[-1]["lr"]
        is_due = (self.global_step + 1) % self.log_every == 0  # Lightning logs at these steps
        is_last = self.trainer.is_last_batch or self.global_step + 1 == self.trainer.max_steps
        if is_due:
            self.log("train/loss_step", loss.detach(), prog_bar=True, batch_size=len(mask))
        if is_last:  # for callbacks; loggers get them in `on_train_epoch_end`, even if short
            self.log_dict(self._means.values(), batch_size=1, sync_dist=True)
        if is_due or is_last:
            self.log("lr", self._lr, batch_size=1)
        return loss

    def check_finite(self) -> None:
        """Waits for the losses of all steps so far and checks them.

        Raises:
            NonFiniteLossError: one was NaN or infinite.
        """
        if self._losses is not None:
            self._losses.check(wait=True)

    def check_end(self) -> None:
        """Also checks the weights, because no loss follows the last step; same errors."""
        self.check_finite()
        check_weights(self.model, self.trainer.global_step)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """Predicts whole images, counts them, logs the loss; returns label maps as `pred`."""
        predictions: list[Tensor] = []
        for image, mask, index, names in parts(batch):
            logits = self.model(self.normalize(image))
            size = (mask.shape[-2], mask.shape[-1])
            pred, finite = checked_argmax(logits.float(), size)
            self._finite.add(finite, names)
            self.confusion["val"].update(pred, mask, index)
            predictions += pred
            if logits.shape[-2:] != mask.shape[-2:]:
                logits = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
            loss = self.loss(logits, mask)
            self.log("val/loss", loss, batch_size=len(mask), on_epoch=True, sync_dist=True)
        return {"pred": predictions}

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """Predicts as `inference` is configured, counts; returns the label maps as `pred`."""
        predictions: list[Tensor] = []
        for image, mask, index, names in parts(batch):
            image = image.to(memory_format=self.memory_format)
            size = (mask.shape[-2], mask.shape[-1])
            pred = self.predictor.labels(image, size, names, self._finite)
            self.confusion["test"].update(pred, mask, index)
            self.boundary.update(pred, mask, index)
            predictions += pred
        return {"pred": predictions}

    def on_validation_epoch_end(self) -> None:
        """Logs the scores of the validation set.

        Raises:
            NonFiniteLossError: a loss was NaN or infinite.
            NonFiniteLogitsError: logits were NaN or infinite, so that the labels are meaningless.
        """
        self.check_finite()
        self._finite.check()
        loss = self.trainer.callback_metrics.get("val/loss")
        if loss is not None and not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"val/loss is {loss.item()} after step {self.global_step}. {CAUSES}"
            )
        self._log_scores("val")
        self._val_epoch = self.current_epoch

    def on_train_epoch_end(self) -> None:
        """Checks loss and weights and steps a plateau schedule, before a checkpoint is written.

        Raises:
            NonFiniteLossError: a loss or a weight is NaN or infinite.
        """
        if not self.may_diverge:
            self.check_end()
        self.log_dict(self._means.values(), sync_dist=True)
        if self.global_step % self.log_every:  # otherwise the last step has logged it
            self.log("lr", self._lr)
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau) and self.is_validated:
            schedule.step(self.latest_scores["val"]["mIoU"] or 0.0)

    @property
    def is_validated(self) -> bool:
        """Whether the scores of the validation set are those of the current epoch."""
        return self._val_epoch == self.current_epoch

    def on_test_epoch_end(self) -> None:
        """Logs the scores of the test set, and stores its counts as `tested`.

        Everything that ranks share is gathered here: afterwards the metrics are moved from the GPU
        to the host, where NCCL cannot gather.

        Raises:
            NonFiniteLogitsError: logits were NaN or infinite, so that the labels are meaningless.
        """
        self._finite.check()
        self._log_scores("test")
        self.tested = (*self.counts("test"), self.boundary.compute())

    def counts(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Indices int64 `[N]` and confusion matrices int64 `[N, C, C + 1]` of val or test."""
        return self.confusion[split].compute()

    def _log_scores(self, split: str) -> None:
        _, matrices = self.counts(split)
        found = scores(matrices.sum(0), self.classes.names)
        self.latest_scores[split] = found
        totals = {key: found[key] for key in ("mIoU", "mDice", "pixel_acc", "mean_acc")}
        for key, total in totals.items():
            if total is not None:
                self.log(f"{split}/{key}", total, prog_bar=key == "mIoU", rank_zero_only=True)
        for kind in ("IoU", "Dice"):
            values = {f"{split}/{kind}/{n}": v for n, v in found[kind].items() if v is not None}
            self.log_dict(values, rank_zero_only=True)

    def on_validation_epoch_start(self) -> None:
        """Resets the counts of the previous epoch."""
        self.confusion["val"].reset()

    def on_test_epoch_start(self) -> None:
        """Resets the counts of an earlier test."""
        self.confusion["test"].reset()
        self.boundary.reset()

    def configure_optimizers(self) -> Any:
        """Optimizer, and a schedule per step (or per epoch, for plateaus)."""
        steps, wanted = int(self.trainer.estimated_stepping_batches), self.trainer.max_steps
        if self.trainer.max_epochs and steps < wanted:
            raise ConfigError(
                f"trainer.max_steps={wanted}, but trainer.max_epochs={self.trainer.max_epochs} "
                f"ends after {steps} steps; set trainer.max_epochs=-1 to train for max_steps"
            )
        self._steps = steps
        optimizer = self.make_optimizer(self.model)
        scheduler = self.make_scheduler(optimizer, steps)
        if isinstance(scheduler, ReduceLROnPlateau):
            # Lightning would step it after the checkpoint is written: see `on_train_epoch_end`.
            schedule = {
                "scheduler": scheduler,
                "interval": "epoch",
                "monitor": "val/mIoU",
                "frequency": sys.maxsize,
            }
        else:
            schedule = {"scheduler": scheduler, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint self-contained; keeps the model and what the loss may change."""
        changing = {name for name, _ in self.named_buffers() if name.startswith("loss.")}
        checkpoint["state_dict"] = {
            key: value
            for key, value in checkpoint["state_dict"].items()
            if key.startswith("model.") or key in changing
        }
        found = dict(self.latest_scores) if self.is_validated else {}
        checkpoint["segbench"] = {**self.checkpoint_meta, "scores": found}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """As in torch; what a checkpoint lacks of the loss, its frozen weights, stays as built."""
        built = {key: v for key, v in self.state_dict().items() if key.startswith("loss.")}
        return super().load_state_dict({**built, **state_dict}, *args, **options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the latest scores."""
        self.latest_scores = dict(checkpoint["segbench"].get("scores", {}))
