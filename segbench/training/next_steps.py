"""The commands that a training suggests when it is over; they work as they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segbench.artifacts.checkpoint import CHECKPOINT_TARGETS
from segbench.config.command_line import command
from segbench.config.places import further_folder


def next_commands(config: Mapping[str, Any], checkpoint: Path) -> list[str]:
    """Commands that use a checkpoint, and one that goes on training.

    Args:
        config: of the training; code of yours in it must be allowed where the checkpoint is read.
        checkpoint: the selected one.
    """
    given = {"ckpt": str(checkpoint)}
    parts = [config.get(key) for key in ("model", "data", "inference")]
    if packages := sorted({target.partition(".")[0] for target in _foreign(parts)}):
        given["allow_targets"] = f"[{','.join(packages)}]"
    folder = further_folder()
    flags = ["--config-dir", str(folder)] if folder else []
    return [
        command("segbench.predict", {**given, "source": "IMAGE_OR_FOLDER"}),
        command("segbench.evaluate", given),
        command("segbench.train", {}, [*flags, "-m"])
        + " model=unet,unet_resnet34 seed=0,1,2     a sweep",
    ]


def _foreign(value: Any) -> Iterator[str]:
    """The targets that a checkpoint may not name unless a person allows it."""
    if isinstance(value, Mapping):
        target = str(value.get("_target_", ""))
        if target and not target.startswith(CHECKPOINT_TARGETS):
            yield target
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _foreign(item)
