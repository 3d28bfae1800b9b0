"""Lovász-softmax: a convex surrogate of the IoU of every class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.losses.convention import (
    Classes,
    Reduction,
    accumulator,
    check_options,
    mean_of,
    prepare,
)


class Lovasz(nn.Module):
    """The Lovász extension of one minus IoU, on softmax probabilities.

    Berman et al., "The Lovász-Softmax loss", CVPR 2018, eq. 8, 9 and 11. For class `c` the errors
    `e_i = 1 - p_c` (where the label is c) or `p_c` (elsewhere) are sorted in descending order and
    weighted by how much each additional wrong pixel lowers the IoU. The paper's code subtracts
    neighboring IoUs, which loses most digits in float32 once there are a million pixels. Here the
    difference is computed in closed form: with `I` pixels of the class left and a union `U` after
    the pixel, it is `1 / U` for a pixel of the class and `I / (U (U - 1))` for any other.

    One sort per class takes most of the time, so absent classes are skipped (on a GPU this syncs
    once to get the list of classes).

    Args:
        ignore_index: label of pixels that do not count.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": which classes enter the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, ignore_index: int, reduction: Reduction = "batch", classes: Classes = "present"
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.classes = classes

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar in 0..1."""
        logits, mask = prepare(logits, mask, self.ignore_index)
        probs = logits.softmax(1)
        step = max(len(mask), 1) if self.reduction == "batch" else 1
        losses, counts = [], []
        for first in range(0, len(mask), step):
            group = slice(first, first + step)
            loss, count = self._group_loss(probs[group], mask[group])
            losses.append(loss)
            counts.append(count)
        if not losses:
            return logits.sum() * 0
        total = torch.stack(losses)
        return mean_of(total, total.new_tensor(counts), "image").to(logits.dtype)

    def _group_loss(self, probs: Tensor, mask: Tensor) -> tuple[Tensor, int]:
        """Sum over classes and their number, for images that are treated as one."""
        valid = mask != self.ignore_index
        labels = mask[valid]
        chosen = range(probs.shape[1]) if self.classes == "all" else labels.unique().tolist()
        if not len(labels):
            chosen = []
        dtype = accumulator(probs.device)
        # The loss is linear in the probabilities once their order is fixed.
        slopes = torch.zeros_like(probs)
        constant = torch.zeros((), dtype=dtype, device=probs.device)
        for c in chosen:
            inside = labels == c
            of_class = probs.detach()[:, c][valid]
            slope = _slopes(torch.where(inside, 1 - of_class, of_class), inside)
            constant += slope[inside].sum(dtype=dtype)
            slopes[:, c][valid] = torch.where(inside, -slope, slope)
        return (probs * slopes).sum(dtype=dtype) + constant, len(chosen)


def _slopes(errors: Tensor, inside: Tensor) -> Tensor:
    """Increase of one minus IoU as each wrong pixel is added, in the order of errors.

    Args:
        errors: `[P]`.
        inside: bool `[P]`, where the label is the class.

    Returns:
        `[P]`, at least 0, in the dtype of the errors.
    """
    order = errors.argsort(descending=True)
    hit = inside[order]
    taken = hit.cumsum(0)
    rank = torch.arange(1, len(errors) + 1, device=errors.device)
    left = (taken[-1:] - taken).to(errors.dtype)
    union = (taken[-1:] + rank - taken).to(errors.dtype)
    # If the class has no pixels, only the first error raises the loss, from 0 to 1.
    slope = torch.where(hit | (union == 1), 1 / union, left / (union * (union - 1)))
    return torch.empty_like(slope).scatter_(0, order, slope)
