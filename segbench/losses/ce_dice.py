"""Cross entropy and Dice from one pass over the logits: the default loss."""

from __future__ import annotations

from torch import Tensor, nn

from segbench.losses.class_sums import ClassSums, class_sums
from segbench.losses.convention import (
    Classes,
    Reduction,
    check_number,
    check_options,
    mean_of,
    weights_for,
    weights_tensor,
    widen,
)
from segbench.losses.overlap import overlap_loss


class CEDice(nn.Module):
    """`ce_weight * CrossEntropy + dice_weight * Dice`, same result as the two modules but faster.

    The two separate modules compute the softmax twice, a one-hot mask, and several products of the
    size of the logits; `benchmarks/losses.py` measures the difference.

    Args:
        ignore_index: label of pixels that do not count.
        class_weights: one weight per class for the cross entropy, or None.
        label_smoothing: share of the target spread evenly over all classes, 0..1, for the cross
            entropy.
        smooth: added to intersection and size of the Dice score, in pixels, at least 0.
        ce_weight: factor of the cross entropy, at least 0.
        dice_weight: factor of the Dice loss, at least 0.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": the classes that the Dice loss averages over.

    Raises:
        ValueError: an argument is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        ignore_index: int,
        class_weights: list[float] | None = None,
        label_smoothing: float = 0.0,
        smooth: float = 0.0,
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        reduction: Reduction = "batch",
        classes: Classes = "present",
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        check_number("label_smoothing", label_smoothing, 0, 1)
        for name, value in (
            ("smooth", smooth),
            ("ce_weight", ce_weight),
            ("dice_weight", dice_weight),
        ):
            check_number(name, value, 0)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.smooth = smooth
        self.ce_weight = ce_weight
        self.dice_weight = dice_weight
        self.reduction = reduction
        self.classes = classes
        self.register_buffer("class_weights", weights_tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar."""
        terms = self.terms(logits, mask)
        return terms["ce"] + terms["dice"]

    def terms(self, logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Both weighted terms, `"ce"` and `"dice"`, whose sum is the loss."""
        dtype = widen(logits[:0]).dtype
        sums = class_sums(logits, mask, self.ignore_index, smoothing=self.label_smoothing > 0)
        weights = weights_for(self.class_weights, sums.nll)
        ce = cross_entropy_of(sums, weights, self.label_smoothing, self.reduction)
        dice = overlap_loss(sums, 0.5, 0.5, self.smooth / 2, 1.0, self.reduction, self.classes)
        return {
            "ce": (self.ce_weight * ce).to(dtype),
            "dice": (self.dice_weight * dice).to(dtype),
        }


def cross_entropy_of(
    sums: ClassSums, class_weights: Tensor | None, label_smoothing: float, reduction: str
) -> Tensor:
    """The weighted, smoothed cross entropy (as torch defines it) from sums over pixels."""
    weights = sums.nll.new_ones(sums.nll.shape[1]) if class_weights is None else class_weights
    share = label_smoothing / max(len(weights), 1)
    loss = (1 - label_smoothing) * sums.nll + share * sums.smooth_nll
    return mean_of((loss * weights).sum(1), (sums.pixels * weights).sum(1), reduction)
