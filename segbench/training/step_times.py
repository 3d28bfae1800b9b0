"""Measures where the time of a training step goes: data, forward, backward, optimizer, logging."""

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

# Names, or suffixes of names, of the parts of a step in Lightning.
DATA = ("train_dataloader_next", "batch_to_device")
FORWARD, BACKWARD, OPTIMIZER = "Strategy.training_step", "Strategy.backward", ".optimizer_step"
STEP = "run_training_batch"


class StepTimes(Profiler):
    """Measures whole steps first, as they run, then the parts of as many more steps.

    Timing a part requires a device sync before and after it, which keeps the device from running
    behind the host: the parts of a step add up to more than the step takes. So `total` is measured
    on steps without syncs between them.

    Args:
        device: device of the model.
        steps: number of steps measured in each way.
        warmup: number of unmeasured steps before them.
    """

    def __init__(self, device: torch.device, steps: int, warmup: int) -> None:
        super().__init__()
        self.device = device
        self.num_steps, self.warmup = steps, warmup
        self.total = 0.0  # seconds per step
        self.parts: list[dict[str, float]] = []  # seconds of the parts of each step, with syncs
        self._done = 0
        self._began = 0.0  # start of the whole steps, then of the step that is split
        self._started: dict[str, float] = {}
        self._parts: dict[str, float] = defaultdict(float)

    @property
    def is_splitting(self) -> bool:
        """Whether the parts are being measured."""
        return self._done >= self.warmup + self.num_steps

    def start(self, action_name: str) -> None:
        """Records the start of a part."""
        if self.is_splitting and self._part(action_name):
            self._started[action_name] = self._now()

    def stop(self, action_name: str) -> None:
        """Adds the duration of the part to its step; the end of the batch ends the step."""
        part = self._part(action_name)
        if action_name in self._started:
            self._parts[str(part)] += self._now() - self._started.pop(action_name)
        if part == "batch":
            self._finish_step()

    def _finish_step(self) -> None:
        if self.is_splitting:
            self._split()
        self._done += 1
        if self._done == self.warmup:
            self._began = self._now()
        elif self._done == self.warmup + self.num_steps:
            now = self._now()
            self.total = (now - self._began) / self.num_steps
            self._began = now

    def _split(self) -> None:
        now, parts = self._now(), self._parts
        # Lightning runs forward and backward inside the optimizer's step.
        optimizer = parts["optimizer"] - parts["forward"] - parts["backward"]
        known = parts["data"] + parts["optimizer"]
        self.parts.append(
            {
                "data": parts["data"],
                "forward": parts["forward"],
                "backward": parts["backward"],
                "optimizer": optimizer,
                "logging": now - self._began - known,
            }
        )
        self._began = now
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
    """Trains a few steps as `segbench.train` does, including loaders, callbacks and loggers.

    Args:
        config: resolved config of `segbench.train`; output goes to a temporary folder.
        steps: number of steps timed as a whole, and again by part.
        warmup: untimed steps before them, at least 1.

    Returns:
        Median milliseconds of a step in `data` (waiting for the loader, copying to the device),
        `forward` (normalization, model, loss), `backward`, `optimizer`, `logging` (the rest:
        callbacks, loggers, Lightning), each with device syncs; and `total`, the mean milliseconds
        of whole steps without syncs.
    """
    quiet_libraries()
    limit = 2 * steps + warmup
    trainer_node = {
        **config["trainer"],
        "max_steps": limit,
        "max_epochs": limit,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        parts = build_run({**config, "trainer": trainer_node, "samples": 0}, run)
        times = StepTimes(parts.trainer.strategy.root_device, steps, warmup)
        parts.trainer.profiler = times  # type: ignore[attr-defined]
        parts.trainer.fit(parts.task, parts.data)
    found = {part: 1000 * median(step[part] for step in times.parts) for part in times.parts[0]}
    return {**found, "total": 1000 * times.total}
