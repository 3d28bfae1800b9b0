"""From logits to label maps: exact, fast, small.

On a CPU, `torch.argmax` over NCHW walks memory across channels, and upsampling all channels before
it needs num_classes times the memory of the answer. A running maximum over channels gives the same
bits without either.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_ROWS = 64  # rows whose running maximum stays in the cache


def argmax_labels(logits: Tensor) -> Tensor:
    """The class of the largest logit of every pixel.

    Args:
        logits: float `[N, C, H, W]`, C at most 256, on any device.

    Returns:
        uint8 `[N, H, W]`, equal to `logits.argmax(1)`: the first class on ties, and the first
        NaN where there is one.
    """
    if logits.device.type != "cpu":
        return logits.argmax(1).byte()
    if logits.stride(1) == 1:  # channels last: the reduction is already contiguous
        return logits.max(1).indices.byte()
    labels = torch.empty(logits.shape[0], *logits.shape[2:], dtype=torch.uint8)
    for top in range(0, logits.shape[2], BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        rows = logits[:, :, band]
        labels[:, band], has_nan = _running_argmax(rows.unbind(1))
        if has_nan:
            labels[:, band] = rows.max(1).indices.byte()
    return labels


def upsample_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear upsampling, then the argmax, one channel at a time.

    Args:
        logits: float `[N, C, h, w]`, C at most 256, on any device.
        size: `(H, W)` of the answer.

    Returns:
        uint8 `[N, H, W]`, equal to the argmax of
        `F.interpolate(logits, size, mode="bilinear", align_corners=False)`, in memory for one
        channel instead of C.
    """
    if tuple(logits.shape[2:]) == tuple(size):
        return argmax_labels(logits)
    if logits.device.type != "cpu":
        return _resize(logits, size).argmax(1).byte()
    logits = logits.contiguous()
    channels = (_resize(logits[:, c : c + 1], size)[:, 0] for c in range(logits.shape[1]))
    labels, has_nan = _running_argmax(channels)
    return _resize(logits, size).max(1).indices.byte() if has_nan else labels


def _resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def _running_argmax(channels: Iterable[Tensor]) -> tuple[Tensor, bool]:
    """Argmax of channels that arrive one by one, each `[N, H, W]`.

    Returns:
        uint8 labels `[N, H, W]`, and whether a NaN was met (then the labels are wrong).
    """
    iterator = iter(channels)
    best = next(iterator).clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8)
    better = torch.empty(best.shape, dtype=torch.bool)
    candidate = better.view(torch.uint8)  # the same bytes: 0 or 1, times the class
    for label, channel in enumerate(iterator, 1):
        torch.gt(channel, best, out=better)
        # Labels only grow, so the larger of old and new is the new one where it is better.
        torch.maximum(labels, candidate.mul_(label), out=labels)
        torch.maximum(best, channel, out=best)
    return labels, bool(best.isnan().any())
