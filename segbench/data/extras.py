"""Packages that only some data sets need, imported when one of them is read."""

from __future__ import annotations

import importlib
from typing import Any

from segbench.errors import ConfigError


def needed(module: str, extra: str, purpose: str) -> Any:
    """Imports a package of an extra.

    Args:
        module: its dotted name.
        extra: the extra of segbench that installs it.
        purpose: what it is needed for, as the start of a sentence.

    Raises:
        ConfigError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(
            f"{purpose} needs the package {package} ({error}): pip install 'segbench[{extra}]'"
        ) from None
