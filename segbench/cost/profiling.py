"""The cost of a model: parameters, FLOPs, latency, throughput, memory.

Times are measured after a warm-up, with the device synchronized, in several rounds, so that every
number has a spread between rounds. FLOPs are twice the multiply-accumulates of matrix products and
convolutions, in eval mode; norms, activations and resizing are not counted (as in fvcore and in the
papers).
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segbench.training.compiling import compile_network

FEATURES = ("channels_last", "bf16", "fp16", "compile")
MIB = 1 << 20


@dataclass(frozen=True)
class Mode:
    """How a model is run; float32, contiguous and eager unless set otherwise.

    Args:
        channels_last: memory format of weights and images.
        dtype: autocast dtype, or None for float32.
        compiled: use `torch.compile`.
    """

    channels_last: bool = False
    dtype: torch.dtype | None = None
    compiled: bool = False

    @classmethod
    def parse(cls, text: str) -> Mode:
        """`eager`, or any of `FEATURES` joined by `+`.

        Raises:
            ValueError: an unknown feature, or two precisions.
        """
        words = [] if text == "eager" else text.split("+")
        if unknown := [word for word in words if word not in FEATURES]:
            raise ValueError(
                f"modes: '{unknown[0]}' in '{text}' is not one of eager, {', '.join(FEATURES)} "
                "(join several with +, such as channels_last+bf16)"
            )
        if {"bf16", "fp16"} <= set(words):
            raise ValueError(f"modes: '{text}' has two precisions")
        dtype = torch.bfloat16 if "bf16" in words else torch.float16 if "fp16" in words else None
        return cls("channels_last" in words, dtype, "compile" in words)

    def prepare(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Moves the model to the device, in this memory format, and compiles it if set."""
        model = model.to(device).to(memory_format=self.memory_format)  # type: ignore[call-overload]
        if self.compiled:
            compile_network(model)
        return model

    def images(
        self, batch: int, size: Sequence[int], device: torch.device, channels: int = 3
    ) -> Tensor:
        """Random images float32 `[batch, channels, H, W]` in this memory format."""
        noise = torch.randn(batch, channels, *size, device=device)
        return noise.to(memory_format=self.memory_format)

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The precision of this mode."""
        return torch.autocast(device.type, self.dtype) if self.dtype else nullcontext()

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of weights and images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


@dataclass(frozen=True)
class Times:
    """Durations of one call.

    Args:
        median: seconds, over all calls.
        p95: seconds; 95% of the calls were faster.
        spread: (slowest - fastest round) / median, by the median of each round; 0.1 = 10%.
        calls: number of timed calls.
        cpu: CPU time in seconds, median over all calls, all threads of this process together.
            Other programs that compete for the cores increase `median`, but not this.
        cpu_spread: as `spread`, for the CPU time.
    """

    median: float
    p95: float
    spread: float
    calls: int
    cpu: float
    cpu_spread: float


def count_params(model: nn.Module) -> int:
    """Number of parameters of the model, including auxiliary heads."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_macs(model: nn.Module, size: Sequence[int], channels: int = 3) -> int:
    """Multiply-accumulates of one image in eval mode; FLOPs are twice as many.

    Args:
        model: any model; its mode is restored.
        size: `(H, W)`.
        channels: channels of the image.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    # Attention is computed as plain matrix products, which the counter knows on every device.
    with (
        _without_gradients(model),
        FlopCounterMode(display=False) as counter,
        sdpa_kernel(SDPBackend.MATH),
    ):
        model(torch.zeros(1, channels, *size, device=device))
    model.train(was_training)
    return counter.get_total_flops() // 2


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """The counter looks for the gradient of views of parameters, even within `no_grad`."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad = True


def measure_times(
    call: Callable[[], Any],
    device: torch.device,
    seconds: float = 2.0,
    rounds: int = 5,
    warmup: int = 3,
) -> Times:
    """Times a function.

    Args:
        call: runs once; must not return before its work is queued.
        device: synchronized before and after every call.
        seconds: total duration; at least 3 calls are made per round.
        rounds: number of consecutive rounds.
        warmup: number of calls that are not timed.
    """
    for _ in range(warmup):
        call()
    wall: list[list[float]] = []
    cpu: list[list[float]] = []
    for _ in range(rounds):
        wall.append([])
        cpu.append([])
        _synchronize(device)
        end = time.perf_counter() + seconds / rounds
        while len(wall[-1]) < 3 or time.perf_counter() < end:
            started, used = time.perf_counter(), time.process_time()
            call()
            _synchronize(device)
            cpu[-1].append(time.process_time() - used)
            wall[-1].append(time.perf_counter() - started)
    together = np.concatenate(wall)
    return Times(
        median=float(np.median(together)),
        p95=float(np.quantile(together, 0.95)),
        spread=_spread(wall),
        calls=len(together),
        cpu=float(np.median(np.concatenate(cpu))),
        cpu_spread=_spread(cpu),
    )


def measure_rate(
    call: Callable[[], Any],
    device: torch.device,
    seconds: float = 2.0,
    rounds: int = 5,
    warmup: int = 2,
) -> float:
    """Calls per second without pauses: the device is synchronized only at the end of a round.

    Args:
        call: for this and the other arguments see `measure_times`; at least 3 calls per round.

    Returns:
        Median over the rounds.
    """
    for _ in range(warmup):
        call()
    _synchronize(device)
    began = time.perf_counter()
    call()
    _synchronize(device)
    one = max(time.perf_counter() - began, 1e-9)
    count = max(3, round(seconds / rounds / one))
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            call()
        _synchronize(device)
        rates.append(count / (time.perf_counter() - began))
    return float(np.median(rates))


def _spread(rounds: Sequence[Sequence[float]]) -> float:
    """(slowest - fastest round) / median; 0 if the median is 0."""
    medians = [float(np.median(part)) for part in rounds]
    median = float(np.median(np.concatenate(rounds)))
    return (max(medians) - min(medians)) / median if median else 0.0


def peak_memory(call: Callable[[], Any], model: nn.Module, device: torch.device) -> float | None:
    """Peak memory during a call, including weights, in MiB.

    On a GPU, the memory allocated by torch; on a CPU, the increase of the resident memory of the
    process during the call, plus the weights. None if not available (it is on Linux only).
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) / MIB
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        before = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    except (OSError, AttributeError):
        return None
    call()
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return (_resident("VmHWM") - before + weights) / MIB


def _resident(key: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
