"""A study that is run again gives the same weights, counts and tables, bit by bit on a CPU."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segbench.compare import compare
from segbench.train import train
from segbench.training.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("leaderboard.csv", "pairs.csv", "classes.csv", "tables.tex", "report.md")
MODELS, SEEDS = ("unet", "custom"), (0, 1)
TINY = (
    "data.size=[32,48]",
    "data.train=8",
    "data.val=4",
    "data.test=6",
    "data.frames_per_drive=2",
    "data.batch_size=4",
    "data.num_workers=0",
    "model.width=8",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.enable_progress_bar=false",
    "samples=0",
    "logger=csv",
)
COMPARE = {"baseline": "unet", "replicates": 200}


def by_its_one_command(folder: Path, **environment: str) -> None:
    """Runs the study in `folder`, each job in a process of its own, as a user does."""
    words = (*TINY, f"model={','.join(MODELS)}", f"seed={','.join(map(str, SEEDS))}")
    report = "compare={" + ",".join(f"{key}:{value}" for key, value in COMPARE.items()) + "}"
    subprocess.run(
        [sys.executable, "-m", "segbench.train", "-cn", "streets_small", *words, report],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=True,
    )


def assert_same(first: Path, second: Path) -> None:
    """Compares all that two runs of the study left."""
    weights = []
    for model in MODELS:
        for seed in SEEDS:
            name = f"{model}-streets/seed{seed}"
            a, b = (RunDirectory(folder / name) for folder in (first, second))
            ours, theirs = (torch.load(r.last_checkpoint, weights_only=True) for r in (a, b))
            ours, theirs = ours["state_dict"], theirs["state_dict"]
            assert ours.keys() == theirs.keys()
            different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
            assert not different, f"{name}: other weights: {different[:3]}"
            weights.append(ours)
            counts = zip(a.read_confusion(), b.read_confusion(), strict=True)
            assert all(np.array_equal(*pair) for pair in counts), f"{name}: other counts"
            one, two = a.read_result(), b.read_result()
            for key in ("scores", "data_info", "protocol", "budget", "selected_epoch", "params"):
                assert one[key] == two[key], f"{name}: other {key}"
            assert curves(a) == curves(b), f"{name}: other curves"
    for one, other in zip(weights[::2], weights[1::2], strict=True):
        assert not all(torch.equal(one[key], other[key]) for key in one), "the seed does nothing"
    for file in TABLES:
        mine, other = ((folder / "report" / file).read_bytes() for folder in (first, second))
        assert mine == other, f"another {file}"


def curves(run: RunDirectory) -> list[dict[str, str]]:
    """The rows of metrics.csv, without how long things took."""
    with run.metrics_file.open() as file:
        rows = list(csv.DictReader(file))
    assert any(row.get("val/mIoU") for row in rows)
    timed = ("images_per_s", "waiting_for_data", "seconds", "memory")
    return [{k: v for k, v in row.items() if not any(t in k for t in timed)} for row in rows]


def test_the_runs_of_a_study_and_its_report_are_the_same_again(compose, tmp_path, monkeypatch):
    studies = []
    for again in ("first", "second"):
        folder = tmp_path / again
        folder.mkdir()
        monkeypatch.chdir(folder)
        for model in MODELS:
            for seed in SEEDS:
                words = (*TINY, f"model={model}", f"seed={seed}", "hydra.mode=RUN")
                assert train(compose("streets_small", *words)).status == "finished"
        options = [f"{key}={value}" for key, value in COMPARE.items()]
        assert compare(compose("compare", "study=streets_small", "wandb=false", *options)) == 0
        studies.append(folder / "runs/streets_small")
    assert_same(*studies)


@pytest.mark.slow
def test_one_command_in_two_places_gives_the_same_study(tmp_path: Path) -> None:
    for place, hash_seed in (("here", "1"), ("there", "2")):
        (tmp_path / place).mkdir()
        by_its_one_command(tmp_path / place, PYTHONHASHSEED=hash_seed)
    assert_same(*(tmp_path / place / "runs/streets_small" for place in ("here", "there")))
