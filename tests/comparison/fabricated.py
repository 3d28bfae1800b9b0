"""Fabricated studies on disk: run directories as written by training, without any training."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.comparison import compare_runs
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.config.compare_schema import CompareConfig
from segbench.metrics.scores import scores
from tests.comparison.simulation import World

NAMES = ["road", "building", "sky", "vegetation", "car", "pole"]
COLORS = [
    [128, 64, 128],
    [70, 70, 70],
    [70, 130, 180],
    [107, 142, 35],
    [0, 0, 142],
    [153, 153, 153],
]
WORLD = World(groups=3, frames=16, taste_sd=0.2, seed_sd=0.06)


def matrices(counts: np.ndarray) -> np.ndarray:
    """Confusion matrices `[N, C, C + 1]` with these hits, unions (nearly) and row sums."""
    images, _, classes = counts.shape
    out = np.zeros((images, classes, classes + 1), np.int64)
    missed = counts[:, 2] - counts[:, 0]
    for c in range(classes):
        for other in range(classes):
            out[:, c, other] = missed[:, c] // (classes - 1)
        out[:, c, c] = 0
        out[:, c, (c + 1) % classes] += missed[:, c] - out[:, c].sum(axis=1)
        out[:, c, c] = counts[:, 0, c]
    return out


def result(label: str, seed: int, confusion: np.ndarray, study: str, data: str) -> dict[str, Any]:
    """The content of result.json of a finished run."""
    config: dict[str, Any] = {
        "study": study, "name": f"{label}-{data}", "seed": seed, "weights": None,
        "early_stopping": None,
        "model": {"_target_": f"segbench.models.{label}.Net", "encoder_weights": None},
        "data": {"_target_": "segbench.data.sources.streets.Streets", "batch_size": 8, "hflip": 0.5,
                 "scale_range": [0.5, 2.0], "crop_size": [96, 192]},
        "loss": {"_target_": "segbench.losses.cross_entropy.CrossEntropy", "label_smoothing": 0.0},
        "optimizer": {"_target_": "segbench.training.optim.adamw", "lr": 0.001},
        "scheduler": {"_target_": "segbench.training.optim.poly", "power": 0.9},
        "trainer": {"gradient_clip_val": None, "max_epochs": 12},
    }  # fmt: skip
    return {
        "status": "finished", "reason": "", "kind": "train", "study": study,
        "name": f"{label}-{data}", "seed": seed, "model": config["model"]["_target_"],
        "data": config["data"]["_target_"], "config": config,
        "classes": {"names": NAMES, "colors": COLORS, "ignore_index": 255, "void_color": [0, 0, 0]},
        "data_info": {"fingerprint": {"train": "0a1b", "val": "2c3d", "test": "4e5f"},
                      "protocol": "streets-6",
                      "comparable": False, "split": "test",
                      "num_images": {"train": 96, "val": 24, "test": len(confusion)}},
        "protocol": {"resolution": "original", "resize": None, "inference": {"mode": "whole"},
                     "absent_classes": "exclude", "void_prediction": "miss", "selection": "best",
                     "num_classes": len(NAMES)},
        "budget": {"epochs": 12, "steps": 144, "images_seen": 1152, "effective_batch_size": 8,
                   "precision": "32-true", "ema": None, "tuning_trials": 0},
        "params": 1_000_000, "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "commit": "a9ee35c0000000000000000000000000000000aa", "dirty": False,
        "command": f"python -m segbench.train study={study} model={label} seed={seed}",
        "hardware": {"device": "cpu", "cpu": "Example CPU", "cores": 2},
        "timings": {"train_seconds": 61.5, "images_per_s": 18.7},
        "scores": {"test": scores(confusion.sum(axis=0), NAMES)},
    }  # fmt: skip


def record(**changes: Any) -> Result:
    """The record of a finished run, with some of its fields replaced."""
    confusion = np.ones((1, len(NAMES), len(NAMES) + 1), np.int64)
    return replace(
        Result.from_dict({"schema_version": 1, **result("unet", 0, confusion, "study", "streets")}),
        **changes,
    )


def write_run(folder: Path, content: dict[str, Any], confusion: np.ndarray, world: World) -> None:
    """Writes one run directory with curves and a sample sheet."""
    run = RunDirectory(folder)
    groups = world.names()
    run.write_confusion([f"{g}/{i:04d}" for i, g in enumerate(groups)], groups, confusion)
    run.write_result(Result.from_dict({"schema_version": 1, **content}))
    run.config_file.write_text("study: fabricated\n")
    run.log_file.write_text("finished\n")
    rng = np.random.default_rng(content["seed"])
    final = content["scores"]["test"]["mIoU"]
    with run.metrics_file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "train/loss", "val/mIoU"])
        for epoch in range(12):
            grown = 1 - np.exp(-(epoch + 1) / 4)
            noise = 0.01 * rng.standard_normal(2)
            row = [epoch, 12 * (epoch + 1), 1.8 - 1.4 * grown + noise[0], final * grown + noise[1]]
            writer.writerow(row)
    run.samples.mkdir()
    stripes = np.zeros((120, 320, 3), np.uint8)
    for i, color in enumerate(COLORS):
        stripes[:, i * 54 : (i + 1) * 54] = color
    Image.fromarray(stripes).save(run.samples / "epoch0012.png")


def write_study(
    root: Path,
    skills: dict[str, float],
    seeds: int = 3,
    *,
    name: str = "custom_vs_unet",
    world: World = WORLD,
    data: str = "streets",
) -> Path:
    """Writes `runs/STUDY` with one model per skill; a larger skill is a better model."""
    rng = np.random.default_rng(0)
    world_classes = len(NAMES)
    assert world.classes == world_classes
    models = world.study(rng, seeds, tuple(skills.values()))
    for size, (label, model) in enumerate(zip(skills, models, strict=True), 1):
        for seed in range(seeds):
            confusion = matrices(model.counts[seed])
            content = result(label, seed, confusion, name, data)
            content["params"] = 1_000_000 * size
            write_run(root / name / f"{label}-{data}" / f"seed{seed}", content, confusion, world)
    return root / name


def edit(folder: Path, path: str, value: Any) -> None:
    """Changes one value of a run's result.json."""
    file = folder / "result.json"
    content = json.loads(file.read_text())
    *parents, last = path.split(".")
    node = content
    for key in parents:
        node = node[key]
    node[last] = value
    file.write_text(json.dumps(content))


def config(runs: Path, **changes: Any) -> Any:
    """The config of `segbench.compare` for the study `mine`."""
    values = {"study": "mine", "runs": str(runs), "replicates": 200, "wandb": False, **changes}
    return OmegaConf.merge(OmegaConf.structured(CompareConfig), values)


def compared(runs: Path, **options: Any) -> Any:
    """The comparison of the study `mine`."""
    return compare_runs(read_study(runs / "mine"), Options(replicates=100, **options))


def as_evaluations(runs: Path, label: str = "*", **compare: Any) -> None:
    """Makes runs scores of checkpoints whose trainings were started with these keys."""
    for folder in (runs / "mine").glob(f"{label}-streets/seed*"):
        config = json.loads((folder / "result.json").read_text())["config"]
        training = {
            "config": config | {"study": "town", "compare": compare},
            "fingerprint": {"train": "0a1b", "val": "2c3d"},
            "devices": 1,
            "weights": f"{folder.parent.name}{folder.name}",
        }
        values = {"kind": "evaluate", "training": training, "protocol.source": "ckpt=x.ckpt"}
        values |= {"budget": {}, "config": {"ckpt": "x.ckpt"}}
        for key, value in values.items():
            edit(folder, key, value)
