"""Compiles a model for training and inference."""

from __future__ import annotations

from types import MethodType

import torch
from torch import nn


def compile_network(model: nn.Module) -> None:
    """Compiles a model in place, including `forward_with_aux`; the names of weights do not change.

    `nn.Module.compile` alone compiles only calls of the module, while a model with auxiliary heads
    is trained through `forward_with_aux`. It is a bound method, so that a deep copy of the model
    (EMA) uses its own weights.
    """
    model.compile()
    forward_with_aux = getattr(type(model), "forward_with_aux", None)
    if forward_with_aux is not None:
        compiled = MethodType(torch.compile(forward_with_aux), model)
        model.forward_with_aux = compiled  # type: ignore[assignment]
