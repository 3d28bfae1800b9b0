"""Collects one confusion matrix per image on the device and turns them into scores at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from segbench.data.classes import ClassSet, DataError
from segbench.inference.labels import confusion_matrices


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


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
