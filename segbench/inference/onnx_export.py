"""Exports a model to ONNX, from pixels to logits.

    image float32 [N, channels, H, W], values as read (RGB in 0..255)
      -> normalize -> pad to the divisor -> model -> crop
      -> logits float32 [N, C, H, W]   (and, if requested, labels uint8 [N, H, W])

N, H and W may be any number. The file contains its classes, normalization and protocol.
"""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from segbench.errors import ExportError
from segbench.inference.labels import argmax_labels, checked_argmax, require_finite
from segbench.inference.onnx import METADATA_KEY, SEALED, OnnxNetwork, require, seal, unseal
from segbench.inference.predictor import scaling

OPSET = 18
LEAST_DIMS = (1, 4, 16, 64)  # minimum heights and widths that are tried


class Deployed(nn.Module):
    """A model from pixels to logits.

    Args:
        model: any model, in eval mode; it is copied.
        mean: mean of the channels in 0..1, black to white.
        std: standard deviation of the channels in 0..1.
        divisor: for models that do not pad themselves, as in `Predictor`.
        argmax: also return the label map.
        value_range: values of black and white in the images.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        divisor: int = 1,
        argmax: bool = False,
        value_range: tuple[float, float] = (0.0, 255.0),
    ) -> None:
        super().__init__()
        self.model = with_exportable_pooling(copy.deepcopy(model).float().cpu().eval())
        factor, shift = scaling(mean, std, value_range)
        self.value_range = value_range
        self.register_buffer("factor", torch.tensor(factor)[:, None, None])
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.divisor, self.argmax = divisor, argmax

    factor: Tensor
    shift: Tensor

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """float `[N, channels, H, W]` as read -> logits, or logits and labels."""
        pixels = image * self.factor - self.shift
        height, width = image.shape[2:]
        if self.divisor > 1:
            below = (height + self.divisor - 1) // self.divisor * self.divisor - height
            right = (width + self.divisor - 1) // self.divisor * self.divisor - width
            pixels = F.pad(pixels, (0, right, 0, below))
        logits = self.model(pixels)[:, :, :height, :width]
        return (logits, logits.argmax(1).to(torch.uint8)) if self.argmax else logits


class PoolingByMatrix(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, which ONNX supports for any image size.

    Args:
        output_size: `(h, w)` of the result.
    """

    def __init__(self, output_size: tuple[int, int]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """float `[N, C, H, W]` -> `[N, C, h, w]`."""
        rows = self._weights(x.shape[2], self.output_size[0], x)
        columns = self._weights(x.shape[3], self.output_size[1], x)
        return rows @ x @ columns.transpose(0, 1)

    @staticmethod
    def _weights(length: int, cells: int, like: Tensor) -> Tensor:
        """`[cells, length]`: cell i averages from floor(i L / n) to ceil((i + 1) L / n)."""
        place = torch.arange(length, device=like.device)[None]
        cell = torch.arange(cells, device=like.device)[:, None]
        inside = (place >= cell * length // cells) & (
            place < ((cell + 1) * length + cells - 1) // cells
        )
        weights = inside.to(like.dtype)
        return weights / weights.sum(1, keepdim=True)


def with_exportable_pooling(model: nn.Module) -> nn.Module:
    """Replaces every adaptive pooling to more than one cell, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size
                height, width = size if isinstance(size, tuple) else (size, size)
                if height and width and height * width > 1:
                    setattr(module, name, PoolingByMatrix((height, width)))
    return model


def export_onnx(
    network: Deployed, file: Path, metadata: Mapping[str, object]
) -> torch.export.ExportedProgram:
    """Writes an ONNX file for any image size and batch size.

    Args:
        network: model from pixels to logits.
        file: the file to write.
        metadata: stored inside the file; plain types.

    Returns:
        The `torch.export` program from which it was made.

    Raises:
        ExportError: an operator has no ONNX counterpart, or depends on the size of the image.
    """
    require("onnx", "onnxscript")
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = _traced(network)
            written = torch.onnx.export(
                program,
                input_names=["image"],
                output_names=["logits", "labels"][: 1 + network.argmax],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        raise ExportError(explain(error)) from error
    assert written is not None
    proto = written.model_proto
    # ONNX Runtime plans its memory by these shapes. If the example's map had one pixel (small
    # images in a pooling pyramid), torch writes 1 for any image.
    for info in proto.graph.value_info:
        info.type.tensor_type.ClearField("shape")
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps({**metadata, SEALED: True})})
    onnx.save(proto, str(file))
    seal(file)
    return program


def _traced(network: Deployed) -> Any:
    """Exports a program for any image size from the smallest minimum that torch can prove."""
    low, high = network.value_range
    # torch.export specializes sizes of 1: two windows of Swin at stride 32, in both directions, are
    # the least that it must see to allow for any number of them.
    noise = torch.rand(2, len(network.factor), 230, 500)
    example = low + (high - low) * noise
    for least in LEAST_DIMS:
        sizes = {0: Dim("batch", min=1), 2: Dim("height", min=least), 3: Dim("width", min=least)}
        try:
            return torch.export.export(
                network,
                (example,),
                dynamic_shapes=(sizes,),
                # torch cannot prove facts that follow from the padding (the image fits into it).
                prefer_deferred_runtime_asserts_over_guards=True,
            )
        except Exception as error:  # for example, a strided model reduces small sizes to zero
            if least == LEAST_DIMS[-1] or "Constraints violated" not in str(error):
                raise
    raise AssertionError("unreachable")


def any_size(program: Any) -> Any:
    """Removes the assertions about sizes from a program.

    They distinguish memory layouts (whether padding was cropped), which does not change any value,
    and would reject sizes that need no padding.
    """
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def explain(error: BaseException) -> str:
    """Names the operator that prevents an export, and what to do about it."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    text = "\n".join(str(item) for item in chain)
    operators = re.findall(r"aten[.:]+[a-z_0-9.]+", text)
    first = next((line.strip() for line in str(chain[-1]).splitlines() if line.strip()), "")
    which = f"operator {operators[0]}" if operators else type(chain[-1]).__name__
    return (
        f"the model cannot be exported to ONNX: {which}: {first[:300]}. Replace that part of the "
        "model with operators that ONNX supports for any image size, or use the checkpoint"
    )


def quantize(file: Path, kind: str, images: Sequence[Tensor]) -> None:
    """Converts an ONNX file to int8, in place.

    Args:
        file: written by `export_onnx`.
        kind: `dynamic`: weights are int8, the ranges of activations are computed at run time;
            `static`: the ranges are calibrated on `images`.
        images: float32 `[1, channels, H, W]` as read.
    """
    require("onnxruntime")
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {"image": image.numpy()}

    unseal(file)
    if kind == "dynamic":
        quantization.quantize_dynamic(file, file)
    else:
        quantization.quantize_static(file, file, Images(), per_channel=True)
    seal(file)


def agreement(network: Deployed, onnx: OnnxNetwork, image: Tensor) -> tuple[float, float]:
    """Compares the two on an image float32 `[1, channels, H, W]`.

    Returns:
        The share of pixels with the same class, and the largest difference of logits relative to
        the largest logit.

    Raises:
        NonFiniteLogitsError: the model's logits are NaN or infinite.
    """
    with torch.inference_mode():
        found = network(image)
    logits = found[0] if isinstance(found, tuple) else found
    labels, finite = checked_argmax(logits)
    require_finite(finite, ["the image"])
    other = onnx(image)
    same = (labels == argmax_labels(other)).float().mean().item()
    difference = (logits - other).abs().max() / logits.abs().max().clamp(min=1e-12)
    return same, difference.item()
