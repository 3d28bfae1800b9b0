"""A loss on the outlines of the classes rather than their areas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segbench.losses.convention import (
    Classes,
    Reduction,
    accumulator,
    check_number,
    check_options,
    mean_of,
    prepare,
    quotient,
)


class BoundaryF1(nn.Module):
    """One minus a soft boundary F1 score. Add it to a pixel loss; alone it learns only outlines.

    Bokhovkin and Burnaev, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation", ISNN
    2019, eq. 1-6, with softmax probabilities. A boundary pixel of a class belongs to it and
    touches, in its 3 x 3 neighborhood, a pixel that does not; for probabilities that is a maximum
    filter of `1 - p` minus `1 - p`. Precision is the share of the predicted boundary within
    `tolerance` pixels of the true one; recall is the reverse. Ignored pixels create no boundary.
    Here a class is "present" if it has a boundary; an image filled by one class has none.

    Args:
        ignore_index: label of pixels that do not count.
        tolerance: largest distance in pixels (the larger of rows and columns) that still matches;
            at least 0. The paper uses 2.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": which classes enter the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        ignore_index: int,
        tolerance: int = 2,
        reduction: Reduction = "batch",
        classes: Classes = "present",
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        check_number("tolerance", tolerance, 0)
        self.ignore_index = ignore_index
        self.tolerance = tolerance
        self.reduction = reduction
        self.classes = classes

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar in 0..1."""
        logits, mask = prepare(logits, mask, self.ignore_index)
        dtype = accumulator(logits.device)
        valid = (mask != self.ignore_index).unsqueeze(1)
        ids = torch.arange(logits.shape[1], device=mask.device)[:, None, None]
        true = _outline((mask.unsqueeze(1) == ids).to(logits.dtype), valid)
        pred = _outline(logits.softmax(1), valid)
        sums = [
            (pred * _grow(true, self.tolerance)).sum((2, 3), dtype=dtype),
            pred.sum((2, 3), dtype=dtype),
            (_grow(pred, self.tolerance) * true).sum((2, 3), dtype=dtype),
            true.sum((2, 3), dtype=dtype),
        ]
        if self.reduction == "batch":
            sums = [x.sum(0, keepdim=True) for x in sums]
        near_true, predicted, near_pred, pixels = sums
        precision, recall = quotient(near_true, predicted), quotient(near_pred, pixels)
        loss = 1 - quotient(2 * precision * recall, precision + recall)
        if self.classes == "all":
            loss = torch.where((pixels == 0) & (predicted == 0), 0, loss)
            counted = valid.flatten(1).any(1, keepdim=True)
            if self.reduction == "batch":
                counted = counted.any(0, keepdim=True)
        else:
            counted = pixels > 0
        counted = counted.expand_as(loss).to(dtype)
        return mean_of((loss * counted).sum(1), counted.sum(1), "image").to(logits.dtype)


def _outline(inside: Tensor, valid: Tensor) -> Tensor:
    """Inner boundary, 0..1, of memberships `[N, C, H, W]` within the valid pixels."""
    outside = (1 - inside) * valid
    return (_grow(outside, 1) - outside) * valid


def _grow(x: Tensor, radius: int) -> Tensor:
    """Maximum over a square of `2 * radius + 1` pixels."""
    return F.max_pool2d(x, 2 * radius + 1, stride=1, padding=radius) if radius else x
