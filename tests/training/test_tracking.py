"""W&B: what it does not accept is adapted or reported, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError
from segbench.training.tracking import LONGEST_TAG, wandb_arguments

wandb = pytest.importorskip("wandb")
NODE = {"_target_": "pytorch_lightning.loggers.WandbLogger"}


def test_the_id_is_kept_and_tags_are_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    node = {**NODE, "tags": ["mine", "x" * 100]}
    first = wandb_arguments(node, RunDirectory(tmp_path))
    assert first["mode"] == "offline"
    assert first["tags"] == ["mine", "x" * LONGEST_TAG]
    assert wandb_arguments(node, RunDirectory(tmp_path))["id"] == first["id"]


def test_a_server_that_does_not_respond_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(**_: Any) -> bool:
        raise wandb.errors.AuthenticationError("no route to host")

    monkeypatch.setattr(wandb, "login", login)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ConfigError, match=r"no route to host.*WANDB_MODE=offline.*logger=csv"):
        wandb_arguments(NODE, RunDirectory(tmp_path))


def test_what_a_logger_refuses_is_reported(
    train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(ConfigError, match=r"logger\.wandb could not be started: .*'a/b'"):
        train_tiny("logger=wandb", "logger.wandb.project=a/b")
