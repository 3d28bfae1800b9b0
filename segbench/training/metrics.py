"""Collects one confusion matrix per image on the device and turns them into scores at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segbench.data.classes import ClassSet, DataError
from segbench.inference.labels import confusion_matrices
from segbench.training.boundary import boundary_iou_counts


class ConfusionPerImage(Metric):
    """One int64 confusion matrix `[C, C + 1]` per image, in the order of the data set.

    Nothing is copied to the host, and no rank waits for another, before `compute`.

    Args:
        classes: the class set.
        names: the names of all images of the split, by index; for error messages.
    """

    full_state_update = False
    index: list[Tensor]
    matrix: list[Tensor]
    strangers: list[Tensor]

    def __init__(self, classes: ClassSet, names: Sequence[str]) -> None:
        super().__init__()
        self.classes = classes
        self.names = names
        for state in ("index", "matrix", "strangers"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, pred: Tensor, mask: Tensor, index: Tensor) -> None:
        """Counts a batch.

        Args:
            pred: uint8 `[N, H, W]`.
            mask: uint8 `[N, H, W]`.
            index: int64 `[N]`, the position of each image in the split.
        """
        matrices, strangers = confusion_matrices(
            pred, mask, self.classes.num_classes, self.classes.ignore_index
        )
        self.index.append(index.to(matrices.device))
        self.matrix.append(matrices)
        self.strangers.append(strangers)

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        """The indices of the images seen, ascending, int64 `[N]`, and matrices `[N, C, C + 1]`.

        An image that several ranks saw (padding of the last batch) counts once.

        Raises:
            DataError: a mask had a label outside the class set.
        """
        index = _joined(self.index).cpu().numpy()
        matrices = _joined(self.matrix).cpu().numpy()
        strangers = _joined(self.strangers).cpu().numpy()
        if strangers.any():
            bad = [self.names[i] for i in index[strangers > 0][:5]]
            raise DataError(
                f"the masks of {', '.join(bad)} hold labels outside the class set "
                f"(0..{self.classes.num_classes - 1}, {self.classes.ignore_index} = ignore)"
            )
        order, first = np.unique(index, return_index=True)
        return order, matrices[first]


class BoundaryPerImage(Metric):
    """Intersection and union of the boundary bands of every image (Boundary IoU), on the host.

    Args:
        classes: the class set.
    """

    full_state_update = False
    index: list[Tensor]
    counts: list[Tensor]

    def __init__(self, classes: ClassSet) -> None:
        super().__init__()
        self.classes = classes
        for state in ("index", "counts"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, pred: Tensor, mask: Tensor, index: Tensor) -> None:
        """Counts a batch; arguments as `ConfusionPerImage.update`."""
        classes = self.classes
        found = [
            boundary_iou_counts(p, m, classes.num_classes, classes.ignore_index)
            for p, m in zip(pred.cpu().numpy(), mask.cpu().numpy(), strict=True)
        ]
        self.index.append(index.to(pred.device))
        self.counts.append(torch.from_numpy(np.array(found)).to(pred.device))

    def compute(self) -> np.ndarray:
        """int64 `[N, 2, C]` in the order of `ConfusionPerImage.compute`."""
        _, first = np.unique(_joined(self.index).cpu().numpy(), return_index=True)
        return _joined(self.counts).cpu().numpy()[first]


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
