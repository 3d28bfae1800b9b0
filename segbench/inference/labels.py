"""From logits to label maps, and from label maps to confusion matrices: exact, fast, small.

Both are what evaluation spends its time on. On a CPU, `torch.argmax` over NCHW walks memory
across channels, and upsampling all channels before it needs num_classes times the memory of
the answer. A running maximum over channels gives the same bits without either.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BAND_ROWS = 64  # rows whose running maximum stays in the cache
EXACT_PIXELS = (1 << 24) - 1  # cv2.calcHist returns float32, exact up to here in one call


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


def confusion_matrices(
    pred: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Counts one confusion matrix per image, where the tensors live, without a device sync.

    Args:
        pred: uint8 `[N, H, W]`; values outside the class set are "void predicted".
        mask: uint8 `[N, H, W]` in class ids; `ignore_index` is not counted.
        num_classes: C, without the ignored class; at most 255.
        ignore_index: the id of unlabelled pixels.

    Returns:
        int64 `[N, C, C + 1]`: rows are the true class, columns the predicted one, the last
        column void; and int64 `[N]`, the number of mask pixels that are neither a class nor
        ignored. Any such pixel is a data error: raise when the counts reach the host.
    """
    if pred.shape != mask.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and mask {tuple(mask.shape)} differ in shape")
    if pred.dtype != torch.uint8 or mask.dtype != torch.uint8:
        raise ValueError(f"pred ({pred.dtype}) and mask ({mask.dtype}) must be uint8")
    count = _count_on_host if pred.device.type == "cpu" else _count_on_device
    return count(pred, mask, num_classes, ignore_index)


def _count_on_host(
    pred: Tensor, mask: Tensor, num_classes: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    tables = [_joint_histogram(m, p) for m, p in zip(mask.numpy(), pred.numpy(), strict=True)]
    joint = np.stack(tables) if tables else np.zeros((0, 256, 256), np.int64)
    rows = joint[:, :num_classes]
    void = rows[:, :, num_classes:].sum(2, keepdims=True)
    matrices = np.concatenate([rows[:, :, :num_classes], void], axis=2)
    per_label = joint.sum(2)
    strangers = per_label[:, num_classes:].sum(1)
    if ignore_index >= num_classes:
        strangers -= per_label[:, ignore_index]
    return torch.from_numpy(matrices), torch.from_numpy(strangers)


def _joint_histogram(mask: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """int64 `[256, 256]`: how often each (mask, pred) pair of uint8 values occurs."""
    joint = np.zeros((256, 256), np.int64)
    mask, pred = mask.reshape(1, -1), pred.reshape(1, -1)
    for start in range(0, mask.shape[1], EXACT_PIXELS):
        part = slice(start, start + EXACT_PIXELS)
        planes = [np.ascontiguousarray(mask[:, part]), np.ascontiguousarray(pred[:, part])]
        joint += cv2.calcHist(planes, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return joint


def _count_on_device(
    pred: Tensor, mask: Tensor, num_classes: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Adds ones into bins by index: unlike `bincount`, it need not ask the host for its size."""
    num_images, columns = mask.shape[0], num_classes + 1
    ignored, stranger = num_classes, num_classes + 1  # two extra rows
    row = torch.where(mask == ignore_index, ignored, mask.int().clamp(max=stranger))
    row = torch.where((mask >= num_classes) & (mask != ignore_index), stranger, row)
    bins = row * columns + pred.int().clamp(max=num_classes)
    bins = bins.reshape(num_images, -1).long()
    counts = bins.new_zeros(num_images, (num_classes + 2) * columns)
    counts.scatter_add_(1, bins, torch.ones_like(bins))
    counts = counts.view(num_images, num_classes + 2, columns)
    return counts[:, :num_classes].contiguous(), counts[:, stranger].sum(1)


def confusion_matrix(
    pred: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """The confusion matrix of one image in host memory.

    Args:
        pred: uint8 `[H, W]`; values outside the class set are "void predicted".
        mask: uint8 `[H, W]` in class ids; `ignore_index` is not counted.
        num_classes: C, without the ignored class.
        ignore_index: the id of unlabelled pixels.

    Returns:
        int64 `[C, C + 1]`, as `confusion_matrices`.

    Raises:
        ValueError: the mask has labels outside the class set, or the shapes or types are wrong.
    """
    matrices, strangers = confusion_matrices(
        torch.from_numpy(pred)[None], torch.from_numpy(mask)[None], num_classes, ignore_index
    )
    if strangers[0]:
        present = np.unique(mask)
        values = present[(present >= num_classes) & (present != ignore_index)]
        raise ValueError(
            f"label {', '.join(map(str, values[:8]))} on {int(strangers[0])} mask pixels is "
            f"outside the class set (0..{num_classes - 1}, {ignore_index} = ignore)"
        )
    return matrices[0].numpy()
