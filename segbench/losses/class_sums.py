"""Per-image, per-class sums over pixels, from which cross entropy, Dice and similar losses follow.

Autograd through softmax, one-hot and products keeps about six tensors of the size of the
logits. Here one pass reads the logits band by band (a few rows at a time, small enough for the
cache) and keeps only sums and two numbers per pixel; the backward pass recomputes the
probabilities band by band and writes the gradient in closed form. With `p = softmax(logits)`, `y`
the label of a pixel and the sums over labeled pixels only,

    nll_c          = sum over y=c of -log p_c        intersection_c = sum over y=c of p_c
    smooth_nll_c   = sum of -log p_c                 probs_c        = sum of p_c

a loss with derivatives `a, b, u, v` with respect to intersection, probs, nll and smooth_nll has

    d/dz_c = p_c (b_c + u_y + sum_k v_k - sum_k b_k p_k - a_y p_y) + [c=y] (a_y p_y - u_y) - v_c

Powers of two replace `exp`: torch's `exp2` is three times faster on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segbench.losses.convention import accumulator, check_inputs, widen

LOG2_E = 1 / math.log(2)
BAND_CPU = 1 << 19  # logits in a band: 2 MiB in float32, which stays in the cache
BAND_GPU = 1 << 24  # enough to keep a GPU busy, and still small compared with a batch


class ClassSums(NamedTuple):
    """Sums over the labeled pixels, float64 `[N, C]` each."""

    nll: Tensor
    intersection: Tensor
    probs: Tensor
    smooth_nll: Tensor
    pixels: Tensor


@torch.compiler.disable
def class_sums(
    logits: Tensor, mask: Tensor, ignore_index: int, smoothing: bool = False
) -> ClassSums:
    """Sums of the log-probabilities and probabilities of each class over each image.

    Args:
        logits: `[N, C, H, W]`, any float dtype; the gradient has the same dtype.
        mask: integer `[N, H, W]`.
        ignore_index: the label of pixels that do not count.
        smoothing: whether to compute `smooth_nll`; otherwise it is zero, which saves a pass.

    Returns:
        `ClassSums`, differentiable once (all but `pixels`).

    Raises:
        ValueError: wrong shapes, dtypes or labels.
    """
    check_inputs(logits, mask, ignore_index)
    return ClassSums(*_ClassSums.apply(logits, mask, ignore_index, smoothing))


class _ClassSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, mask: Tensor, ignore_index: int, smoothing: bool
    ) -> tuple[Tensor, ...]:
        num_images, num_classes, height, width = logits.shape
        dtype = accumulator(logits.device)
        sums = ClassSums(
            *(logits.new_zeros(num_images, num_classes, dtype=dtype) for _ in ClassSums._fields)
        )
        pixel = widen(logits[:0]).new_empty(2, num_images, 1, height, width)
        peak, scale = pixel.unbind()
        for images, rows in _bands(logits):
            z = widen(logits[images, :, rows])
            label, valid = _labels(mask[images, rows], ignore_index)
            weight = valid.to(z.dtype)
            top = z.amax(1, keepdim=True)
            power = (z - top).mul_(LOG2_E)
            power_y = power.gather(1, label)
            power_sum = (power * weight).sum((2, 3)) if smoothing else 0
            probs = power.exp2_()
            total = probs.sum(1, keepdim=True)
            log2_total = total.log2()
            peak[images, :, rows] = top
            ignored = ~valid
            # Minus infinity makes the recomputed probabilities of ignored pixels exactly 0.
            scale[images, :, rows] = log2_total.neg().masked_fill_(ignored, -math.inf)

            bins = label.masked_fill_(ignored, num_classes)
            nll = (log2_total - power_y).div_(LOG2_E)
            intersection = (power_y - log2_total).exp2_()
            sums.nll[images] += _by_class(nll, bins, num_classes)
            sums.intersection[images] += _by_class(intersection, bins, num_classes)
            sums.pixels[images] += _by_class(weight, bins, num_classes)
            sums.probs[images] += probs.mul_(weight / total).sum((2, 3))
            if smoothing:
                log2_totals = (log2_total * weight).sum((2, 3))
                sums.smooth_nll[images] += (log2_totals - power_sum) / LOG2_E
        ctx.save_for_backward(logits, mask, peak, scale)
        ctx.ignore_index, ctx.smoothing = ignore_index, smoothing
        ctx.mark_non_differentiable(sums.pixels)
        return tuple(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        logits, mask, peak, scale = ctx.saved_tensors
        u, a, b, v = (gradient.to(peak.dtype)[:, :, None, None] for gradient in gradients[:4])
        result = torch.empty_like(logits)
        for images, rows in _bands(logits):
            label, valid = _labels(mask[images, rows], ctx.ignore_index)
            power = widen(logits[images, :, rows]) - peak[images, :, rows]
            probs = torch.add(scale[images, :, rows], power, alpha=LOG2_E, out=power).exp2_()
            u_y = _of_label(u[images], label).mul_(valid)
            a_y = _of_label(a[images], label).mul_(probs.gather(1, label))
            band = probs * b[images]
            shift = u_y - a_y - band.sum(1, keepdim=True) + v[images].sum(1, keepdim=True)
            band.scatter_add_(1, label, a_y - u_y)
            if ctx.smoothing:
                band -= v[images] * valid
            torch.addcmul(band, probs, shift, out=result[images, :, rows])
        return result, None, None, None


def _bands(logits: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yields slices of images and rows: some rows of one image, or several whole images."""
    num_images, num_classes, height, width = logits.shape
    budget = BAND_CPU if logits.device.type == "cpu" else BAND_GPU
    rows = min(max(budget // max(num_classes * width, 1), 1), max(height, 1))
    images = max(budget // max(num_classes * width * height, 1), 1)
    for image in range(0, num_images, images):
        for row in range(0, height, rows):
            yield slice(image, image + images), slice(row, row + rows)


def _labels(mask: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Labels as int64 `[n, 1, h, w]`, 0 at ignored pixels, and a bool map of labeled pixels."""
    label = mask.long().unsqueeze(1)
    valid = label != ignore_index
    return label.mul_(valid) if mask.dtype != torch.int64 else label * valid, valid


def _by_class(values: Tensor, bins: Tensor, num_classes: int) -> Tensor:
    """Sums `[n, 1, h, w]` by bin into `[n, C]`, dropping bin C.

    Each row first gets bins of its own; otherwise thousands of GPU threads would contend for a few.
    """
    dtype = accumulator(values.device)
    sums = values.new_zeros(*values.shape[:3], num_classes + 1, dtype=dtype)
    return sums.scatter_add_(3, bins, values.to(dtype)).sum((1, 2))[:, :num_classes]


def _of_label(table: Tensor, label: Tensor) -> Tensor:
    """Values of `table [n, C, 1, 1]` at the label `[n, 1, h, w]` of every pixel."""
    return table.flatten(1).gather(1, label.flatten(1)).view(label.shape)
