"""Logs the norm of the gradients."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer


class GradientNorm(pl.Callback):
    """Logs `train/grad_norm`, the norm of all gradients together, before clipping.

    It is logged at the steps at which the loss is logged. If it is often far above
    `trainer.gradient_clip_val`, clipping determines the size of the steps.

    Args:
        norm_type: p of the p-norm.
    """

    def __init__(self, norm_type: float = 2.0) -> None:
        self.norm_type = norm_type

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Logs the norm of this step; loss scaling has already been undone."""
        step = trainer.global_step + 1
        is_last = trainer.is_last_batch or step == trainer.max_steps
        if step % trainer.log_every_n_steps and not is_last:  # type: ignore[attr-defined]
            return
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, self.norm_type)
        pl_module.log("train/grad_norm", norm)
