"""Online hard example mining: the cross entropy of the hard pixels only."""

from __future__ import annotations

import math

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


class OHEM(nn.Module):
    """Cross entropy averaged over hard pixels.

    Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining",
    CVPR 2016, in the form of PIDNet (Xu et al., CVPR 2023) and mmseg: a pixel is hard if its true
    class has a probability below `threshold`. If fewer than `min_kept` pixels are hard, the
    `min_kept` hardest count, and those that tie with the last of them. PIDNet divides by the number
    of kept pixels; this divides by the sum of their class weights, as every loss of this package.

    Args:
        ignore_index: label of pixels that do not count.
        threshold: probability of the true class below which a pixel is hard, 0..1.
        min_kept: minimum number of pixels that count (of the batch, or of every image with
            `reduction="image"`), or all labeled pixels if there are fewer; at least 1.
        class_weights: one weight per class, or None; they do not change what is hard.
        reduction: "batch" or "image", see `segbench.losses.convention`.

    Raises:
        ValueError: an argument is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        ignore_index: int,
        threshold: float = 0.9,
        min_kept: int = 131072,
        class_weights: list[float] | None = None,
        reduction: Reduction = "batch",
    ) -> None:
        super().__init__()
        check_options(reduction)
        check_number("threshold", threshold, 0, 1)
        check_number("min_kept", min_kept, 1)
        self.ignore_index = ignore_index
        self.threshold = threshold
        self.min_kept = min_kept
        self.reduction = reduction
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar."""
        logits, mask = prepare(logits, mask, self.ignore_index)
        nll = F.cross_entropy(logits, mask, ignore_index=self.ignore_index, reduction="none")
        valid = mask != self.ignore_index
        hard = self._hard(nll.detach().masked_fill(~valid, -1)) & valid
        weights = weights_for(self.class_weights, logits)
        return pixel_mean(nll, hard, mask, weights, self.reduction)

    def _hard(self, nll: Tensor) -> Tensor:
        """Bool mask of the kept pixels of `[N, H, W]`; ignored ones have -1 and so sort last."""
        pool = nll.reshape(1 if self.reduction == "batch" else len(nll), -1)
        if not pool.numel():
            return nll > 0
        hardest = pool.topk(min(self.min_kept, pool.shape[1]), sorted=False).values
        limit = -math.log(self.threshold) if self.threshold > 0 else math.inf
        kept = (pool > limit) | (pool >= hardest.amin(1, keepdim=True))
        return kept.view(nll.shape)
