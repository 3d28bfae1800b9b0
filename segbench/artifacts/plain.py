"""Checks that values read from an untrusted file are plain, printable and of the right type."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from segbench.errors import ConfigError

DEEPEST = 16  # maximum nesting of mappings and lists
LONGEST_KEY = 200
LONGEST_COMPONENT = 200  # bytes of a name that becomes a folder; file systems allow 255
LARGEST = 1 << 53  # larger integers are not exact as floats

Nested = Callable[[str, str], None]


def check_plain(value: Any, path: str, nested: Nested | None = None, depth: int = 0) -> None:
    """Raises ConfigError unless a value is plain data.

    Args:
        value: a config node, or a whole entry.
        path: where the value is, for messages.
        nested: called for each `_target_` with its path and text; raises if none is allowed there.
            With None, a `_target_` is treated as any other text.
        depth: current nesting depth.
    """
    if depth > DEEPEST:
        raise ConfigError(f"{path[:300]}: nested too deeply")
    if isinstance(value, str):
        if has_control(value, "\n\t"):
            raise ConfigError(f"{path}: contains control characters: {value[:80]!r}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int) or len(str(key)) > LONGEST_KEY or has_control(key):
                raise ConfigError(f"{path}: contains a key that is not a name: {str(key)[:80]!r}")
            if key == "_target_" and nested is not None:
                nested(path, item)
            check_plain(item, f"{path}.{key}", nested, depth + 1)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            check_plain(item, f"{path}[{position}]", nested, depth + 1)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ConfigError(f"{path}: expected a plain value, found a {type(value).__name__}")


def has_control(text: Any, allowed: str = "") -> bool:
    """Whether a text contains control characters of terminals, or unpaired surrogates."""
    return any(unicodedata.category(c) in ("Cc", "Cs") and c not in allowed for c in str(text))


def is_component(text: Any) -> bool:
    """Whether a text is the name of a single folder, not a path."""
    return (
        isinstance(text, str)
        and text not in ("", ".", "..")
        and not any(c in "/\\" for c in text)
        and not has_control(text)
        and len(text.encode()) <= LONGEST_COMPONENT
    )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number and not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)


def mapping_at(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping at a key of a config that was read from a file; empty if there is none."""
    found = config.get(key)
    return found if isinstance(found, Mapping) else {}


def numbers(value: Any) -> list[float]:
    """All numbers in a plain value."""
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def with_texts(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """Nested values in which each text is what `change` makes of its key and itself."""
    if isinstance(value, Mapping):
        return {name: with_texts(item, change, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [with_texts(item, change, key) for item in value]
    return change(key, value) if isinstance(value, str) else value
