"""Compiles a model for training and inference."""

from __future__ import annotations

from types import MethodType

import torch
from torch import nn

# What a training calls instead of the model itself, where a model has it.
IN_TRAINING = ("forward_with_aux", "forward_queries")


def compile_network(model: nn.Module) -> None:
    """Compiles a model in place, including what training calls; the names of weights do not change.

    `nn.Module.compile` alone compiles only calls, but a model with auxiliary heads or queries is
    trained through another method. It is a bound method, so that a deep copy of the model (EMA)
    uses its own weights.
    """
    model.compile()
    for name in IN_TRAINING:
        method = getattr(type(model), name, None)
        if method is not None:
            setattr(model, name, MethodType(torch.compile(method), model))
