"""The tests of this folder run on a GPU, or are skipped.

python -m pytest -m gpu tests/gpu
SEGBENCH_GPU_TESTS=cpu python -m pytest -m gpu tests/gpu       checks the tests themselves
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.compose import compose_checked, register
from segbench.training.build import build_run
from segbench.training.session import quiet_libraries

ON_CPU = os.environ.get("SEGBENCH_GPU_TESTS") == "cpu"


@pytest.fixture
def device() -> torch.device:
    """The GPU."""
    if ON_CPU:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    return torch.device("cuda")


@pytest.fixture
def train(device: torch.device, tmp_path: Path) -> Callable[..., tuple[Any, Any, Any]]:
    """`train("ema=0.9", callbacks=[...])`: a few steps of a real run; task, data and trainer."""

    def run(*words: str, callbacks: Any = ()) -> tuple[Any, Any, Any]:
        register()
        quiet_libraries()
        base = (
            "model=custom", "data=streets", "data.train=24", "data.val=4", "data.test=4",
            "data.size=[96,128]", "data.crop_size=[96,128]", "data.batch_size=4", "logger=csv",
            "data.num_workers=2", "samples=0", "trainer.max_epochs=2", f"run_dir={tmp_path}/run",
            "trainer.enable_progress_bar=false", "log_every=1000", "data.cache=ram",
            f"trainer.accelerator={'cpu' if device.type == 'cpu' else 'gpu'}",
        )  # fmt: skip
        small = ("model.width=8", "data.train=8", "data.size=[32,48]", "data.crop_size=[32,48]")
        chosen = (*base, *(small if ON_CPU else ()), *words)
        last = {word.lstrip("+").split("=", 1)[0]: word for word in chosen}
        config = compose_checked("train", list(last.values()))
        keys = [str(key) for key in config if key != "hydra"]
        plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
        parts = build_run(plain, RunDirectory(plain["run_dir"]))
        parts.trainer.callbacks += list(callbacks)
        parts.trainer.fit(parts.task, parts.data)
        return parts.task, parts.data, parts.trainer

    return run
