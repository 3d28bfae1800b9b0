"""Fields of a schema that take only some values, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, field, fields, is_dataclass
from typing import Any

LARGEST_SEED = 2**32 - 1


def choice(*options: str) -> Any:
    """A string field that must be one of `options`; the first is the default."""
    return field(default=options[0], metadata={"choices": options})


def within(default: float | None, low: float, high: float | None = None) -> Any:
    """A number field of at least `low`, and at most `high` if that is given, or null."""
    return field(default=default, metadata={"low": low, "high": high})


def wrong_values(config: Mapping[str, Any], schema: type | None) -> list[str]:
    """One sentence for each key whose value its field does not take."""
    entries = fields(schema) if is_dataclass(schema) else ()
    problems = (_problem(entry, config.get(entry.name)) for entry in entries)
    return [problem for problem in problems if problem]


def _problem(entry: Field[Any], value: Any) -> str | None:
    options, low = entry.metadata.get("choices"), entry.metadata.get("low")
    if options and value not in options:
        return f"{entry.name}: '{value}' is not one of {', '.join(options)}"
    if low is None or value is None:
        return None
    high = entry.metadata["high"]
    if low <= value and (high is None or value <= high):  # false for NaN
        return None
    limits = f"at least {low}" if high is None else f"between {low} and {high}"
    return f"{entry.name}: must be {limits}, got {value}"
