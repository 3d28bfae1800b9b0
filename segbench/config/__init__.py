"""Configuration: where configs are, how they are composed and checked, how a verb is started."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segbench.errors import ConfigError
from segbench.system.shipped import shipped
from segbench.system.storage import FULL

Config = dict[str, Any]  # a resolved config or a node of one; keys are checked when composed


def config_dir() -> Path:
    """The directory of `train.yaml` and the config groups, in a checkout or in a wheel."""
    return shipped("conf")


def studies_dir() -> Path:
    """The directory of the study files, in a checkout or in a wheel."""
    return shipped("experiments")


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
        raise ConfigError(f"{key}={folder}: cannot be created ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{key}={folder}: cannot be written to")
    return folder


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A hint like `; did you mean 'width'?`, or the list of options if nothing is close."""
    options = sorted(options)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(options)}" if options else ""
