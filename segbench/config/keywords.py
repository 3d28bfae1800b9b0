"""Runs commands with values from Python instead of a command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from segbench.config.command_line import override
from segbench.config.compose import read_command, register
from segbench.errors import ConfigError


def run_from_python(
    config_name: str,
    config_dir: str | Path | None,
    keywords: Mapping[str, Any],
    task: Callable[[DictConfig], Any],
) -> Any:
    """Composes the config of a command and runs it in this process; keeps its Hydra state.

    Args:
        config_name: name of the command's config, or of a study.
        config_dir: a further config folder.
        keywords: values by key, as Python objects.
        task: called with the config.

    Raises:
        ConfigError: lists all problems found.
    """
    with _own_hydra():
        register(None if config_dir is None else str(config_dir))
        command = read_command(config_name, list(_words(keywords)))
        if command.sweeps:
            raise ConfigError(
                f"{config_name} is a sweep of several runs; start it by its command, "
                f"segbench train -cn {config_name}"
            )
        config = command.config
        HydraConfig.instance().set_config(config)
        os.environ.update(config.hydra.job.env_set)
        return task(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Saves and restores Hydra's state in the calling program, which may be a Hydra app itself."""
    theirs, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = theirs
        HydraConfig.instance().cfg = config


def _words(keywords: Mapping[str, Any]) -> Iterator[str]:
    """Converts keywords to command-line arguments."""
    for key, value in keywords.items():
        if isinstance(value, Mapping) and "." not in key:
            yield from _words({f"{key}.{name}": item for name, item in value.items()})
            continue
        plain = _plain(value)
        if "${" in str(plain):
            raise ConfigError(f"{key}={plain}: ${{...}} is resolved in YAML files only")
        yield override(key, plain)


def _plain(value: Any) -> Any:
    """Converts a value to YAML types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):  # a NumPy or torch scalar
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(
        f"{value!r} is no value of a config; give texts, numbers, lists or dicts of them. A model "
        "or a loss of yours is named by a YAML file, ./conf/model/NAME.yaml"
    )
