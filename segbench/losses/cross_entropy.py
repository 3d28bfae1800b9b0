"""Pixel-wise cross entropy with class weights and label smoothing."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segbench.losses.convention import (
    Reduction,
    accumulator,
    check_number,
    check_options,
    mean_of,
    prepare,
    weights_for,
    weights_tensor,
)


class CrossEntropy(nn.Module):
    """torch's cross entropy, under the conventions of this package.

    With label smoothing `s` the target is `(1 - s) * one_hot + s / C` (Szegedy et al., "Rethinking
    the Inception Architecture for Computer Vision", CVPR 2016, section 7).

    Args:
        ignore_index: label of pixels that do not count.
        class_weights: one weight per class, or None.
        label_smoothing: share of the target spread evenly over all classes, 0..1.
        reduction: "batch" or "image", see `segbench.losses.convention`.

    Raises:
        ValueError: an argument is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        ignore_index: int,
        class_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "batch",
    ) -> None:
        super().__init__()
        check_options(reduction)
        check_number("label_smoothing", label_smoothing, 0, 1)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.reduction = reduction
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar."""
        logits, mask = prepare(logits, mask, self.ignore_index)
        weights = weights_for(self.class_weights, logits)
        # "none", because torch's own sums are in float32 and not deterministic on a GPU.
        values = F.cross_entropy(
            logits,
            mask,
            weights,
            ignore_index=self.ignore_index,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        valid = mask != self.ignore_index
        counted = valid if weights is None else weights[mask * valid] * valid
        dtype = accumulator(values.device)
        numerator = values.sum((1, 2), dtype=dtype)
        loss = mean_of(numerator, counted.sum((1, 2), dtype=dtype), self.reduction)
        return loss.to(logits.dtype)
