"""Reads a checkpoint, and builds its network.

A config comes from the person who runs the command and may name any code. A checkpoint may come
from a stranger: only classes below `CHECKPOINT_TARGETS` are built from it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.artifacts.build import build_model, locate, offline
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError

CHECKPOINT_TARGETS = ("segbench.models.", "segbench.data.", "segbench.inference.")
CHECKPOINT_FORMAT = 1
SHOWN_KEYS = 3  # of each kind that does not fit, in a message


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Reads a segbench checkpoint without running any code from it.

    Raises:
        ConfigError: there is no such file, it is damaged, or another program wrote it.
    """
    path = Path(path)
    if not path.is_file():
        found = "is a folder; name a file in it" if path.is_dir() else "there is no such file"
        raise ConfigError(f"ckpt={path}: {found}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"ckpt={path}: not a checkpoint of plain data; it was refused, nothing of it was run "
            f"({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:  # torch raises almost anything on a file of another kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"ckpt={path}: cannot be read, it is truncated or no checkpoint ({reason})"
        ) from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("segbench"), dict):
        raise ConfigError(
            f"ckpt={path}: was not written by segbench (no 'segbench' entry); to start a training "
            f"from its weights use weights={path}"
        )
    if checkpoint["segbench"].get("format") != CHECKPOINT_FORMAT:
        raise ConfigError(
            f"ckpt={path}: has format {checkpoint['segbench'].get('format')}, this version of "
            f"segbench reads format {CHECKPOINT_FORMAT}"
        )
    return checkpoint


def load_checkpoint(
    path: Path | str, allow_targets: Sequence[str] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a checkpoint, and what is known of it; needs nothing but the file.

    Args:
        path: a `.ckpt` written by `segbench.train`.
        allow_targets: further modules whose classes the checkpoint may name.

    Returns:
        The network in evaluation mode on the CPU, and the `segbench` entry: `config`, `classes`
        (see `ClassSet.from_dict`), `mean`, `std`, `protocol`, `scores`.

    Raises:
        ConfigError: the file cannot be used; the message says why.
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint["segbench"]
    node = offline(meta["config"]["model"])
    check_allowed(node, path, allow_targets)
    classes = ClassSet.from_dict(meta["classes"])
    model = build_model(node, classes.num_classes)
    prefix = "model."
    state = {
        key.removeprefix(prefix): value
        for key, value in checkpoint.get("state_dict", {}).items()
        if key.startswith(prefix)
    }
    if problems := _mismatch(model.state_dict(), state):
        raise ConfigError(
            f"ckpt={path}: weights and network do not match: {problems}. The file was altered, or "
            f"{node['_target_']} has changed since; use the version of segbench that wrote it"
        )
    model.load_state_dict(state)
    if meta["config"].get("channels_last"):  # the layout can change the last bits of a result
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), meta


def _mismatch(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """How many keys do not fit, and the first of each kind; empty if all do."""
    shapes = [
        f"{key} {list(given[key].shape)} for {list(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    kinds = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of another shape": shapes,
    }
    return "; ".join(
        f"{len(keys)} {kind} ({', '.join(keys[:SHOWN_KEYS])}{', ...' * (len(keys) > SHOWN_KEYS)})"
        for kind, keys in kinds.items()
        if keys
    )


def check_allowed(node: Any, where: Path | str, allow: Sequence[str] = ()) -> None:
    """Raises ConfigError if a config from a checkpoint names code outside the allow-list."""
    allowed = (*CHECKPOINT_TARGETS, *(f"{module.rstrip('.')}." for module in allow))
    for target in _targets(node):
        # Names that an allowed module merely imports from elsewhere are not its own.
        own = target.startswith(allowed) and f"{_home(target)}.".startswith(allowed)
        if not own:
            raise ConfigError(
                f"{where}: the checkpoint names code outside segbench, '{target}'; it was not run. "
                f"If you trust it, add allow_targets=[{target.rpartition('.')[0]}]"
            )


def _home(target: str) -> str:
    """The module that defines what a dotted name stands for."""
    return str(getattr(locate(target), "__module__", ""))


def _targets(value: Any) -> Iterator[str]:
    """Every `_target_` in nested mappings and lists."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield str(value["_target_"])
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _targets(item)
