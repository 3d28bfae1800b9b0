"""Focal loss: cross entropy that is down-weighted for easy pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segbench.losses.convention import (
    Reduction,
    check_number,
    check_options,
    pixel_mean,
    prepare,
    weights_for,
    weights_tensor,
)


class Focal(nn.Module):
    """`(1 - p_y) ** gamma * -log p_y` of the softmax probability of the true class.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5, for exclusive classes;
    its alpha is `class_weights`. The mean is over labeled pixels (the paper divides by the number
    of matched anchors, which has no counterpart here), so `gamma=0` is the cross entropy.

    Args:
        ignore_index: label of pixels that do not count.
        gamma: how strongly easy pixels are down-weighted, at least 0.
        class_weights: one weight per class, or None.
        reduction: "batch" or "image", see `segbench.losses.convention`.

    Raises:
        ValueError: an argument is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        ignore_index: int,
        gamma: float = 2.0,
        class_weights: list[float] | None = None,
        reduction: Reduction = "batch",
    ) -> None:
        super().__init__()
        check_options(reduction)
        check_number("gamma", gamma, 0)
        self.ignore_index = ignore_index
        self.gamma = gamma
        self.reduction = reduction
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar."""
        logits, mask = prepare(logits, mask, self.ignore_index)
        nll = F.cross_entropy(logits, mask, ignore_index=self.ignore_index, reduction="none")
        # expm1 keeps the digits of 1 - p near p = 1; the lower bound avoids an infinite slope there
        # for gamma below 1.
        missing = -torch.expm1(-nll)
        values = missing.clamp_min(torch.finfo(nll.dtype).tiny).pow(self.gamma) * nll
        valid = mask != self.ignore_index
        weights = weights_for(self.class_weights, logits)
        return pixel_mean(values, valid, mask, weights, self.reduction)
