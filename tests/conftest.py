"""What all tests share: one thread, no network, and a training small enough to run in a test."""

from __future__ import annotations

import os

# Before torch or wandb are imported, and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from segbench.config.compose import compose_checked, register

# Two epochs of two steps on 48x64 pixels: about a second.
TINY = (
    "model=unet",
    "model.width=4",
    "model.depth=2",
    "data=streets",
    "data.size=[48,64]",
    "data.train=8",
    "data.val=4",
    "data.test=4",
    "data.frames_per_drive=2",
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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


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
        # Later overrides win, as on a command line; Hydra refuses the same key twice.
        keys = {text.split("=", 1)[0]: text for text in (f"run_dir={tmp_path}/run", *TINY)}
        keys |= {text.split("=", 1)[0]: text for text in overrides}
        config = compose_checked("train", list(keys.values()))
        return config

    return build


@pytest.fixture
def train_tiny(tiny_config: Callable[..., Any]) -> Callable[..., Any]:
    """`train_tiny("seed=1", ...)` trains in this process; returns its Outcome."""
    from omegaconf import OmegaConf

    from segbench.train import train

    def run(*overrides: str) -> Any:
        config = tiny_config(*overrides)
        return train(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))

    return run
