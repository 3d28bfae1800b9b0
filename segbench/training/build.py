"""Builds the parts of a run from its config, and a network from its checkpoint.

A config comes from the person who runs the command and may name any code. A checkpoint may come
from a stranger: only classes below `CHECKPOINT_TARGETS` are built from it.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.config import ConfigError, did_you_mean
from segbench.data.classes import ClassSet, DataError

CHECKPOINT_TARGETS = ("segbench.models.", "segbench.data.", "segbench.inference.")
CHECKPOINT_FORMAT = 1
SHOWN_KEYS = 3  # of each kind that does not fit, in a message


def instantiate(node: Mapping[str, Any], **injected: Any) -> Any:
    """Calls the `_target_` of a config node with its other keys and the injected arguments.

    Nested nodes with a `_target_` are built first; an injected argument reaches whatever names it
    among its parameters, and the outermost target also if it takes any keyword.

    Raises:
        ConfigError: the target cannot be imported, does not take an argument, or refuses a value.
    """
    return _instantiate(node, injected, outermost=True)


def _instantiate(node: Mapping[str, Any], injected: Mapping[str, Any], outermost: bool) -> Any:
    target = str(node["_target_"])
    factory = locate(target)
    signature = inspect.signature(factory)
    arguments = {
        str(key): _instantiate_nested(value, injected)
        for key, value in node.items()
        if key != "_target_"
    }
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    takes_all = outermost and inspect.Parameter.VAR_KEYWORD in kinds
    arguments |= {k: v for k, v in injected.items() if takes_all or k in signature.parameters}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{target}: {error}; it takes {signature}") from None
    try:
        return factory(**arguments)
    except (ValueError, TypeError, ImportError) as error:  # ImportError: an extra is missing
        raise ConfigError(f"{target}: {error}") from error


def _instantiate_nested(value: Any, injected: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _instantiate(value, injected, outermost=False)
        return {key: _instantiate_nested(item, injected) for key, item in value.items()}
    if isinstance(value, list):
        return [_instantiate_nested(item, injected) for item in value]
    return value


def locate(target: str) -> Any:
    """Imports a dotted name."""
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ConfigError(f"_target_ '{target}' is not a dotted path like package.module.Class")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"_target_ {target}: cannot import '{module_name}' ({error})") from error
    if not hasattr(module, name):
        hint = did_you_mean(name, [entry for entry in vars(module) if entry[0] != "_"])
        raise ConfigError(f"_target_ {target}: '{module_name}' has no '{name}'{hint}")
    return getattr(module, name)


def build_source(data: Mapping[str, Any]) -> Any:
    """The data source of a `data` config: its keys without those of the loaders."""
    factory = locate(str(data["_target_"]))
    known = inspect.signature(factory).parameters
    return instantiate({k: v for k, v in data.items() if k == "_target_" or k in known})


def build_datamodule(data: Mapping[str, Any], source: Any, seed: int) -> Any:
    """The LightningDataModule around a source: the keys of `data` that are not the source's."""
    from segbench.data.datamodule import SegmentationData

    of_source = inspect.signature(locate(str(data["_target_"]))).parameters
    rest = {k: v for k, v in data.items() if k != "_target_" and k not in of_source}
    try:
        return SegmentationData(source=source, seed=seed, **rest)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"data: {error}") from error


def build_model(node: Mapping[str, Any], num_classes: int) -> nn.Module:
    """The network, with random weights unless its config names pretrained ones."""
    model = instantiate(node, num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model._target_ {node['_target_']} builds no torch.nn.Module")
    return model


def build_loss(
    node: Mapping[str, Any], classes: ClassSet, class_weights: Mapping[str, Sequence[float]]
) -> nn.Module:
    """The loss.

    Args:
        node: config; `class_weights` in it may be a list or a name such as `median_frequency`.
        classes: gives `ignore_index`.
        class_weights: the weights of every name that the config uses.
    """
    return instantiate(_with_numbers(node, class_weights), ignore_index=classes.ignore_index)


def class_weight_names(node: Any) -> set[str]:
    """The names of class weights that a loss config asks for."""
    if not isinstance(node, Mapping):
        return set()
    own = node.get("class_weights")
    below = [class_weight_names(value) for value in node.values()]
    return ({own} if isinstance(own, str) else set()).union(*below)


def _with_numbers(node: Any, class_weights: Mapping[str, Sequence[float]]) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {
        key: list(class_weights[value])
        if key == "class_weights" and isinstance(value, str)
        else _with_numbers(value, class_weights)
        for key, value in node.items()
    }


def on_cpu(accelerator: str) -> bool:
    """Whether `trainer.accelerator` means the CPU on this machine."""
    return accelerator == "cpu" or not torch.cuda.is_available()


def resolve_precision(precision: str, accelerator: str) -> str:
    """What `precision: auto` means on this machine: Lightning's name of it."""
    if precision != "auto":
        return precision
    if on_cpu(accelerator):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


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
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"ckpt={path}: cannot be read, it is truncated or no checkpoint ({reason})"
        ) from None
    if not isinstance(checkpoint, dict) or "segbench" not in checkpoint:
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


def offline(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model config without its pretrained weights: a checkpoint brings its own."""
    return {key: None if key == "encoder_weights" else value for key, value in model.items()}


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


def check_num_classes(classes: ClassSet) -> None:
    """Raises DataError where there is nothing to tell apart."""
    if classes.num_classes < 2:
        raise DataError(
            f"the data set has one class ({classes.names[0]}); add the background as a class"
        )
