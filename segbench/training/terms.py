"""The terms of the loss of one training step: the config's loss, or the model's own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Terms = dict[str, Tensor]


def loss_terms(
    model: Any, loss: Any, image: Tensor, mask: Tensor, ignore_index: int, progress: float
) -> Terms:
    """Computes the terms; their sum is the loss.

    A model with `training_loss(image, mask)` brings its own loss, a scalar or a dict of terms, and
    the loss of the config is not used. One with `set_progress(done)` hears before each step how
    much of the training is done. All others are trained with the loss of the config: on the
    logits and, weighted by `aux_weight`, on those of auxiliary heads, or as `aux_terms` says.

    Args:
        model: the model, in training mode.
        loss: of the config, `(logits, mask) -> scalar`; with `terms` if it is a sum.
        image: normalized, `[N, C, H, W]`.
        mask: class ids `[N, H, W]`.
        ignore_index: label of pixels that do not count.
        progress: the part of the training that is done, 0..1.
    """
    if hasattr(model, "set_progress"):
        model.set_progress(progress)
    if hasattr(model, "training_loss"):
        found = model.training_loss(image, mask)
        return found if isinstance(found, dict) else {"main": found}
    terms: Terms = {}
    if getattr(model, "aux_weight", 0):
        logits, auxiliary = model.forward_with_aux(image)
        if hasattr(model, "aux_terms"):
            terms |= model.aux_terms(logits, auxiliary, mask, loss, ignore_index)
        else:
            terms["aux"] = model.aux_weight * sum(loss(x, mask) for x in auxiliary)
    else:
        logits = model(image)
    return terms | (
        loss.terms(logits, mask) if hasattr(loss, "terms") else {"main": loss(logits, mask)}
    )
