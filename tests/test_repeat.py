"""Repeating a study gives the same weights, counts and tables, bit-identical on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.compare import compare
from segbench.train import train
from tests.conftest import curves, run_verb

TABLES = ("leaderboard.csv", "pairs.csv", "classes.csv", "tables.tex", "report.md")
MODELS, SEEDS = ("unet", "custom"), (0, 1)
STUDY = """
defaults:
  - train
  - override model: unet
  - override trainer: cpu
  - override logger: csv
  - _self_

study: tiny
selection: last
samples: 0
compare: {baseline: unet, replicates: 200}
model: {width: 8}
data:
  {size: [32, 48], train: 8, val: 4, test: 6, frames_per_drive: 2, batch_size: 4, num_workers: 0}
trainer: {max_epochs: 1, enable_progress_bar: false}

hydra:
  mode: MULTIRUN
  sweeper:
    params: {model: "custom,unet", seed: "0,1"}
"""


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Two working directories that contain nothing but the study."""
    for name in ("here", "there"):
        (tmp_path / name / "experiments").mkdir(parents=True)
        (tmp_path / name / "experiments/tiny.yaml").write_text(STUDY)
    return [tmp_path / "here", tmp_path / "there"]


def assert_same(first: Path, second: Path) -> None:
    """Compares all files of two runs of the study."""
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
                assert getattr(one, key) == getattr(two, key), f"{name}: other {key}"
            assert curves(a) == curves(b), f"{name}: other curves"
            assert any(row["val/mIoU"] for row in curves(a))
    for one, other in zip(weights[::2], weights[1::2], strict=True):
        assert not all(torch.equal(one[key], other[key]) for key in one), "the seed does nothing"
    for file in TABLES:
        mine, other = ((folder / "report" / file).read_bytes() for folder in (first, second))
        assert mine == other, f"another {file}"


def test_the_runs_of_a_study_and_its_report_are_the_same_again(compose, places, monkeypatch):
    for place in places:
        monkeypatch.chdir(place)
        for model in MODELS:
            for seed in SEEDS:
                config = compose("tiny", f"model={model}", f"seed={seed}", "hydra.mode=RUN")
                assert train(config).status == "finished"
        options = ("study=tiny", "baseline=unet", "replicates=200", "wandb=false")
        assert compare(compose("compare", *options)) == 0
    assert_same(*(place / "runs/tiny" for place in places))


@pytest.mark.slow
def test_one_command_in_two_places_gives_the_same_study(places: list[Path]) -> None:
    for number, place in enumerate(places):
        done = run_verb("train", "-cn", "tiny", cwd=place, PYTHONHASHSEED=str(number))
        assert done.returncode == 0, done.stderr
    assert_same(*(place / "runs/tiny" for place in places))
