"""Reads a checkpoint and builds its model.

A checkpoint may come from an untrusted source, so it is treated as data. `trust` defines what may
be built from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segbench.artifacts.build import of_channels
from segbench.artifacts.entry import Entry, check_entry, stored_bands
from segbench.artifacts.trust import admit, construct
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, first_few
from segbench.models.weight_files import not_finite, read_plain

SHOWN_KEYS = 3  # mismatched keys of each kind listed in a message
# A model is first built with random weights. Limits on what it may allocate for them beyond twice
# the contents of the file, for parts that a builder creates and then drops.
SPARE_NUMBERS, SPARE_TENSORS = 1 << 24, 1 << 12


class Checkpoint(TypedDict):
    """What a checkpoint contains; `epoch`, from 0, only if it is not a small one."""

    segbench: Entry
    state_dict: dict[str, Tensor]
    epoch: NotRequired[int]


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Reads a segbench checkpoint without running any code from it.

    Raises:
        ConfigError: the file does not exist, is damaged or altered, or is from another program.
    """
    path = Path(path)
    if not path.is_file():
        found = "is a folder; name a file in it" if path.is_dir() else "there is no such file"
        raise ConfigError(f"ckpt={path}: {found}")
    try:
        checkpoint = read_plain(path)
    except ValueError as error:
        raise ConfigError(f"ckpt={path}: {error}") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("segbench"), dict):
        raise ConfigError(
            f"ckpt={path}: was not written by segbench (it has no 'segbench' entry); to start "
            f"training from its weights, set weights={path}"
        )
    check_entry(checkpoint["segbench"], f"ckpt={path}")
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ConfigError(f"ckpt={path}: has no state_dict of tensors; the file was altered")
    return cast(Checkpoint, checkpoint)


def load_checkpoint(path: Path | str, allow_targets: Sequence[str] = ()) -> tuple[nn.Module, Entry]:
    """Loads the trained model of a checkpoint and its metadata; needs nothing but the file.

    Args:
        path: a `.ckpt` written by `segbench.train`.
        allow_targets: modules that the user trusts, see `trust`.

    Returns:
        The model in evaluation mode on the CPU, and the `segbench` entry: `config`, `classes` (see
        `ClassSet.from_dict`), `mean`, `std`, `protocol`, `scores`.

    Raises:
        ConfigError: the file cannot be used; the message says why.
    """
    checkpoint = read_checkpoint(path)
    meta, where = checkpoint["segbench"], f"ckpt={path}"
    prefix = "model."
    state = {
        key.removeprefix(prefix): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith(prefix)
    }
    if problem := not_finite(state):
        raise ConfigError(f"{where}: {problem}")
    node = admit("model", meta["config"]["model"], where, allow_targets)
    num_classes = ClassSet.from_dict(meta["classes"]).num_classes
    channels = of_channels(stored_bands(meta).count)
    with _AllottedMemory(state):
        model = construct("model", node, where, num_classes=num_classes, **channels)
    if problems := _mismatch(model.state_dict(), state):
        raise ConfigError(
            f"ckpt={path}: weights and model do not match: {problems}. The file was altered, or "
            f"{node['_target_']} has changed since; use the version of segbench that wrote it"
        )
    model.load_state_dict(state)
    if meta["config"].get("channels_last"):  # the memory format can change the last bits
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), meta


def _mismatch(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """The number of keys that do not match and the first of each kind; empty if all match."""
    shapes = [
        f"{key} {list(given[key].shape)} for {list(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    kinds = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of a different shape": shapes,
    }
    return "; ".join(
        f"{len(keys)} {kind} ({first_few(keys, SHOWN_KEYS)})"
        for kind, keys in kinds.items()
        if keys
    )


class _AllottedMemory(TorchFunctionMode):
    """Stops the construction of a model that is far larger than the weights of the file.

    A config such as `width: 1000000` then costs neither memory nor minutes.
    """

    _MAKERS = frozenset(
        getattr(torch, name)
        for name in ("empty", "zeros", "ones", "full", "rand", "randn", "linspace", "arange", "eye")
    )

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.numbers = 2 * sum(value.numel() for value in state.values()) + SPARE_NUMBERS
        self.tensors = 2 * len(state) + SPARE_TENSORS

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in self._MAKERS:
            self.tensors -= 1
            self.numbers -= func(*args, **{**given, "device": "meta"}).numel()
            if min(self.numbers, self.tensors) < 0:
                raise ConfigError(
                    "the config of the checkpoint describes a model far larger than its "
                    "weights, so the file was altered; nothing was loaded"
                )
        return func(*args, **given)
