"""Schema fields that accept only some values, and messages about the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING

LARGEST_SEED = 2**32 - 1


def choice(*options: str) -> Any:
    """A string field that must be one of `options`; the first is the default."""
    return field(default=options[0], metadata={"choices": options})


def within(default: float | None, low: float, high: float | None = None) -> Any:
    """A number field of at least `low` and, if given, at most `high`, or null."""
    return field(default=default, metadata={"low": low, "high": high})


def path(default: Any = MISSING) -> Any:
    """A field that names a file or folder; a leading `~` is the home directory."""
    return field(default=default, metadata={"path": True})


def path_keys(schema: type | None) -> list[str]:
    """The keys of the fields that name a file or folder."""
    entries = fields(schema) if is_dataclass(schema) else ()
    return [entry.name for entry in entries if entry.metadata.get("path")]


def wrong_values(config: Mapping[str, Any], schema: type | None) -> list[str]:
    """One message for each key whose value its field does not accept."""
    entries = fields(schema) if is_dataclass(schema) else ()
    problems = (_problem(entry, config[entry.name]) for entry in entries if entry.name in config)
    return [problem for problem in problems if problem]


def removed(config: Mapping[str, Any], schema: type | None) -> list[str]:
    """One message for each key that the command line removed with `~KEY`."""
    names = [entry.name for entry in fields(schema)] if is_dataclass(schema) else []
    there = list(config)  # includes keys without a value yet, which `in` omits
    return [
        f"{name}: was removed (~{name}), but it is required; set it to a value instead"
        for name in names
        if name not in there
    ]


def _problem(entry: Field[Any], value: Any) -> str | None:
    options, low = entry.metadata.get("choices"), entry.metadata.get("low")
    if options and value not in options:
        return f"{entry.name}: '{value}' is not one of {', '.join(options)}"
    if low is None or value is None or value == MISSING:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):  # by interpolation
        return f"{entry.name}: expected a number, got {value!r}"
    high = entry.metadata["high"]
    if low <= value and (high is None or value <= high):  # false for NaN
        return None
    limits = f"at least {low}" if high is None else f"between {low} and {high}"
    return f"{entry.name}: must be {limits}, got {value}"
