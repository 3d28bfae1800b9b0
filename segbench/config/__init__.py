"""Configuration: where configs are, how they are composed and checked, how a verb is started."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.errors import ConfigError
from segbench.system.shipped import shipped
from segbench.system.storage import FULL

if TYPE_CHECKING:
    from omegaconf import DictConfig

Config = dict[str, Any]  # a resolved config or a node of one; keys are checked when composed


def config_dir() -> Path:
    """The directory of `train.yaml` and the config groups, in a checkout or in a wheel."""
    return shipped("conf")


def studies_dir() -> Path:
    """The directory of the study files, in a checkout or in a wheel."""
    return shipped("experiments")


def without_hydra(config: DictConfig) -> DictConfig:
    """A composed config without the node that is Hydra's own."""
    from omegaconf import OmegaConf

    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def resolved(config: DictConfig) -> Config:
    """A composed config as plain dicts and lists, without the node that is Hydra's own."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(without_hydra(config), resolve=True)  # type: ignore[return-value]


def leaves(value: object, path: str = "") -> dict[str, object]:
    """The values of nested mappings by dotted path."""
    if not isinstance(value, Mapping):
        return {path: value}
    found: dict[str, object] = {}
    for key, item in value.items():
        found |= leaves(item, f"{path}.{key}" if path else str(key))
    return found


def make_folder(key: str, folder: str | Path) -> Path:
    """Creates the folder that an option names; verbs call it before hours of work.

    Raises:
        ConfigError: it cannot be created or written to.
        OSError: the disk is full.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        reason = "it is a file" if folder.is_file() else error.strerror
        raise ConfigError(f"{key}={folder}: cannot be created ({reason})") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{key}={folder}: cannot be written to")
    return folder


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A hint like `; did you mean 'width'?`, or the list of options if nothing is close."""
    options = sorted(options)
    if near := nearest(word, options):
        return f"; did you mean '{near}'?"
    return f"; known: {', '.join(options)}" if options else ""


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that is spelled most like a word, upper and lower case being alike; or None."""
    lowered = {option.casefold(): option for option in options}
    close = difflib.get_close_matches(word.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None
