"""Commands that a training suggests when it ends; they can be run as printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segbench.artifacts.trust import is_shipped
from segbench.config.command_line import command
from segbench.config.repetition import sweep_command


def next_commands(config: Mapping[str, Any], checkpoint: Path) -> list[str]:
    """Commands that use a checkpoint, and one that repeats the training in a sweep.

    Args:
        config: config of the training; its own code must be allowed when the checkpoint is read.
        checkpoint: the selected checkpoint.
    """
    given = {"ckpt": str(checkpoint)}
    if packages := foreign_packages(config):
        given["allow_targets"] = f"[{','.join(packages)}]"
    return [
        command("segbench.predict", {**given, "source": "IMAGE_OR_FOLDER"}),
        command("segbench.evaluate", given),
        sweep_command(config),
    ]


def foreign_packages(config: Mapping[str, Any]) -> list[str]:
    """The packages outside of segbench that a checkpoint with this config runs, if allowed."""
    parts = ("model", "data", "inference")
    targets = {target for part in parts for target in _foreign(part, config.get(part))}
    return sorted({target.partition(".")[0] for target in targets})


def _foreign(part: str, value: Any) -> Iterator[str]:
    """The targets that a checkpoint may not name unless the user allows it."""
    if isinstance(value, Mapping):
        target = str(value.get("_target_", ""))
        if target and not is_shipped(part, target):
            yield target
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _foreign(part, item)
