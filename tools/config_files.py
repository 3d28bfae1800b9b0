"""Reads the YAML files of conf/ with their comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from segbench.config import config_dir

GROUPS = (
    "data", "model", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks", "augment",
    "inference", "recipe",
)  # fmt: skip
_BESIDE = re.compile(r"^\s*(\w+):(?:\s.*?)?\s#\s?(.*)$")


@dataclass(frozen=True)
class Option:
    """A file of a config group.

    Attributes:
        group, name: GROUP=NAME chooses it.
        head: the comment at its top.
        values: its keys, with those of the files that it inherits from.
        comments: the comment beside each key.
        base: the option of the same group that it inherits from.
    """

    group: str
    name: str
    head: str
    values: Mapping[str, Any]
    comments: Mapping[str, str]
    base: str | None = None


def options(group: str) -> dict[str, Option]:
    """The options of a config group by name."""
    return {f.stem: option(group, f.stem) for f in sorted((config_dir() / group).glob("*.yaml"))}


def option(group: str, name: str) -> Option:
    """One option; the keys of a data set are its own, without those of the pipeline."""
    text = _text(f"{group}/{name}")
    read = yaml.safe_load(text) or {}
    bases = [b for b in read.pop("defaults", []) if isinstance(b, str) and b != "_self_"]
    head, comments = " ".join(_head(text)), _comments(text)
    if not bases:
        return Option(group, name, head, read, comments)
    below = option(group, bases[0])
    values, comments = {**below.values, **read}, {**below.comments, **comments}
    return Option(group, name, head, values, comments, below.name)


def verb_yaml(verb: str) -> dict[str, Any]:
    """What the YAML of a verb sets: chosen options by group, and values."""
    read: dict[str, Any] = yaml.safe_load(_text(verb))
    chosen = {key: d[key] for d in read["defaults"] if isinstance(d, dict) for key in d}
    values = {key: value for key, value in read.items() if not isinstance(value, list | dict)}
    return {key: value for key, value in chosen.items() if key in GROUPS} | values


def node_of(verb: str, name: str) -> Option:
    """What the YAML of a verb sets below a group, for all its options."""
    text = _text(verb)
    return Option(name, "", "", yaml.safe_load(text)[name], _comments(text))


def _text(name: str) -> str:
    return (config_dir() / f"{name}.yaml").read_text(encoding="utf-8")


def _head(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# @package"):
            yield line.removeprefix("#").strip()


def _comments(text: str) -> dict[str, str]:
    found = (_BESIDE.match(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}
