"""Losses from outside segbench: torch's own, another library's, or yours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segbench.losses.convention import widen


class ForeignLoss(nn.Module):
    """Wraps a loss for float32 logits `[N, C, H, W]` and int64 masks `[N, H, W]`, as torch expects.

    Args:
        loss: `(logits, mask) -> scalar`, a module or a function.
    """

    loss: Any

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits of any float dtype and a mask of any integer dtype to the value of the loss."""
        return self.loss(widen(logits), mask.long())

    def terms(self, logits: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The terms by name, if the loss has any."""
        if hasattr(self.loss, "terms"):
            return self.loss.terms(widen(logits), mask.long())
        return {"main": self(logits, mask)}


def adapted(loss: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """A loss of segbench unchanged, any other one as a `ForeignLoss`."""
    is_ours = type(loss).__module__.split(".")[0] == "segbench"
    return loss if is_ours and isinstance(loss, nn.Module) else ForeignLoss(loss)
