"""Confusion matrices, counted per image on the device of the tensors, without a device sync."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from segbench.data.classes import ClassSet
from segbench.errors import DataError
from segbench.system.lean_torchmetrics import Metric

EXACT_PIXELS = (1 << 24) - 1  # cv2.calcHist returns float32, exact up to this many in one call


class ConfusionPerImage(Metric):
    """One int64 confusion matrix `[C, C + 1]` per image, in the order of the data set.

    No data is copied to the host, and no rank waits for another, before `compute`.

    Args:
        classes: the class set.
        names: the names of all images of the split, by index; for error messages.
    """

    full_state_update = False
    index: list[Tensor]
    matrix: list[Tensor]
    unknown: list[Tensor]

    def __init__(self, classes: ClassSet, names: Sequence[str]) -> None:
        super().__init__()
        self.classes = classes
        self.names = names
        for state in ("index", "matrix", "unknown"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, pred: Tensor, mask: Tensor, index: Tensor) -> None:
        """Counts a batch.

        Args:
            pred: uint8 `[N, H, W]`.
            mask: uint8 `[N, H, W]`.
            index: int64 `[N]`, the position of each image in the split.
        """
        matrices, unknown = confusion_matrices(
            pred, mask, self.classes.num_classes, self.classes.ignore_index
        )
        self.index.append(index.to(matrices.device))
        self.matrix.append(matrices)
        self.unknown.append(unknown)

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of the images seen, int64 `[N]`, ascending, and `[N, C, C + 1]`.

        An image that several ranks saw (padding of the last batch) counts once.

        Raises:
            DataError: a mask contains a label outside the class set.
        """
        index = joined(self.index).cpu().numpy()
        matrices = joined(self.matrix).cpu().numpy()
        unknown = joined(self.unknown).cpu().numpy()
        if unknown.any():
            bad = [self.names[i] for i in index[unknown > 0][:5]]
            raise DataError(
                f"the masks of {', '.join(bad)} contain labels outside the class set "
                f"(0..{self.classes.num_classes - 1}, {self.classes.ignore_index} = ignore)"
            )
        order, first = np.unique(index, return_index=True)
        return order, matrices[first]


def joined(parts: list[Tensor] | Tensor) -> Tensor:
    """The states of a metric as one tensor; distributed reduction may already have joined them."""
    return parts if isinstance(parts, Tensor) else torch.cat(parts)


def confusion_matrices(
    pred: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255
) -> tuple[Tensor, Tensor]:
    """Counts one confusion matrix per image on the device of the tensors, without a device sync.

    Args:
        pred: uint8 `[N, H, W]`; values outside the class set are "void predicted".
        mask: uint8 `[N, H, W]` in class ids; `ignore_index` is not counted.
        num_classes: C, without the ignored class; at most 255.
        ignore_index: the id of unlabeled pixels.

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
    unknown = per_label[:, num_classes:].sum(1)
    if ignore_index >= num_classes:
        unknown -= per_label[:, ignore_index]
    return torch.from_numpy(matrices), torch.from_numpy(unknown)


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
    """Scatters ones into bins; unlike `bincount`, this needs no sync to find the output size."""
    num_images, columns = mask.shape[0], num_classes + 1
    ignored, other = num_classes, num_classes + 1  # two extra rows
    row = torch.where(mask == ignore_index, ignored, mask.int().clamp(max=other))
    row = torch.where((mask >= num_classes) & (mask != ignore_index), other, row)
    bins = row * columns + pred.int().clamp(max=num_classes)
    bins = bins.reshape(num_images, -1).long()
    counts = bins.new_zeros(num_images, (num_classes + 2) * columns)
    counts.scatter_add_(1, bins, torch.ones_like(bins))
    counts = counts.view(num_images, num_classes + 2, columns)
    return counts[:, :num_classes].contiguous(), counts[:, other].sum(1)


def confusion_matrix(
    pred: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """The confusion matrix of one image in host memory.

    Args:
        pred: uint8 `[H, W]`; values outside the class set are "void predicted".
        mask: uint8 `[H, W]` in class ids; `ignore_index` is not counted.
        num_classes: C, without the ignored class.
        ignore_index: the id of unlabeled pixels.

    Returns:
        int64 `[C, C + 1]`, as in `confusion_matrices`.

    Raises:
        ValueError: the mask has labels outside the class set, or a shape or dtype is wrong.
    """
    matrices, unknown = confusion_matrices(
        torch.from_numpy(pred)[None], torch.from_numpy(mask)[None], num_classes, ignore_index
    )
    if unknown[0]:
        present = np.unique(mask)
        values = present[(present >= num_classes) & (present != ignore_index)]
        raise ValueError(
            f"label {', '.join(map(str, values[:8]))} on {int(unknown[0])} mask pixels is "
            f"outside the class set (0..{num_classes - 1}, {ignore_index} = ignore)"
        )
    return matrices[0].numpy()
