"""Runs a GPU session with one command: checks, speed, a study, its report.

    python -m tools.gpu --root PATH_OF_CAMVID11            or  make gpu ARGS="--root PATH"
    python -m tools.gpu --root PATH --dry                  shows the commands and checks the configs

Stages, in order: `checks` (tests marked gpu), `speed` (benchmarks/gpu.py), `study`
(custom_vs_unet_gpu, all runs in parallel on the one GPU, so that the host time of one overlaps with
the others), `costs` (segbench.benchmark, needed for the report) and `report`. A failed stage is
reported, and the next one continues. The number of epochs follows from the measured step times and
the available time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STUDY = "custom_vs_unet_gpu"
STAGES = ("checks", "speed", "study", "costs", "report")
GUESSED_MS = {"custom": 11.0, "unet_resnet34": 18.5}  # per step, if nothing was measured
STEPS = 22  # per epoch of CamVid in batches of 16
USED = 0.8  # share of the time; loading, tests and checkpoints take the rest
EPOCHS = (50, 1000)
Command = list[str]


def module(name: str, *words: str) -> Command:
    """The command that runs a module."""
    return [sys.executable, "-m", name, *words]


def training(root: str, model: str, seed: int, epochs: int) -> list[str]:
    """The arguments of one run of the study, after `segbench.train`."""
    return [
        "-cn", STUDY, "hydra.mode=RUN", f"model={model}", f"seed={seed}", f"data.root={root}",
        "logger=csv", "compare=null", f"trainer.max_epochs={epochs}",
    ]  # fmt: skip


def commands(given: argparse.Namespace, stage: str, epochs: int) -> tuple[list[Command], bool]:
    """The commands of a stage, and whether they run in parallel."""
    if stage == "checks":
        return [module("pytest", "-q", "-m", "gpu", "tests/gpu")], False
    if stage == "speed":
        words = ("--models", *given.models, "--json", str(given.output / "speed.json"))
        return [module("benchmarks.gpu", *words)], False
    if stage == "study":
        runs = [
            module("segbench.train", *training(given.root, model, seed, epochs))
            for seed in given.seeds
            for model in given.models
        ]
        return runs, True
    if stage == "costs":
        return [module("segbench.benchmark", f"study={STUDY}", "modes=[channels_last+bf16]")], False
    baseline = [f"baseline={given.models[-1]}"] if len(given.models) > 1 else []
    return [module("segbench.compare", f"study={STUDY}", *baseline, "wandb=false")], False


def fitting_epochs(given: argparse.Namespace, seconds: float) -> int:
    """The number of epochs that fits all runs into the time, a multiple of fifty."""
    file = given.output / "speed.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    measured = {
        row["model"]: row["epoch_ms"] / row["steps"]
        for row in rows
        if row["loader"] == "frames_on_device"
    }
    step = sum(measured.get(name, GUESSED_MS.get(name, 20.0)) for name in given.models)
    epoch = STEPS * step * len(given.seeds) / 1000
    return min(EPOCHS[1], max(EPOCHS[0], int(USED * seconds / epoch) // 50 * 50))


def run(stage: str, lines: list[Command], together: bool) -> bool:
    """Runs the commands, in parallel or one by one; returns whether all succeeded."""
    print(f"== {stage}", flush=True)
    began, started = time.time(), []
    for line in lines:
        print(" ".join(line[1:]), flush=True)
        started.append(subprocess.Popen(line))
        if not together:
            started[-1].wait()
    is_fine = not any(process.wait() for process in started)
    print(f"== {stage}: {'done' if is_fine else 'FAILED'}, {time.time() - began:.0f} s", flush=True)
    return is_fine


def check(given: argparse.Namespace, epochs: int) -> None:
    """Prints every command, and composes the config of every training."""
    from segbench.config.compose import compose_checked, register

    register()
    for stage in given.stages:
        print(f"== {stage}")
        for line in commands(given, stage, epochs)[0]:
            print(" ".join(line[1:]))
            if "segbench.train" in line:
                words = line[line.index("-cn") + 1 :]
                config = compose_checked(words[0], words[1:])
                print(f"   composed: {config.run_dir}, {config.trainer.max_epochs} epochs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stages; returns the number of failed stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True, help="folder of CamVid, 11 classes")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--models", nargs="+", default=["custom", "unet_resnet34"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--seconds", type=float, default=480, help="time for the study")
    parser.add_argument("--epochs", type=int, help="default: as many as fit")
    parser.add_argument("--output", type=Path, default=Path("runs", STUDY))
    parser.add_argument("--dry", action="store_true", help="only print the commands")
    given = parser.parse_args(arguments)
    if given.dry:
        check(given, given.epochs or fitting_epochs(given, given.seconds))
        return 0
    given.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    for stage in given.stages:  # the number of epochs is known after the speed stage
        epochs = given.epochs or fitting_epochs(given, given.seconds)
        failed += not run(stage, *commands(given, stage, epochs))
    return failed


if __name__ == "__main__":
    sys.exit(main())
