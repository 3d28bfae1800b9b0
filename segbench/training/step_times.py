"""Where the time of a training step goes: data, forward, backward, optimizer, logging."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from statistics import median

import torch
from pytorch_lightning.profilers import Profiler

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.training.build import build_run
from segbench.training.session import quiet_libraries

# Names, or their endings, that Lightning gives the parts of a step.
DATA = ("train_dataloader_next", "batch_to_device")
FORWARD, BACKWARD, OPTIMIZER = "Strategy.training_step", "Strategy.backward", ".optimizer_step"
STEP = "run_training_batch"


class StepTimes(Profiler):
    """Adds up the durations of the parts of each step, with the device waited for.

    Args:
        device: of the network.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self._started: dict[str, float] = {}
        self._parts: dict[str, float] = defaultdict(float)
        self._last_step: float | None = None
        self.steps: list[dict[str, float]] = []

    def start(self, action_name: str) -> None:
        """Notes when a part begins."""
        if self._part(action_name):
            self._started[action_name] = self._now()

    def stop(self, action_name: str) -> None:
        """Adds the part's duration to its step; the end of the batch ends the step."""
        part = self._part(action_name)
        if part is None or action_name not in self._started:
            return
        now = self._now()
        self._parts[part] += now - self._started.pop(action_name)
        if part == "batch":
            self._finish_step(now)

    def _finish_step(self, now: float) -> None:
        parts = self._parts
        if self._last_step is not None:
            # Lightning runs forward and backward from within the optimizer's step.
            optimizer = parts["optimizer"] - parts["forward"] - parts["backward"]
            known = parts["data"] + parts["optimizer"]
            total = now - self._last_step
            self.steps.append(
                {
                    "data": parts["data"],
                    "forward": parts["forward"],
                    "backward": parts["backward"],
                    "optimizer": optimizer,
                    "logging": total - known,
                    "total": total,
                }
            )
        self._last_step = now
        self._parts = defaultdict(float)

    def _part(self, action: str) -> str | None:
        if action.endswith(DATA):
            return "data"
        endings = {FORWARD: "forward", BACKWARD: "backward", OPTIMIZER: "optimizer", STEP: "batch"}
        return next((part for end, part in endings.items() if action.endswith(end)), None)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def time_steps(config: Config, steps: int, warmup: int = 3) -> dict[str, float]:
    """Trains a few steps as `segbench.train` does, loaders, callbacks and loggers included.

    Args:
        config: resolved config of `segbench.train`; what it writes goes to a temporary folder.
        steps: steps that are timed.
        warmup: steps before them that are not.

    Returns:
        Median milliseconds of a step in `data` (waiting for the loader, copying to the device),
        `forward` (normalising, network, loss), `backward`, `optimizer`, `logging` (the rest:
        callbacks, loggers, Lightning), and `total`.
    """
    quiet_libraries()
    trainer_node = {
        **config["trainer"],
        "max_steps": steps + warmup + 1,
        "max_epochs": steps + warmup + 1,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        parts = build_run({**config, "trainer": trainer_node, "samples": 0}, run)
        times = StepTimes(parts.trainer.strategy.root_device)
        parts.trainer.profiler = times  # type: ignore[attr-defined]
        parts.trainer.fit(parts.task, parts.data)
    timed = times.steps[warmup:]
    return {part: 1000 * median(step[part] for step in timed) for part in timed[0]}
