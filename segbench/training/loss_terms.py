"""From images to the terms of the loss; shared by the training step and the dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def step_terms(
    model: Any, loss: Any, image: Tensor, mask: Tensor, ignore_index: int, progress: float
) -> dict[str, Tensor]:
    """The terms of one training step, by name: of the loss of the config, or the model's own.

    Args:
        model: in training mode; with `set_progress(done)` if it changes during a training.
        loss: of the config, not used if the model has its own, see `own_terms`.
        image: float `[N, C, H, W]`, normalized.
        mask: class ids `[N, H, W]`.
        ignore_index: the value of ignored pixels.
        progress: the part of the training that is done, 0..1.
    """
    if hasattr(model, "set_progress"):
        model.set_progress(progress)
    if hasattr(model, "training_loss"):
        return own_terms(model, image, mask)
    logits, auxiliary = outputs_of(model, image)
    return loss_terms(model, loss, logits, auxiliary, mask, ignore_index)


def own_terms(model: Any, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The terms of the loss that a model brings: `training_loss(image, mask)`, or its one value."""
    found = model.training_loss(image, mask)
    return found if isinstance(found, dict) else {"main": found}


def outputs_of(model: Any, image: Tensor) -> tuple[Any, Any]:
    """The logits of a model and, if they are trained, those of its auxiliary heads.

    Args:
        model: has `forward_with_aux` if its `aux_weight` is not 0.
        image: float `[N, 3, H, W]`, normalized.

    Returns:
        The logits, and the auxiliary logits or None if there are none.
    """
    if getattr(model, "aux_weight", 0):
        return model.forward_with_aux(image)
    return model(image), None


def loss_terms(
    model: Any, loss: Any, logits: Tensor, auxiliary: Any, mask: Tensor, ignore_index: int
) -> dict[str, Tensor]:
    """The terms whose sum is the loss, by name.

    Args:
        model: has `aux_terms` if its auxiliary heads have their own losses.
        loss: `(logits, mask) -> scalar`; with `terms` if it is a sum.
        logits: `[N, C, H, W]`.
        auxiliary: the auxiliary logits from `outputs_of`.
        mask: class ids `[N, H, W]`.
        ignore_index: the value of ignored pixels.
    """
    terms: dict[str, Tensor] = {}
    if auxiliary is not None and hasattr(model, "aux_terms"):
        terms |= model.aux_terms(logits, auxiliary, mask, loss, ignore_index)
    elif auxiliary is not None:
        terms["aux"] = model.aux_weight * sum(loss(aux_logits, mask) for aux_logits in auxiliary)
    if hasattr(loss, "terms"):
        return terms | loss.terms(logits, mask)
    return terms | {"main": loss(logits, mask)}


class EpochMeans:
    """Means of the loss and of its terms over the steps of an epoch.

    They are summed on the device, so that the host does not wait at any step.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._total: Tensor | None = None
        self._steps = 0

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Adds the terms `[T]` of a step, detached."""
        self._names = list(names)
        self._total = values if self._total is None else self._total + values
        self._steps += 1

    def values(self) -> dict[str, Tensor]:
        """The means so far by name in the log, `train/loss` and `train/loss/TERM`."""
        if self._total is None:
            return {}
        means = self._total / self._steps
        found = {"train/loss": means.sum()}
        if len(self._names) > 1:
            named = zip(self._names, torch.unbind(means), strict=True)
            found |= {f"train/loss/{name}": mean for name, mean in named}
        return found
