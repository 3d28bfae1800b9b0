"""What every model can have: a frozen encoder, activation checkpointing, learning rates by layer.

And what no model can have: sizes below one, rates above one.

The blocks of an encoder are what its lists of layers contain (the outermost ones that have several
layers themselves), in the order of the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import MethodType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

PARTS = ("encoder",)


def wrong_arguments(target: str, node: Mapping[str, Any]) -> list[str]:
    """Arguments of a model that are out of range, a sentence for each.

    Args:
        target: dotted name of the model; of one from elsewhere, only the weights are known.
        node: its arguments.
    """
    problems = []
    for key, value in node.items():
        numbers = value if isinstance(value, list) else [value]
        if isinstance(value, bool) or not all(isinstance(n, int | float) for n in numbers):
            continue
        if key in ("aux_weight", "boundary_weight"):
            is_wrong, expected = min(numbers, default=0) < 0, "at least 0"
        elif not target.startswith("segbench.models."):
            continue
        elif key == "drop_path_rate" or key.endswith("dropout"):
            is_wrong, expected = not all(0 <= n <= 1 for n in numbers), "between 0 and 1"
        else:
            sizes = [n for n in numbers if isinstance(n, int)]
            is_wrong, expected = min(sizes, default=1) < 1, "at least 1"
        if is_wrong:
            problems.append(f"model.{key}: must be {expected}, got {value}")
    return problems


def apply_options(model: nn.Module, frozen_part: str | None, checkpointed: bool) -> None:
    """Freezes a part and checkpoints activations, in place, where asked; raises ValueError."""
    if frozen_part is not None:
        freeze(model, frozen_part)
    if checkpointed:
        checkpoint_activations(model)


def freeze(model: nn.Module, part: str) -> None:
    """Freezes a part in place: its weights are not trained, and it stays in evaluation mode.

    So batch norm keeps its statistics, and nothing is dropped.

    Args:
        model: any model with that part.
        part: `encoder`.

    Raises:
        ValueError: another part, or the model has none of this name.
    """
    if part not in PARTS:
        raise ValueError(f"freeze={part!r}: expected null or 'encoder'")
    frozen = getattr(model, part, None)
    if not isinstance(frozen, nn.Module):
        raise ValueError(
            f"freeze={part!r}, but {type(model).__name__} has no part of this name; leave it at "
            "null"
        )
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    frozen.eval()
    frozen.train = MethodType(_stay, frozen)  # type: ignore[method-assign]


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module


def checkpoint_activations(model: nn.Module) -> None:
    """Lets the blocks of the encoder forget their activations, and compute them again backwards.

    Training then needs less memory and more time; the gradients are the same, and batch norm counts
    each batch once.

    Raises:
        ValueError: the model has no encoder, or it has no blocks.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise ValueError(
            f"checkpoint_activations=true, but {type(model).__name__} has no blocks in an encoder"
        )
    for block in blocks.values():
        block.forward = MethodType(_again, block)  # type: ignore[method-assign]


def _again(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    forward = MethodType(type(block).forward, block)
    if not block.training:
        return forward(*args, **kwargs)
    return checkpoint(
        forward,
        *args,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _without_counting(block)),
        **kwargs,
    )


@contextlib.contextmanager
def _without_counting(block: nn.Module) -> Iterator[None]:
    """Batch norm uses the statistics of the batch, but does not take them into its own."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def encoder_name(model: nn.Module) -> str | None:
    """Dotted name of `model.encoder`, which may be a property; None if there is none."""
    encoder = getattr(model, "encoder", None)
    return next((name for name, module in model.named_modules() if module is encoder), None)


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """The blocks of `model.encoder` by their names in the model; empty if there are none."""
    root = encoder_name(model)
    if root is None:
        return {}
    found: dict[str, nn.Module] = {}
    waiting = [(root, model.get_submodule(root))]
    while waiting:
        name, module = waiting.pop(0)
        children = [(f"{name}.{key}", child) for key, child in module.named_children()]
        if isinstance(module, nn.Sequential | nn.ModuleList) and name != root:
            blocks = [(n, c) for n, c in children if any(True for _ in c.children())]
            nested = [(n, c) for n, c in blocks if has_list_of_blocks(c)]
            found |= {n: c for n, c in blocks if (n, c) not in nested}
            waiting = nested + waiting
        else:
            waiting = children + waiting
    return found


def has_list_of_blocks(module: nn.Module) -> bool:
    """Whether this is a stage rather than a block: a list in it contains modules with parts."""
    return any(
        isinstance(inner, nn.Sequential | nn.ModuleList)
        and sum(any(True for _ in child.children()) for child in inner) > 0
        for inner in module.children()
    )
