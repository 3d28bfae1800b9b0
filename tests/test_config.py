"""Every config of the project fits the code, and a wrong one is explained, all at once, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segbench.config import ConfigError, config_dir, did_you_mean, studies_dir
from segbench.config.compose import compose_checked, register

VERBS = sorted(file.stem for file in config_dir().glob("*.yaml"))
STUDIES = sorted(file.stem for file in studies_dir().glob("*.yaml"))
# What an option needs besides itself: a data set with a root of its own has no default for it.
NEEDS = {
    "data=folder": ["data.root=somewhere"],
    "inference=tta": [],
}
# Groups that only make sense for other verbs than train, or that others of their group include.
GROUPS = sorted(
    folder.name
    for folder in config_dir().iterdir()
    if folder.is_dir() and folder.name not in ("pipeline", "hydra")
)
TRAIN_GROUPS = [line.split()[-2] for line in ()]


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def _options(group: str) -> list[str]:
    return sorted(file.stem for file in (config_dir() / group).glob("*.yaml"))


def _is_train_group(group: str) -> bool:
    text = (config_dir() / "train.yaml").read_text()
    return f"- {group}:" in text or group == "recipe"


def problems(*overrides: str, name: str = "train", multirun: bool = False) -> str:
    """The message that a command gets."""
    with pytest.raises(ConfigError) as caught:
        compose_checked(name, list(overrides), multirun)
    return str(caught.value)
