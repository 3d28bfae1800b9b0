"""The overhead of `segbench.train` over a plain PyTorch loop, and the speed of bf16, on a CPU.

    python -m benchmarks.training                  unet_resnet18, 144 x 192, batches of 4

One epoch of the real command (loaders, curves, checks, checkpoints; without validation) is compared
with the same model, loss, optimizer and augmented batches in a loop of ten lines. Both run in one
process, in rounds, with one warm-up epoch and one timed epoch; the result is the median ratio of
the rounds. The CPU time of all threads is measured along with the wall time, because other programs
on the machine affect it least. The target is at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from benchmarks.gpu import Setting, built
from segbench.training.session import quiet_libraries


class Spent(NamedTuple):
    """Seconds of an epoch."""

    wall: float
    cpu: float


class Clocks(pl.Callback):
    """Wall and CPU time of the last epoch, including its checkpoint and the end of `fit`."""

    def on_train_epoch_start(self, *_: Any) -> None:
        self._began = _clocks()

    def spent(self) -> Spent:
        """Time since the start of the last epoch."""
        return _since(self._began)


def of_segbench(setting: Setting, model: str) -> Spent:
    """The second of two epochs of the real command."""
    with tempfile.TemporaryDirectory() as folder:
        task, data, trainer = built(setting._replace(epochs=1), model, folder, "data.cache=ram")
        clocks = Clocks()
        trainer.callbacks.insert(0, clocks)
        trainer.fit(task, data)
        return clocks.spent()


def of_a_plain_loop(setting: Setting, model: str) -> Spent:
    """The second of two epochs of a loop over the same parts."""
    with tempfile.TemporaryDirectory() as folder:
        task, data, _ = built(setting, model, folder, "data.cache=ram")
    dtype = torch.bfloat16 if setting.precision == "bf16-mixed" else None
    network, loss = task.model.train(), task.loss
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    loader = data.train_dataloader()
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        began = _clocks()
        for batch in loader:
            image = (batch["image"].float() / 255 - mean) / std
            with torch.autocast("cpu", dtype) if dtype else nullcontext():
                value = loss(network(image), batch["mask"])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return _since(began)


def _clocks() -> Spent:
    return Spent(time.perf_counter(), time.process_time())


def _since(began: Spent) -> Spent:
    now = _clocks()
    return Spent(now.wall - began.wall, now.cpu - began.cpu)


def measure(setting: Setting, model: str, precision: str, rounds: int) -> dict[str, Any]:
    """One row: medians of the rounds."""
    setting = setting._replace(precision=precision)
    ours, plain = [], []
    for number in range(rounds):  # alternate, because the first one has the cooler machine
        pair = [(of_segbench, ours), (of_a_plain_loop, plain)]
        for run, spent in pair if number % 2 else reversed(pair):
            spent.append(run(setting, model))
    images = setting.batch * setting.steps
    return {
        "model": model,
        "precision": precision,
        "plain_images_per_s": images / statistics.median(s.wall for s in plain),
        "segbench_images_per_s": images / statistics.median(s.wall for s in ours),
        "plain_cpu_seconds": statistics.median(s.cpu for s in plain),
        "wall": [a.wall / b.wall for a, b in zip(ours, plain, strict=True)],
        "cpu": [a.cpu / b.cpu for a, b in zip(ours, plain, strict=True)],
    }


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table as Markdown; in brackets the minimum and maximum ratio of a round."""
    lines = [
        "| precision | plain, images/s | segbench, images/s | wall time | CPU time |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratios = (
            f"{statistics.median(row[key]):.3f} ({min(row[key]):.3f} to {max(row[key]):.3f})"
            for key in ("wall", "cpu")
        )
        lines.append(
            f"| {row['precision']} | {row['plain_images_per_s']:.1f} "
            f"| {row['segbench_images_per_s']:.1f} | {' | '.join(ratios)} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and how much faster bf16 is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="unet_resnet18")
    parser.add_argument("--size", nargs=2, type=int, default=(144, 192))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="steps per epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    quiet_libraries()
    setting = Setting("cpu", given.batch, tuple(given.size), "32-true", given.steps, 1)
    rows = [measure(setting, given.model, p, given.rounds) for p in given.precisions]
    print("\n".join(table(rows)))
    print(
        f"\n{given.model}, {given.batch} x {given.size[0]} x {given.size[1]}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )
    if len(rows) == 2:
        wide, narrow = (row["plain_cpu_seconds"] for row in rows)
        print(f"{rows[1]['precision']} takes {narrow / wide:.2f} of the CPU time of the first")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
