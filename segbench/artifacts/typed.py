"""Converts plain values from a file to frozen dataclasses, with checks, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from segbench.errors import ResultError

T = TypeVar("T")


def read_as(kind: type[T], value: object) -> T:
    """Reads a dataclass from a mapping of its fields; unknown keys are ignored.

    Args:
        kind: the dataclass; its annotations define what each field accepts.
        value: the content of a JSON or YAML file.

    Raises:
        ResultError: names the path of the first wrong field, and what it accepts.
    """
    try:
        return _adapter(kind).validate_python(value)  # type: ignore[no-any-return, arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")[:200]
        what = first["msg"].removeprefix("Value error, ")
        what = what.replace("Input should be", "must be").replace("Field required", "is missing")
        raise ResultError(f"{where}: {what}" if where else what) from None
    except RecursionError:
        raise ResultError("is nested too deeply") from None


def plain(value: Any) -> Any:
    """Converts dataclasses to dicts of all their fields and tuples to lists, for JSON and YAML."""
    if is_dataclass(value):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def known(part: T | None) -> T:
    """Returns a part of a result that must not be None at this point."""
    assert part is not None, "this part of the result is not available yet"
    return part


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
