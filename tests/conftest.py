"""Shared by all tests: no internet access, a tiny training, a checkpoint of `segbench.train`."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

# Before torch or wandb are imported, and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.compose import compose_checked, register
from segbench.data.sources.streets import CLASSES, Streets
from segbench.models.custom import Custom

ROOT = Path(__file__).resolve().parents[1]

# Two epochs of two steps on 48x64 pixels: about a second.
TINY = (
    "data.batch_size=4",
    "data.num_workers=0",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "logger=csv",
    "samples=0",
    "log_every=1",
    "deterministic=true",
)
# For trainings where only the outcome matters, not what is learned.
TINIEST = (
    "data.size=[16,24]",
    "data.train=4",
    "data.val=2",
    "data.test=2",
    "data.num_workers=0",
    "data.batch_size=2",
    "trainer=cpu",
)
TINY_PARTS = {
    "model": ("model=unet", "model.width=4", "model.depth=2"),
    "data": (
        "data=streets",
        "data.size=[48,64]",
        "data.train=8",
        "data.val=4",
        "data.test=4",
        "data.frames_per_drive=2",
    ),
}


# The checkpoint of `ckpt`: a model that was never trained.
DATA = {
    "_target_": "segbench.data.sources.streets.Streets",
    "size": [24, 33],
    "train": 8,
    "val": 2,
    "test": 5,
    "frames_per_drive": 2,
    "seed": 0,
    "num_workers": 0,
}
MODEL = {"_target_": "segbench.models.custom.Custom", "width": 8, "dilations": [2]}


@pytest.fixture(autouse=True)
def _determinism_off_again() -> Iterator[None]:
    """A training with deterministic=true sets it for the process; other tests must not see it."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


def python_path(*folders: Path) -> str:
    """PYTHONPATH for another process: these folders, then those of this one."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])


def run_verb(
    verb: str, *words: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m segbench.VERB` in its own process; modules in `cwd` are found, too."""
    return run_module(f"segbench.{verb}", *words, cwd=cwd, **environment)


def run_module(
    module: str, *words: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m MODULE` in the same way."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": python_path(ROOT, cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def tiny_arguments(*overrides: str) -> list[str]:
    """The arguments of a tiny training; the last value of a key wins, as Hydra accepts only one."""
    texts = list(TINY)
    for group, part in TINY_PARTS.items():
        if not any(text.startswith(f"{group}=") for text in overrides):
            texts += part
    last = {text.lstrip("+").split("=", 1)[0]: text for text in (*texts, *overrides)}
    return list(last.values())


def curves(run: RunDirectory) -> list[dict[str, str]]:
    """The rows of metrics.csv without the columns of times."""
    clock = {"train/images_per_s", "train/waiting_for_data"}
    with run.metrics_file.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in clock} for row in csv.DictReader(file)]


@pytest.fixture(autouse=True, scope="session")
def _frugal(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One thread, and caches that are deleted with the tests."""
    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _no_hydra_leftovers() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


@pytest.fixture
def tiny_config(tmp_path: Path) -> Callable[..., Any]:
    """`tiny_config("seed=1", ...)` composes the config of a tiny run below `tmp_path`."""

    def build(*overrides: str) -> Any:
        register()
        return compose_checked("train", tiny_arguments(f"run_dir={tmp_path}/run", *overrides))

    return build


@pytest.fixture
def train_tiny(tiny_config: Callable[..., Any]) -> Callable[..., Any]:
    """`train_tiny("seed=1", ...)` trains in this process; returns its Outcome."""
    from segbench.train import train

    def run(*overrides: str) -> Any:
        config = tiny_config(*overrides)
        return train(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))

    return run


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory):
    """Writes a checkpoint; keywords replace entries of its `segbench` part."""

    def make(**changes):
        torch.manual_seed(0)
        model = Custom(num_classes=11, width=8, dilations=[2])
        for _ in range(30):  # batch norm statistics, so that predictions contain several classes
            model(torch.randn(2, 3, 24, 33))
        inference = {"_target_": "segbench.inference.predictor.Predictor", "mode": "whole"}
        meta = {
            "format": 1,
            "config": {"data": DATA, "model": MODEL, "inference": inference,
                       "name": "custom-streets", "seed": 3},
            "classes": CLASSES.to_dict(),
            "mean": [0.4, 0.4, 0.4],
            "std": [0.3, 0.3, 0.3],
            "protocol": {"resize": None, "precision": "32-true"},
            "scores": {},
        }  # fmt: skip
        state = {f"model.{key}": value for key, value in model.state_dict().items()}
        file = tmp_path_factory.mktemp("ckpt") / "best.ckpt"
        torch.save({"state_dict": state, "segbench": meta | changes}, file)
        return file

    return make


@pytest.fixture(scope="session")
def ckpt(make_checkpoint):
    return make_checkpoint()


@pytest.fixture(scope="session")
def small_streets():
    """The data set of that checkpoint."""
    return Streets((24, 33), train=8, val=2, test=5, frames_per_drive=2, seed=0)


@pytest.fixture
def compose():
    """Composes and checks a verb's config as the command line does."""

    def compose(verb, *words):
        register()
        config = compose_checked(verb, list(words))
        return OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])

    return compose
