"""Measures one model in its own process, so that earlier models do not affect it.

python -m segbench.cost.measurement JOB.json ROW.json     as started by `segbench.benchmark`
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.artifacts import build, provenance
from segbench.artifacts.offline import offline
from segbench.artifacts.segmenter import resolve_device
from segbench.artifacts.typed import plain
from segbench.cost.profiling import (
    Mode,
    count_macs,
    count_params,
    measure_rate,
    measure_times,
    peak_memory,
)
from segbench.cost.row import Failure, Identity, Inference, Job, Row, Training
from segbench.system.machine import signal_name
from segbench.training.loss_terms import step_terms
from segbench.training.step_times import time_steps

IGNORED = 255


def measure_in_process(job: Job) -> Row | Failure:
    """Runs this module on a job in a new process and waits.

    Args:
        job: what to measure.

    Returns:
        The row, or why the process failed or was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "job.json", Path(folder) / "row.json"
        files[0].write_text(json.dumps(asdict(job)), encoding="utf-8")
        command = [sys.executable, "-m", __name__, *map(str, files)]
        environment = {**os.environ, "WANDB_MODE": "disabled"}
        process = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        if files[1].is_file():
            row: Row = json.loads(files[1].read_text(encoding="utf-8"))
            return row
    if process.returncode < 0:
        reason = f"ended by {signal_name(-process.returncode)} (out of memory?)"
    else:
        reason = (process.stderr.strip().splitlines() or ["no message"])[-1]
    return {**_identity(job), "error": reason}


def measure(job: Job) -> Row:
    """Measures one network at one size in one mode: one row of benchmark.json."""
    device, mode = resolve_device(job.device), Mode.parse(job.mode)
    torch.set_float32_matmul_precision("high")  # as in training
    torch.nn.Conv2d(3, 3, 3)(torch.zeros(1, 3, 8, 8))  # loads what every first convolution loads
    network = build.build_model(offline(job.node), job.num_classes, job.in_channels).eval()
    params, macs = count_params(network), count_macs(network, job.size, job.in_channels)
    model = mode.prepare(network, device)
    inference = _inference(model, mode, device, job)
    training = _training(model, mode, device, job) if job.train_steps else Training()
    return {
        **_identity(job),
        "device": _device_name(device, job.mode),
        "params": params,
        "macs": macs,
        "flops": 2 * macs,
        **inference,
        **training,
        "error": None,
        "hardware": plain(provenance.hardware(device)),
        "versions": provenance.versions(),
    }


def _identity(job: Job) -> Identity:
    return {
        "model": job.model,
        "mode": job.mode,
        "input": list(job.size),
        "batch_size": 1,
        "num_classes": job.num_classes,
    }


def _device_name(device: torch.device, mode: str) -> str:
    """Rows may share an axis only if hardware, thread count and mode are the same."""
    return f"{provenance.hardware(device)}, {mode}"


def _inference(model: nn.Module, mode: Mode, device: torch.device, job: Job) -> Inference:
    @torch.inference_mode()
    def run(batch: int) -> Any:
        images = mode.images(batch, job.size, device, job.in_channels)

        @torch.inference_mode()
        def forward() -> None:
            with mode.autocast(device):
                model(images)

        return forward

    if mode.compiled:
        run(1)()  # compile before the peak is measured
    memory = peak_memory(run(1), model, device)
    latency = measure_times(run(1), device, job.seconds, job.rounds)
    rates: dict[int, float] = {}
    for batch in sorted({1, *job.batch_sizes}):
        try:
            calls = measure_rate(run(batch), device, job.seconds, job.rounds)
        except torch.OutOfMemoryError:
            break
        rates[batch] = batch * calls
    best = max(rates, key=lambda batch: rates[batch])
    return {
        "latency_ms": 1000 * latency.median,
        "latency_p95_ms": 1000 * latency.p95,
        "latency_spread": latency.spread,
        # On a GPU the CPU only queues the work, or waits.
        "cpu_ms": 1000 * latency.cpu if device.type == "cpu" else None,
        "cpu_spread": latency.cpu_spread if device.type == "cpu" else None,
        "calls": latency.calls,
        "throughput": rates[best],
        "throughput_batch": best,
        "throughput_by_batch": {str(batch): rate for batch, rate in rates.items()},
        "peak_memory_mib": memory,
    }


def _training(model: Any, mode: Mode, device: torch.device, job: Job) -> Training:
    """Peak memory of a training step alone, then the parts of a step as run by `train`."""
    model.train()
    images = mode.images(job.train_batch, job.size, device, job.in_channels)
    optimizer = torch.optim.AdamW(model.parameters())

    mask = torch.zeros(job.train_batch, *job.size, dtype=torch.long, device=device)

    def step() -> None:
        with mode.autocast(device):
            terms = step_terms(model, _cross_entropy, images, mask, IGNORED, progress=0.0)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    memory = peak_memory(step, model, device)
    precision = {torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}.get(mode.dtype)  # type: ignore[arg-type]
    config = job.train | {
        "precision": precision or "32-true",
        "channels_last": mode.channels_last,
        "compile": mode.compiled,
    }
    config["trainer"] = config["trainer"] | {
        "accelerator": "gpu" if device.type == "cuda" else "cpu"
    }
    del step
    return {
        "train_batch": job.train_batch,
        "peak_memory_training_mib": memory,
        "train_step_ms": time_steps(config, job.train_steps),
    }


def _cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.float(), mask, ignore_index=IGNORED)


def main(arguments: Sequence[str]) -> None:
    """Reads a job and writes its row."""
    row = measure(Job(**json.loads(Path(arguments[0]).read_text(encoding="utf-8"))))
    Path(arguments[1]).write_text(json.dumps(row), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
