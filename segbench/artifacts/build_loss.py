"""Builds the loss of a run from its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from segbench.artifacts.build import instantiate
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError
from segbench.losses.foreign import adapted


def build_loss(
    node: Mapping[str, Any], classes: ClassSet, class_weights: Mapping[str, Sequence[float]]
) -> nn.Module:
    """Builds the loss.

    Args:
        node: config; `class_weights` in it may be a list or a name such as `median_frequency`.
        classes: gives `ignore_index`.
        class_weights: the weights for every name that the config uses.
    """
    numbered = _with_numbers("loss", node, class_weights, classes)
    loss = instantiate("loss", numbered, ignore_index=classes.ignore_index)
    if not callable(loss):
        raise ConfigError(f"loss._target_ {node['_target_']} builds nothing that can be called")
    return adapted(loss)


def class_weight_names(node: Any) -> set[str]:
    """The names of class-weight rules that a loss config uses."""
    if not isinstance(node, Mapping):
        return set()
    own = node.get("class_weights")
    below = [class_weight_names(value) for value in node.values()]
    return ({own} if isinstance(own, str) else set()).union(*below)


def _with_numbers(
    path: str, node: Any, class_weights: Mapping[str, Sequence[float]], classes: ClassSet
) -> Any:
    if not isinstance(node, Mapping):
        return node
    out = {k: _with_numbers(f"{path}.{k}", v, class_weights, classes) for k, v in node.items()}
    weights = node.get("class_weights")
    if isinstance(weights, str):
        out["class_weights"] = list(class_weights[weights])
    elif weights is not None and len(weights) != classes.num_classes:
        raise ConfigError(
            f"{path}.class_weights: {len(weights)} weights for {classes.num_classes} classes; "
            f"give one per class, in the order {', '.join(classes.names)}"
        )
    return out
