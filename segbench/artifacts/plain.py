"""Values that were read from a file of somebody else: plain, printable, of the expected type."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from segbench.errors import ConfigError

DEEPEST = 16  # mappings and lists within each other
LONGEST_KEY = 200
LONGEST_COMPONENT = 200  # bytes of a name that becomes a folder; file systems take 255
LARGEST = 1 << 53  # integers beyond it are no floats

Nested = Callable[[str, str], None]


def check_plain(value: Any, path: str, nested: Nested | None = None, depth: int = 0) -> None:
    """Raises ConfigError unless a value is plain data.

    Args:
        value: of a config node, or all of an entry.
        path: where it stands, for messages.
        nested: is asked about each `_target_` in it (its path and its text) and raises where none
            may stand; None takes a `_target_` for any other text.
        depth: how deep it stands.
    """
    if depth > DEEPEST:
        raise ConfigError(f"{path[:300]}: nested too deeply")
    if isinstance(value, str):
        if has_control(value, "\n\t"):
            raise ConfigError(f"{path}: has control characters: {value[:80]!r}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int) or len(str(key)) > LONGEST_KEY or has_control(key):
                raise ConfigError(f"{path}: has a key that is no name: {str(key)[:80]!r}")
            if key == "_target_" and nested is not None:
                nested(path, item)
            check_plain(item, f"{path}.{key}", nested, depth + 1)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            check_plain(item, f"{path}[{position}]", nested, depth + 1)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ConfigError(f"{path}: expected a plain value, found a {type(value).__name__}")


def has_control(text: Any, allowed: str = "") -> bool:
    """Whether a text has characters that command a terminal, or halves of characters."""
    return any(unicodedata.category(c) in ("Cc", "Cs") and c not in allowed for c in str(text))


def is_component(text: Any) -> bool:
    """Whether a text is the name of one folder, and no path."""
    return (
        isinstance(text, str)
        and text not in ("", ".", "..")
        and not any(c in "/\\" for c in text)
        and not has_control(text)
        and len(text.encode()) <= LONGEST_COMPONENT
    )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)


def numbers(value: Any) -> list[float]:
    """All numbers in a plain value."""
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []
