"""Conventions shared by all losses.

Input and output. `loss(logits, mask)` takes logits `[N, C, H, W]` (any float dtype) and a mask
`[N, H, W]` of class ids (any integer dtype) and returns a scalar: float32 whatever the autocast
dtype (float64 for float64 logits, which is what gradient checks need). Half-precision logits are
widened first, so nothing overflows; sums over pixels run in float64. A single class (C = 1) has
probability 1 everywhere and loss 0: a binary task needs two classes.

Ignored pixels. Pixels where the mask equals `ignore_index` affect nothing: not the value, the
gradient or the counts. If all pixels are ignored, the loss and its gradient are 0; the loss stays
differentiable.

Averaging. `reduction="batch"` treats the batch as one large image. `reduction="image"` computes
the loss of every image alone and averages over the images that have a labeled pixel.
Pixel losses (cross entropy, OHEM, focal) average over labeled pixels, weighted by the
`class_weights` of their classes as in torch: `sum(w_y * loss) / sum(w_y)`.

Absent classes. Losses with one score per class (Dice, Jaccard, Tversky, Lovasz, boundary)
average over classes. `classes="present"` (the default): those with a pixel in the mask of the
batch, or of the image if `reduction="image"`. `classes="all"`: all C; an absent class then costs
1 (Lovasz: its highest probability) as soon as anything is predicted as it.

Wrong input raises `ValueError`. Labels outside the class set are checked on the CPU only: on an
accelerator the check would wait for the device at every step, and torch's own device-side
assertion fires there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["batch", "image"]
Classes = Literal["present", "all"]


def prepare(logits: Tensor, mask: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Checks both inputs and widens them to at least float32 and to int64."""
    check_inputs(logits, mask, ignore_index)
    return widen(logits), mask.long()


def widen(logits: Tensor) -> Tensor:
    """Half-precision logits as float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def check_inputs(logits: Tensor, mask: Tensor, ignore_index: int) -> None:
    """Rejects invalid shapes, dtypes and (on the CPU) labels.

    Raises:
        ValueError: names the given and the expected value.
    """
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ValueError(
            f"logits are {logits.dtype} {list(logits.shape)}; a loss expects float logits "
            "[N, num_classes, H, W], before softmax"
        )
    expected = [logits.shape[0], *logits.shape[2:]]
    if list(mask.shape) != expected:
        raise ValueError(
            f"the mask is {list(mask.shape)} but logits {list(logits.shape)} need a mask of class "
            f"ids {expected}: not one-hot, without a channel axis, and as large as the logits"
        )
    if mask.is_floating_point() or mask.is_complex() or mask.dtype == torch.bool:
        raise ValueError(
            f"the mask is {mask.dtype}; a loss expects integer class ids such as uint8 or int64"
        )
    if mask.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_labels(mask, logits.shape[1], ignore_index)


def check_options(reduction: str, classes: str = "present") -> None:
    """Raises `ValueError` for an unknown `reduction` or `classes`."""
    if reduction not in ("batch", "image"):
        raise ValueError(f"reduction is {reduction!r}; expected 'batch' or 'image'")
    if classes not in ("present", "all"):
        raise ValueError(f"classes is {classes!r}; expected 'present' or 'all'")


def check_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raises `ValueError` unless `low <= value <= high` and finite."""
    if not (low <= value <= high and math.isfinite(value)):
        limit = f"at least {low:g}" if high == math.inf else f"in {low:g}..{high:g}"
        raise ValueError(f"{name} is {value!r}; expected a number {limit}")


def weights_tensor(class_weights: Sequence[float] | None) -> Tensor | None:
    """Converts class weights to a float32 tensor `[C]`, to be registered as a buffer.

    Raises:
        ValueError: a weight is negative or not finite, or all are zero.
    """
    if class_weights is None:
        return None
    values = [float(weight) for weight in class_weights]
    bad = [value for value in values if not (math.isfinite(value) and value >= 0)]
    if bad or not any(values):
        raise ValueError(
            f"class_weights {values} must be finite, at least 0 and not all 0, one per class"
        )
    return torch.tensor(values, dtype=torch.float32)


def weights_for(class_weights: Tensor | None, logits: Tensor) -> Tensor | None:
    """The weights in the dtype of the logits, after checking that there is one per class."""
    if class_weights is None:
        return None
    if len(class_weights) != logits.shape[1]:
        raise ValueError(
            f"{len(class_weights)} class_weights for logits with {logits.shape[1]} classes; "
            "give one weight per class, in the order of the class ids"
        )
    return class_weights.to(logits.dtype)


def accumulator(device: torch.device) -> torch.dtype:
    """The dtype of sums over pixels: float64, or float32 on Apple GPUs, which lack float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def pixel_mean(
    values: Tensor, counted: Tensor, mask: Tensor, class_weights: Tensor | None, reduction: str
) -> Tensor:
    """Mean of a loss map over the counted pixels, weighted by the classes of their labels.

    Args:
        values: `[N, H, W]`, not yet weighted.
        counted: bool `[N, H, W]`, false at every ignored pixel.
        mask: int64 `[N, H, W]`.
        class_weights: `[C]`, or None for ones.
        reduction: "batch" or "image".

    Returns:
        A scalar in the dtype of `values`.
    """
    weights = counted.to(values.dtype)
    if class_weights is not None:
        weights = weights * class_weights[mask * counted]
    dtype = accumulator(values.device)
    numerator = (values * weights).sum((1, 2), dtype=dtype)
    return mean_of(numerator, weights.sum((1, 2), dtype=dtype), reduction).to(values.dtype)


def mean_of(numerator: Tensor, denominator: Tensor, reduction: str) -> Tensor:
    """Turns sums per image into the loss.

    Args:
        numerator: `[N]`, sums of the loss.
        denominator: `[N]`, sums of the weights; 0 where there is nothing to average.
        reduction: "batch" pools the sums, "image" averages the quotients over the images with a
            positive denominator.

    Returns:
        A scalar; 0 with zero gradient where all denominators are 0.
    """
    if reduction == "batch":
        return quotient(numerator.sum(), denominator.sum())
    return quotient(quotient(numerator, denominator).sum(), (denominator > 0).sum())


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """`numerator / denominator`, and 0 with zero gradient where the denominator is 0."""
    some = denominator > 0
    return torch.where(some, numerator, 0) / torch.where(some, denominator, 1)


def _check_labels(mask: Tensor, num_classes: int, ignore_index: int) -> None:
    if not mask.numel():
        return
    unknown = (mask >= num_classes) & (mask != ignore_index)
    if mask.dtype.is_signed:
        unknown |= (mask < 0) & (mask != ignore_index)
    if unknown.any():
        labels = mask[unknown].unique()[:8].tolist()
        raise ValueError(
            f"the mask contains label {', '.join(map(str, labels))}, outside 0..{num_classes - 1} "
            f"and not ignore_index ({ignore_index}). Map it to a class or to ignore in the data "
            "config, or give the model as many classes as the data set has"
        )
