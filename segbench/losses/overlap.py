"""Losses on the overlap of regions: Dice, Jaccard, Tversky and focal Tversky.

All are one minus a score per class, `(I + s) / (I + alpha * FP + beta * FN + s)`, from the soft
counts of true positives `I = sum over y=c of p_c`, false positives `FP = sum of p_c - I` and false
negatives `FN = |y=c| - I`: Dice has alpha = beta = 1/2, Jaccard alpha = beta = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.losses.class_sums import ClassSums, class_sums
from segbench.losses.convention import (
    Classes,
    Reduction,
    check_number,
    check_options,
    mean_of,
    widen,
)


class Dice(nn.Module):
    """One minus the soft Dice score, `(2I + smooth) / (sum of p_c + |y=c| + smooth)`.

    Milletari et al., "V-Net", 3DV 2016, without the squares in the denominator.

    Args:
        ignore_index: label of pixels that do not count.
        smooth: pixels added to numerator and denominator, at least 0; with `classes="all"` a
            positive value gives an absent class a gradient.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": which classes enter the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        ignore_index: int,
        smooth: float = 0.0,
        reduction: Reduction = "batch",
        classes: Classes = "present",
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        check_number("smooth", smooth, 0)
        self.ignore_index = ignore_index
        self.smooth = smooth
        self.reduction = reduction
        self.classes = classes

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar in 0..1."""
        sums = class_sums(logits, mask, self.ignore_index)
        loss = overlap_loss(sums, 0.5, 0.5, self.smooth / 2, 1.0, self.reduction, self.classes)
        return loss.to(widen(logits[:0]).dtype)


class Jaccard(nn.Module):
    """One minus the soft IoU, `(I + smooth) / (sum of p_c + |y=c| - I + smooth)`.

    Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
    Segmentation", ISVC 2016.

    Args:
        ignore_index: label of pixels that do not count.
        smooth: pixels added to numerator and denominator, at least 0; as for `Dice`.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": which classes enter the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        ignore_index: int,
        smooth: float = 0.0,
        reduction: Reduction = "batch",
        classes: Classes = "present",
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        check_number("smooth", smooth, 0)
        self.ignore_index = ignore_index
        self.smooth = smooth
        self.reduction = reduction
        self.classes = classes

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar in 0..1."""
        sums = class_sums(logits, mask, self.ignore_index)
        loss = overlap_loss(sums, 1.0, 1.0, self.smooth, 1.0, self.reduction, self.classes)
        return loss.to(widen(logits[:0]).dtype)


class Tversky(nn.Module):
    """One minus the Tversky index: Dice with separate weights for false positives and negatives.

    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep
    networks", MLMI 2017, eq. 2. A `gamma` other than 1 gives the focal Tversky loss `(1 - score) **
    gamma` of every class: Abraham and Khan, ISBI 2019, whose exponent is 3/4.

    Args:
        ignore_index: label of pixels that do not count.
        alpha: weight of false positives, at least 0.
        beta: weight of false negatives, at least 0; above `alpha` it favors recall.
        gamma: exponent of every class's loss, above 0.
        smooth: pixels added to numerator and denominator, at least 0.
        reduction: "batch" or "image", see `segbench.losses.convention`.
        classes: "present" or "all": which classes enter the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        ignore_index: int,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        smooth: float = 0.0,
        reduction: Reduction = "batch",
        classes: Classes = "present",
    ) -> None:
        super().__init__()
        check_options(reduction, classes)
        for name, value in (("alpha", alpha), ("beta", beta), ("smooth", smooth)):
            check_number(name, value, 0)
        check_number("gamma", gamma, 1e-3)
        self.ignore_index = ignore_index
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.smooth = smooth
        self.reduction = reduction
        self.classes = classes

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar in 0..1."""
        sums = class_sums(logits, mask, self.ignore_index)
        loss = overlap_loss(
            sums, self.alpha, self.beta, self.smooth, self.gamma, self.reduction, self.classes
        )
        return loss.to(widen(logits[:0]).dtype)


def overlap_loss(
    sums: ClassSums,
    alpha: float,
    beta: float,
    smooth: float,
    gamma: float,
    reduction: str,
    classes: str,
) -> Tensor:
    """Mean over classes of `(1 - score) ** gamma`, as the module's docstring defines the score.

    Args:
        sums: the sums of every image.
        alpha: weight of false positives.
        beta: weight of false negatives.
        smooth: added to numerator and denominator, in pixels.
        gamma: exponent of every class's loss.
        reduction: "batch" or "image".
        classes: "present" or "all".

    Returns:
        A scalar in the dtype of the sums.
    """
    inside, probs, pixels = sums.intersection, sums.probs, sums.pixels
    if reduction == "batch":
        inside, probs, pixels = (x.sum(0, keepdim=True) for x in (inside, probs, pixels))
    wrong = alpha * (probs - inside) + beta * (pixels - inside)
    whole = inside + wrong + smooth
    loss = wrong / torch.where(whole > 0, whole, 1)
    if gamma != 1:
        loss = loss.clamp_min(torch.finfo(loss.dtype).tiny).pow(gamma)
    counted = pixels > 0 if classes == "present" else (pixels.sum(1, keepdim=True) > 0)
    counted = counted.expand_as(loss).to(loss.dtype)
    return mean_of((loss * counted).sum(1), counted.sum(1), "image")
