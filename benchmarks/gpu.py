"""The share of the speed of a bare training step that is left in `segbench.train`.

    python -m benchmarks.gpu                                 16 x 360 x 480 in bf16 on the GPU
    python -m benchmarks.gpu --device cpu --small            a one-minute check that it runs

For each model: the step on tensors that are already on the device (`synthetic`), then real epochs
of the real command, with each loader: generated images, augmentation, curves, checkpoints.
`share` is the time of the synthetic steps over the wall time of an epoch; its target is 95%.
`reads` is the number of device reads (syncs) per step, in which the host waits until the device has
finished all its work; 0 is ideal. On a CPU, where a read is not a sync, loss and labels are checked
immediately.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.compose import compose_checked, register
from segbench.training.build import build_run
from segbench.training.session import quiet_libraries
from segbench.training.task import SegmentationTask

LOADERS = {
    "threads": ("data.workers=thread", "data.cache=ram"),
    "processes": ("data.workers=process", "data.cache=none"),
    "frames_on_device": ("data.frames_on_device=true", "data.cache=ram"),
}
SMALL = ("model.width=8",)
READS = {"aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero"}


class Setting(NamedTuple):
    """The settings of a measurement.

    Args:
        device: cuda or cpu.
        batch: images per step.
        size: `(H, W)` of the images.
        precision: as in `segbench.train`.
        steps: number of steps per epoch, and of the synthetic timing.
        epochs: number of timed epochs, after one untimed epoch.
        words: further overrides.
    """

    device: str
    batch: int
    size: tuple[int, int]
    precision: str
    steps: int
    epochs: int
    words: tuple[str, ...] = ()


def built(
    setting: Setting, model: str, folder: str, *words: str
) -> tuple[SegmentationTask, Any, pl.Trainer]:
    """Builds task, data and trainer as `segbench.train` does."""
    register()
    size = f"[{setting.size[0]},{setting.size[1]}]"
    base = (
        f"model={model}", "data=streets", "loss=ce", "loss.class_weights=null", "optimizer=adam",
        f"data.size={size}", f"data.crop_size={size}", "data.color_jitter=0.3", "data.val=2",
        "data.test=2", f"data.train={setting.batch * setting.steps}", "data.scale_range=[0.5,2.0]",
        f"data.batch_size={setting.batch}", f"precision={setting.precision}", "logger=csv",
        "samples=0", f"trainer.accelerator={'gpu' if setting.device == 'cuda' else 'cpu'}",
        f"trainer.max_epochs={setting.epochs + 1}", "trainer.limit_val_batches=0",
        "trainer.enable_progress_bar=false", "selection=last", f"run_dir={folder}",
    )  # fmt: skip
    last = {word.lstrip("+").split("=", 1)[0]: word for word in (*base, *setting.words, *words)}
    config = compose_checked("train", list(last.values()))
    keys = [str(key) for key in config if key != "hydra"]
    plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    parts = build_run(plain, RunDirectory(folder))
    return parts.task, parts.data, parts.trainer


def synthetic_ms(setting: Setting, model: str) -> float:
    """Milliseconds of a step on tensors on the device; median of three rounds."""
    device = torch.device(setting.device)
    with tempfile.TemporaryDirectory() as folder:
        task, _, _ = built(setting, model, folder)
    task.to(device).train()
    torch.backends.cudnn.benchmark = device.type == "cuda"
    optimizer = task.make_optimizer(task.model)
    shape = (setting.batch, *setting.size)
    image = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    mask = torch.randint(0, task.classes.num_classes, shape, dtype=torch.uint8, device=device)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(setting.precision)

    def step() -> None:
        with torch.autocast(device.type, dtype) if dtype else nullcontext():
            pixels = task.normalize(image)
            if getattr(task.model, "aux_weight", 0):
                logits, auxiliary = task.model.forward_with_aux(pixels)
                aux = sum(task.loss(x, mask) for x in auxiliary)
                loss = task.loss(logits, mask) + task.model.aux_weight * aux
            else:
                loss = task.loss(task.model(pixels), mask)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return timed_ms(step, setting.steps, device)


def timed_ms(call: Callable[[], Any], count: int, device: torch.device, warmup: int = 3) -> float:
    """Milliseconds per call, called in sequence; median of three rounds."""
    for _ in range(warmup):
        call()
    rounds = []
    for _ in range(3):
        _synchronize(device)
        began = time.perf_counter()
        for _ in range(max(1, count // 3)):
            call()
        _synchronize(device)
        rounds.append((time.perf_counter() - began) / max(1, count // 3))
    return 1000 * statistics.median(rounds)


class Clock(pl.Callback):
    """The wall time of whole epochs, from the start of one to the start of the next."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.at: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        _synchronize(self.device)
        self.at.append(time.perf_counter())

    on_train_end = on_train_epoch_start

    def epoch_ms(self) -> float:
        """Median of all epochs but the first."""
        gaps = [later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False)]
        return 1000 * statistics.median(gaps[1:] or gaps)


