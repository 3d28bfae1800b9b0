"""Commands that a training suggests when it ends; they can be run as printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segbench.artifacts.trust import is_shipped
from segbench.config.command_line import command
from segbench.config.places import further_folder


def next_commands(config: Mapping[str, Any], checkpoint: Path) -> list[str]:
    """Commands that use a checkpoint, and one that continues the training.

    Args:
        config: config of the training; its own code must be allowed when the checkpoint is read.
        checkpoint: the selected checkpoint.
    """
    given = {"ckpt": str(checkpoint)}
    parts = ("model", "data", "inference")
    targets = {target for part in parts for target in _foreign(part, config.get(part))}
    if packages := sorted({target.partition(".")[0] for target in targets}):
        given["allow_targets"] = f"[{','.join(packages)}]"
    folder = further_folder()
    flags = ["--config-dir", str(folder)] if folder else []
    return [
        command("segbench.predict", {**given, "source": "IMAGE_OR_FOLDER"}),
        command("segbench.evaluate", given),
        command("segbench.train", {}, [*flags, "-m"])
        + " model=unet,unet_resnet34 seed=0,1,2     a sweep",
    ]


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
