"""Detects a training that diverged, without a device sync at every step."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.errors import NonFiniteLossError
from segbench.system.storage import replacing

MOST_WAITING = 16  # steps whose batches are kept until their loss is known
CAUSES = (
    "Usual causes: a learning rate that is too high, fp16 overflow (set precision=bf16-mixed or "
    "32-true), broken images."
)


@dataclass(frozen=True)
class _Step:
    loss: Tensor  # on the host, or being copied to it
    arrived: torch.cuda.Event | None
    number: int
    batch: Mapping[str, Any]

    def is_known(self) -> bool:
        """Whether the loss can be read without waiting."""
        return self.loss.device.type == "cpu" and (self.arrived is None or self.arrived.query())


class LossWatch:
    """Raises an error when the loss of a step is NaN or infinite, as soon as it is known.

    On a CPU that is immediately. On a GPU the loss is copied into page-locked memory after the
    queued work, and checked when the copy has completed, one or two steps later.

    Args:
        folder: folder for the batch of such a step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._steps: deque[_Step] = deque()

    def add(self, loss: Tensor, number: int, batch: Mapping[str, Any]) -> None:
        """Adds the loss of a step (detached), and checks the losses that are known.

        Args:
            loss: a scalar, on any device.
            number: number of the step.
            batch: the batch, with its `name`s.
        """
        arrived = None
        if loss.device.type == "cuda":
            loss = loss.to("cpu", non_blocking=True)  # page-locked
            arrived = torch.cuda.Event()
            arrived.record()
        self._steps.append(_Step(loss, arrived, number, batch))
        self.check()

    def check(self, wait: bool = False) -> None:
        """Checks the losses that are known; with `wait`, all of them.

        Raises:
            NonFiniteLossError: names the step, its images and the file with its batch.
        """
        while self._steps:
            step = self._steps[0]
            if not (wait or step.is_known() or len(self._steps) > MOST_WAITING):
                return
            self._steps.popleft()
            if step.arrived is not None:
                step.arrived.synchronize()
            if not torch.isfinite(step.loss):
                raise self._error(step)

    def _error(self, step: _Step) -> NonFiniteLossError:
        dump = self.folder / f"non_finite_step{step.number}.pt"
        content = {"step": step.number, "loss": step.loss, "batch": step.batch}
        with replacing(dump) as draft, draft.open("wb") as file:
            torch.save(content, file)
        return NonFiniteLossError(
            f"the loss became {step.loss.item()} at step {step.number} on "
            f"{', '.join(step.batch['name'])}. The batch is saved in {dump} (load it with "
            f"torch.load). {CAUSES}"
        )


@torch.no_grad()
def check_weights(model: nn.Module, step: int) -> None:
    """Checks the weights at the end of an epoch, because no loss follows its last step.

    Args:
        model: the model.
        step: number of steps done, for the message.

    Raises:
        NonFiniteLossError: a weight or statistic is NaN or infinite.
    """
    state = model.state_dict().items()
    tensors = {key: value for key, value in state if value.is_floating_point() and value.numel()}
    if not tensors:
        return
    largest = torch._foreach_norm(list(tensors.values()), ord=float("inf"))
    finite = torch.stack([norm.float() for norm in largest]).isfinite().tolist()
    bad = [name for name, fine in zip(tensors, finite, strict=True) if not fine]
    if bad:
        raise NonFiniteLossError(
            f"the model's weights are not finite after step {step}: {bad[0]} and "
            f"{len(bad) - 1} other tensors. {CAUSES}"
        )
