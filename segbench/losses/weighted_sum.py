"""A weighted sum of losses whose terms are logged one by one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.losses.convention import check_number
from segbench.losses.foreign import adapted


class WeightedSum(nn.Module):
    """`sum of weights[name] * losses[name]`.

    Args:
        losses: the terms by name; the names appear in the log as `train/loss/NAME`.
        weights: one factor per name, at least 0.

    Raises:
        ValueError: there is no term, the names differ, or a weight is out of range.
    """

    def __init__(self, losses: dict[str, nn.Module], weights: dict[str, float]) -> None:
        super().__init__()
        if not losses or set(losses) != set(weights):
            raise ValueError(
                f"a weighted sum of losses {sorted(losses)} needs one weight for each of them, "
                f"not for {sorted(weights)}"
            )
        for name, weight in weights.items():
            check_number(f"the weight of {name}", weight, 0)
        self.losses = nn.ModuleDict({name: adapted(loss) for name, loss in losses.items()})
        self.weights = {name: float(weights[name]) for name in losses}

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits `[N, C, H, W]` and a mask `[N, H, W]` of class ids to a scalar."""
        return torch.stack(list(self.terms(logits, mask).values())).sum()

    def terms(self, logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The weighted terms by name; their sum is the loss."""
        return {name: self.weights[name] * loss(logits, mask) for name, loss in self.losses.items()}
