"""Exponential moving average of the weights (EMA), kept and updated on the model's device."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class EMA(WeightAveraging):
    """Lightning's EMA, but created on the device that the model is trained on.

    Lightning calls `setup` while the model is still on the CPU; an average created there would
    copy every weight to the host at every step.

    Args:
        decay: decay of the average per optimizer step, 0..1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    @property
    def state_key(self) -> str:
        """The key of Lightning's EMA, because the state is the same."""
        return "EMAWeightAveraging"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Initializes the average as a copy of the weights."""
        if stage == "fit":
            self._average_model = DeviceAverage(pl_module, self.decay, trainer.strategy.root_device)


class DeviceAverage(AveragedModel):
    """An average of all weights and buffers, updated with one kernel per dtype.

    The first update copies. The number of updates is also counted in Python, because torch reads
    its own counter from the device at every step, which is a sync.

    Args:
        model: the model to average.
        decay: decay of the average per update, 0..1.
        device: device of the average.
    """

    def __init__(self, model: nn.Module, decay: float, device: torch.device) -> None:
        super().__init__(model, device=device, use_buffers=True)
        self.decay = decay
        self._has_begun: bool | None = False  # None: determined by the loaded state

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Updates the average with the weights of `model`, which is on the same device."""
        if self._has_begun is None:
            self._has_begun = bool(self.n_averaged > 0)
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        lerped = [pair for pair in pairs if self._has_begun and pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not (self._has_begun and pair[0].is_floating_point())]
        for average, now in copied:  # integer buffers (batch counts) are not averaged
            average.copy_(now)
        by_dtype: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for average, now in lerped:
            averages, values = by_dtype.setdefault(average.dtype, ([], []))
            averages.append(average)
            values.append(now)
        for averages, values in by_dtype.values():
            torch._foreach_lerp_(averages, values, 1 - self.decay)
        self._has_begun = True
        self.n_averaged += 1

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """As in torch; the number of updates comes from the state."""
        self._has_begun = None
        return super().load_state_dict(*arguments, **options)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(model.parameters(), model.buffers())]
