"""Optimizers and learning-rate schedules.

Every optimizer excludes biases and norm parameters from weight decay (He et al. 2019,
arXiv:1812.01187, section 3.1) and can train a pretrained encoder with a lower learning rate. Every
schedule is a factor of the base learning rate, per optimizer step, after a linear warm-up.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from segbench.models.options import blocks_of, encoder_name

FUSED_ON = ("cpu", "cuda")  # device types


def sgd(
    model: nn.Module,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    encoder_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
    fused: bool = True,
) -> Optimizer:
    """Stochastic gradient descent with momentum; arguments as in `torch.optim.SGD` and `adamw`."""
    groups = parameter_groups(model, lr, weight_decay, encoder_lr_factor, layer_decay)
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=_fused(model, fused))


def adam(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    encoder_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
    fused: bool = True,
) -> Optimizer:
    """Adam (Kingma and Ba 2015), weight decay as an L2 term; arguments as in `adamw`."""
    groups = parameter_groups(model, lr, weight_decay, encoder_lr_factor, layer_decay)
    return Adam(groups, lr=lr, betas=(betas[0], betas[1]), fused=_fused(model, fused))


def adamw(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.01,
    encoder_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
    fused: bool = True,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019), decoupled weight decay.

    Args:
        model: the model.
        lr: base learning rate.
        betas: decay rates of the moments.
        weight_decay: for weights; biases and norm parameters have none.
        encoder_lr_factor: learning rate of `model.encoder` as a factor of `lr`.
        layer_decay: the rate falls by this factor from each block of the encoder to the one before
            it; 1: all have the same (Clark et al. 2020, arXiv:2003.10555; for ViT 0.65 to 0.9).
        fused: update all weights in one kernel, if torch has one. On a CPU this took a fifth of
            the time of Adam's loop over the weights. Lightning cannot clip gradients with a fused
            optimizer under mixed precision.
    """
    groups = parameter_groups(model, lr, weight_decay, encoder_lr_factor, layer_decay)
    return AdamW(groups, lr=lr, betas=(betas[0], betas[1]), fused=_fused(model, fused))


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    encoder_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Splits the trainable parameters by weight decay and learning rate.

    Returns:
        Non-empty groups for an optimizer, each with a `name`.

    Raises:
        ValueError: a number is below 0, `encoder_lr_factor` needs a missing `encoder`, or nothing
            is trainable.
    """
    if min(weight_decay, encoder_lr_factor) < 0:
        raise ValueError(
            f"weight_decay={weight_decay} and encoder_lr_factor={encoder_lr_factor} must be at "
            "least 0"
        )
    prefix = _encoder_prefix(model)
    if encoder_lr_factor != 1.0 and prefix is None:
        raise ValueError(
            f"encoder_lr_factor={encoder_lr_factor}, but {type(model).__name__} has no attribute "
            "'encoder'; leave it at 1"
        )
    distance = {} if layer_decay == 1.0 else _layers(model, layer_decay)
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        in_encoder = prefix is not None and name.startswith(prefix)
        has_own_rate = in_encoder and encoder_lr_factor != 1.0
        factor, key = (encoder_lr_factor, "encoder") if has_own_rate else (1.0, "model")
        if layer_decay != 1.0 and in_encoder:
            key = f"encoder, {distance[name]} blocks from its end"
            factor *= layer_decay ** distance[name]
        # Norms and biases are the parameters with one dimension.
        decays = parameter.ndim > 1
        key += "" if decays else ", no decay"
        start = {"params": [], "name": key, "lr": lr * factor}
        group = groups.setdefault(key, start | {"weight_decay": weight_decay if decays else 0.0})
        group["params"].append(parameter)
    if not groups:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameters (requires_grad), so nothing "
            "would be learned"
        )
    return list(groups.values())


def _layers(model: nn.Module, layer_decay: float) -> dict[str, int]:
    """For each parameter, its distance from the end of the encoder in blocks.

    Those in front of a block, such as the embedding of a stage, belong to it; those in front of
    the first block are a layer of their own.

    Raises:
        ValueError: `layer_decay` is out of range, or there are no blocks.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay={layer_decay} must be above 0 and at most 1")
    blocks = list(blocks_of(model))
    if not blocks:
        raise ValueError(
            f"layer_decay={layer_decay}, but {type(model).__name__} has no blocks in an encoder; "
            "leave it at 1"
        )
    names = [name for name, _ in model.named_parameters()]
    places = [[i for i, n in enumerate(names) if n.startswith(f"{block}.")] for block in blocks]
    start, ends = places[0][0], [place[-1] for place in places]
    depth = len(blocks) + 1
    return {n: depth - (bisect_left(ends, i) + 1 if i >= start else 0) for i, n in enumerate(names)}


def poly(
    optimizer: Optimizer,
    total_steps: int,
    power: float = 0.9,
    warmup_steps: int = 0,
    min_factor: float = 0.0,
) -> LambdaLR:
    """(1 - step / total)^power, as in DeepLab (Chen et al. 2017, arXiv:1606.00915, eq. 4).

    Args:
        optimizer: the optimizer.
        total_steps: optimizer steps of the whole training.
        power: 0.9 in DeepLab, 1 in SegFormer.
        warmup_steps: steps of linear growth from 0 before the decay.
        min_factor: lower bound of the factor.
    """
    if power < 0:
        raise ValueError(f"power={power} must be at least 0")
    return _per_step(optimizer, total_steps, warmup_steps, min_factor, lambda t: (1 - t) ** power)


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_steps: int = 0, min_factor: float = 0.0
) -> LambdaLR:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    return _per_step(
        optimizer, total_steps, warmup_steps, min_factor, lambda t: (1 + math.cos(math.pi * t)) / 2
    )


def constant(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> LambdaLR:
    """The base learning rate throughout, after the warm-up."""
    return _per_step(optimizer, total_steps, warmup_steps, 0.0, lambda t: 1.0)


def plateau(
    optimizer: Optimizer, total_steps: int, factor: float = 0.1, patience: int = 5
) -> ReduceLROnPlateau:
    """Multiplies the rate by `factor` after `patience` epochs without a better val/mIoU."""
    if patience < 0:
        raise ValueError(f"patience={patience} must be at least 0")
    return ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience)


def _per_step(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: int,
    min_factor: float,
    curve: Callable[[float], float],
) -> LambdaLR:
    if not 0 <= warmup_steps < max(total_steps, 1):
        raise ValueError(
            f"warmup_steps={warmup_steps} must be at least 0 and less than the {total_steps} steps "
            "of the training"
        )
    if not 0 <= min_factor <= 1:
        raise ValueError(f"min_factor={min_factor} must be between 0 and 1")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
        return max(curve(progress), min_factor)

    return LambdaLR(optimizer, factor)


def _encoder_prefix(model: nn.Module) -> str | None:
    """What the names of the encoder's parameters start with; it may be within another part."""
    if (own := encoder_name(model)) is not None:
        return f"{own}."
    for name, _ in model.named_modules():
        if name.split(".")[-1] == "encoder":
            return f"{name}."
    return None


def _fused(model: nn.Module, wanted: bool) -> bool | None:
    """`fused=True` if wanted and torch has such a kernel; otherwise torch's own default."""
    return True if wanted and next(model.parameters()).device.type in FUSED_ON else None
