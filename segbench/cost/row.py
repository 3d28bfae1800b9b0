"""What is measured of one model: a job, and the row of benchmark.json that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from segbench.config import Config


@dataclass(frozen=True)
class Job:
    """What to measure, and how.

    Args:
        model: its label.
        node: its config.
        num_classes: of the network.
        in_channels: bands of an image.
        size: `[H, W]` of an image.
        mode: see `profiling.Mode.parse`.
        device: `auto`, `cpu`, `cuda`, ...
        seconds, rounds: of each timing.
        batch_sizes: tried for throughput.
        train_batch: images per training step.
        train_steps: timed training steps; 0 leaves training out.
        train: resolved config of `segbench.train`.
    """

    model: str
    node: Config
    num_classes: int
    in_channels: int
    size: list[int]
    mode: str
    device: str
    seconds: float
    rounds: int
    batch_sizes: list[int]
    train_batch: int
    train_steps: int
    train: Config


class Identity(TypedDict):
    """Which measurement a row is; `input` is `[H, W]`."""

    model: str
    mode: str
    input: list[int]
    batch_size: int
    num_classes: int


class Inference(TypedDict):
    """Times in ms, spreads as fractions, throughput in images/s, memory in MiB.

    `latency_ms` is the median at batch size 1. `cpu_ms` is None on a GPU, where the processor only
    queues the work.
    """

    latency_ms: float
    latency_p95_ms: float
    latency_spread: float
    cpu_ms: float | None
    cpu_spread: float | None
    calls: int
    throughput: float
    throughput_batch: int
    throughput_by_batch: dict[str, float]
    peak_memory_mib: float | None


class Training(TypedDict, total=False):
    """Of training steps: images in each, memory in MiB, ms by part (see `step_times`)."""

    train_batch: int
    peak_memory_training_mib: float | None
    train_step_ms: dict[str, float]


class Row(Identity, Inference, Training):
    """One model that was measured, at one size in one mode.

    Times may be compared between rows of the same `device`. Without timed training steps, those of
    `Training` are missing.
    """

    device: str
    params: int
    macs: int
    flops: int
    error: None
    hardware: dict[str, str | int | None]
    versions: dict[str, str]


class Failure(Identity):
    """One model that could not be measured, and why."""

    error: str
