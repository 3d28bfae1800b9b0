"""What plugs into the trainer, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import (
    ConfigError,
)

Train = Callable[..., Any]


ONE = ("trainer.max_epochs=1", "data.cache=none")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def test_lightning_and_custom_callbacks_plug_in(train_tiny: Train, run: RunDirectory) -> None:
    train_tiny(*ONE, "callbacks=[gradient_norm,lr_monitor]")
    assert "train/grad_norm" in run.metrics_file.read_text().splitlines()[0]
    (steps,) = run.path.glob("csv/*/metrics.csv")
    header = steps.read_text().splitlines()[0].split(",")
    assert any(column.startswith("lr-") for column in header)
    assert set(run.read_result().config["callbacks"]) == {"gradient_norm", "lr_monitor"}


def test_an_object_that_is_not_a_callback_is_refused(train_tiny: Train) -> None:
    words = ("+callbacks.mine._target_=torch.nn.Identity", "allow_targets=[torch]")
    with pytest.raises(ConfigError, match=r"callbacks\.mine: .* is not a Lightning callback"):
        train_tiny(*ONE, *words)
