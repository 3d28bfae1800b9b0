"""Model configs that load nothing, for networks whose weights come from a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from segbench.config import Config

# Arguments with such names load their value: pretrained weights, files, addresses.
LOADS = re.compile(
    r"^pretrained|(^|_)(weights|pretrained|checkpoint|ckpt)(_|$)|(^|_)(path|file|url|repo|hub)$"
)


def offline(model: Mapping[str, Any]) -> Config:
    """Model config without anything to load, because a checkpoint has its own weights.

    Arguments named like weights, a file or an address (`encoder_weights`, `pretrained`,
    `checkpoint_path`, `url`) become null, or false if they are true; numbers stay.
    """
    return {str(key): _offline(str(key), value) for key, value in model.items()}


def _offline(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return offline(value)
    if isinstance(value, list):
        return [_offline(key, item) for item in value]
    if value is None or (isinstance(value, int | float) and value is not True):
        return value
    if LOADS.search(key):
        return False if value is True else None
    return value