class Reads(TorchDispatchMode):
    """Counts the values that the host reads from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name in READS
        return func(*args, **(kwargs or {}))


class CountReads(pl.Callback):
    """Counts reads per step, between the ends of two steps that neither end an epoch nor log."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.per_step: list[int] = []
        self._mode: AbstractContextManager[Any] | None = None
        self._caught: Any = None

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.device.type == "cuda":
            self._mode = warnings.catch_warnings(record=True)
            self._caught = self._mode.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        else:
            self._mode = self._caught = Reads()
            self._mode.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
        assert self._mode is not None
        self._mode.__exit__(None, None, None)
        found = self._caught
        if isinstance(found, list):
            count = sum("synchroniz" in str(item.message) for item in found)
        else:
            count = found.count
        if not trainer.is_last_batch:
            self.per_step.append(count)


def real(setting: Setting, model: str, loader: str) -> dict[str, float]:
    """Epochs of the real command: `epoch_ms`, and `reads` per step, in separate epochs."""
    device = torch.device(setting.device)
    with tempfile.TemporaryDirectory() as folder:
        task, data, trainer = built(setting, model, folder, *LOADERS[loader])
        clock = Clock(device)
        trainer.callbacks.insert(0, clock)
        trainer.fit(task, data)
    with tempfile.TemporaryDirectory() as folder:
        short = setting._replace(epochs=1, steps=min(6, setting.steps))
        task, data, trainer = built(short, model, folder, *LOADERS[loader], "log_every=1000")
        reads = CountReads(device)
        trainer.callbacks.append(reads)
        trainer.fit(task, data)
    return {"epoch_ms": clock.epoch_ms(), "reads": statistics.median(reads.per_step[1:])}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table as Markdown."""
    lines = [
        "| model | loader | synthetic step, ms | images/s | real, ms a step | share | reads |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['loader']} | {row['synthetic_ms']:.2f} "
            f"| {1000 * row['batch'] / row['synthetic_ms']:.1f} "
            f"| {row['epoch_ms'] / row['steps']:.2f} "
            f"| {row['share']:.0%} | {row['reads']:g} |"
        )
    return lines


def measure(setting: Setting, models: Sequence[str], loaders: Sequence[str]) -> list[dict]:
    """One row for each model and loader."""
    rows = []
    for model in models:
        step = synthetic_ms(setting, model)
        for loader in loaders:
            found = real(setting, model, loader)
            rows.append(
                {
                    "model": model, "loader": loader, "batch": setting.batch,
                    "size": list(setting.size), "precision": setting.precision,
                    "steps": setting.steps, "synthetic_ms": step, **found,
                    "share": step * setting.steps / found["epoch_ms"],
                }
            )  # fmt: skip
            print(table(rows)[-1], flush=True)
    return rows


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: str) -> str:
    return torch.cuda.get_device_name(0) if device == "cuda" else platform.processor() or "CPU"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table; optionally writes it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["custom", "unet_resnet34"])
    parser.add_argument("--loaders", nargs="+", default=list(LOADERS), choices=list(LOADERS))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--size", nargs=2, type=int, default=(360, 480))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--steps", type=int, default=22, help="steps per epoch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="only custom, 2 x 32 x 48, 3 steps")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; --device cpu --small shows whether the program runs")
    quiet_libraries()
    setting = Setting(
        given.device, given.batch, tuple(given.size), given.precision, given.steps, given.epochs
    )
    models = given.models
    if given.small:
        setting = Setting(given.device, 2, (32, 48), given.precision, 3, 1, SMALL)
        models = ["custom"]
    rows = measure(setting, models, given.loaders)
    print()
    print("\n".join(table(rows)))
    print(
        f"\n{_name(given.device)}, torch {torch.__version__}, {setting.batch} x "
        f"{setting.size[0]} x {setting.size[1]}, {setting.precision}."
    )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
