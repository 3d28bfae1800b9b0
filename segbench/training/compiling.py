"""Compiles a network for training and inference alike."""

from __future__ import annotations

from types import MethodType

import torch
from torch import nn


def compile_network(model: nn.Module) -> None:
    """Compiles a network in place, its `forward_with_aux` included; names of weights stay plain.

    `nn.Module.compile` alone compiles calls only, while a network with auxiliary heads is trained
    through `forward_with_aux`. A bound method makes a deep copy of the network (EMA) run its own
    weights.
    """
    model.compile()
    forward_with_aux = getattr(type(model), "forward_with_aux", None)
    if forward_with_aux is not None:
        compiled = MethodType(torch.compile(forward_with_aux), model)
        model.forward_with_aux = compiled  # type: ignore[assignment]
