"""Finds by trial which image sizes a model accepts, for the export to ONNX.

A model that does not pad its images may need multiples of its stride; one with large strides needs
more than a few pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.errors import ExportError
from segbench.inference.onnx import OnnxNetwork
from segbench.inference.onnx_export import Deployed

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
LEAST = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_ROOM = 64  # pixels that are enough for any stride, so that only multiples matter
CLOSE = 1e-3  # relative to the largest logit


def divisor_of(model: nn.Module, known: int, channels: int = 3) -> int:
    """The number that height and width must be multiples of, so that logits have their size.

    Args:
        model: the model, in eval mode, on the CPU.
        known: the `divisor` of the predictor, to which images are padded anyway.
        channels: channels of an image.

    Raises:
        ExportError: no size works, as in a model that is built for a single size.
    """
    reason = ""
    for multiple in (m for m in MULTIPLES if m >= known):
        odd = max(1, _ROOM // multiple) | 1
        height, width = multiple * odd, multiple * (odd + 2)
        try:
            logits = _run(model, channels, height, width)
        except Exception as error:  # models raise anything for an unsupported size
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        if logits.shape[2:] == (height, width):
            return multiple
        reason = f"logits of {tuple(logits.shape[2:])} for an image of {(height, width)}"
    raise ExportError(
        f"the model cannot be exported for images of any size: {reason[:300]}. Keep the checkpoint"
    )


def least_size(network: Deployed, written: OnnxNetwork) -> int | None:
    """The minimum height and width for which file and model agree; None if there is none.

    Args:
        network: model from pixels to logits, or to logits and labels.
        written: the same model as an ONNX file.
    """
    return next((size for size in LEAST if _agree(network, written, size)), None)


def _agree(network: Deployed, written: OnnxNetwork, size: int) -> bool:
    low, high = network.value_range
    image = low + (high - low) * _noise(len(network.factor), size, size)
    try:
        with torch.inference_mode():
            found = network(image)
        other = written(image)
    except Exception:  # one of the two does not support it
        return False
    logits = found[0] if isinstance(found, tuple) else found
    if logits.shape != other.shape:
        return False
    return bool((logits - other).abs().max() <= CLOSE * logits.abs().max().clamp(min=1e-12))


def _run(model: nn.Module, channels: int, height: int, width: int) -> Tensor:
    with torch.inference_mode():
        return model(_noise(channels, height, width))


def _noise(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, channels, height, width, generator=generator)
