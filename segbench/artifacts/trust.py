"""What may be built from a file: a checkpoint, ONNX file or result is data, not code.

A config on the command line comes from the user and may name any code. A file may come from an
untrusted source. Only the following may be built from it, each in its own place:

    model        a class or function that is the `_target_` of a YAML of conf/model
    data         a class of conf/data
    inference    the class of conf/inference (`Predictor`)

and likewise for the other groups of `conf`, when a benchmark repeats the runs of a study. The
arguments are plain values: numbers, text, booleans, null, and lists and mappings of them. Only the
losses of conf/loss may be nested.

`allow_targets` adds modules that the user trusts. Their classes and functions are allowed in any
of these places, and may nest others from these modules, or whatever a file may name in this place
anyway (a custom model with custom blocks around a U-Net). It never adds anything else of segbench
or of Python's standard library. All of this is decided by name, before anything is imported or
called.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from torch import nn

from segbench.artifacts.build import FOLDS, build_source, instantiate, locate
from segbench.artifacts.offline import offline
from segbench.artifacts.plain import check_plain, numbers
from segbench.config import Config, config_dir
from segbench.config.targets import INJECTED, OF_EVERY_MODEL, PIPELINE, check_node
from segbench.errors import ConfigError
from segbench.inference.predictor import Predictor

LARGEST_NUMBER = 1 << 14  # maximum in the arguments of models: channels, blocks, pixels
LONGEST_LIST = 1 << 10
MOST_PROBLEMS = 3  # listed in a message
# How images were prepared for the model. Apart from the arguments of a source, all other keys say
# how to load and where to cache, which depends on the machine.
SEEN = ("resize", "mean", "std")
# Packages whose classes a run may name in addition to those of `conf`.
_OPEN = {"optimizer": ("torch.optim",), "scheduler": ("torch.optim.lr_scheduler",)}
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_NEVER_ADDED = sys.stdlib_module_names | {"segbench"}


def admit(part: str, node: Any, where: str, allow: Sequence[str] = ()) -> Config:
    """Checks a config node that was read from a file and returns what may be built.

    Args:
        part: its group of `conf`: `model`, `data`, `inference`, ...
        node: the node as read.
        where: the file, for messages.
        allow: `allow_targets`.

    Returns:
        The node; for a model without pretrained weights, for data without settings of the loaders.

    Raises:
        ConfigError: it names other code, or its arguments are not plain values. Nothing was called.
    """
    path = f"{where}: config.{part}"
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"{path}: expected a mapping with a _target_, found {str(node)[:80]!r}")
    target = node["_target_"]
    _check_target(part, target, where, allow)
    trusts = _is_below(target, allow)

    def check_nested(at: str, nested: Any) -> None:
        if at == path:
            return
        if not isinstance(nested, str) or not (trusts or part == "loss"):
            raise ConfigError(
                f"{at}: names {str(nested)[:200]!r}, but a file may only contain plain values "
                "here; it was not run"
            )
        _check_target(part, nested, where, allow)

    check_plain(node, path, check_nested)
    _check_words(node, path)
    admitted = dict(node)
    if part == "data":
        known = {*inspect.signature(locate(target)).parameters, *SEEN, *FOLDS, "_target_"}
        admitted = {key: value for key, value in node.items() if key in known}
    if part == "model":
        _check_model_class(target, where)
        of_target = {key: value for key, value in node.items() if key not in OF_EVERY_MODEL}
        admitted = _without_downloads(offline(of_target), target)
    others = PIPELINE if part == "data" else ()
    problems = check_node(f"config.{part}", admitted, INJECTED.get(part, set()), others)
    problems += [] if trusts or part != "model" else _too_large(admitted)
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return admitted


def construct(part: str, node: Mapping[str, Any], where: str, **injected: Any) -> Any:
    """Builds a node accepted by `admit`, with the injected arguments.

    Raises:
        ConfigError: it cannot be built; with arguments from a file, constructors raise anything.
    """
    try:
        if part == "data":
            return _checked_source(build_source(node), node, where)
        built = instantiate(part, node, **injected)
    except Exception as error:
        if hasattr(error, "exit_code"):  # one of ours, with a message for users
            raise
        reason = (str(error).splitlines() or [""])[0][:300]
        raise ConfigError(
            f"{where}: config.{part}: {node['_target_']} cannot be built with these arguments "
            f"({type(error).__name__}: {reason})"
        ) from None
    expected = {"model": nn.Module, "inference": Predictor}[part]
    if not isinstance(built, expected):
        raise ConfigError(
            f"{where}: config.{part}: {node['_target_']} builds a {type(built).__name__}, not a "
            f"{expected.__name__}"
        )
    return built


def _checked_source(source: Any, node: Mapping[str, Any], where: str) -> Any:
    methods = ("records", "read", "fingerprint_key")
    if missing := [name for name in methods if not callable(getattr(source, name, None))]:
        raise ConfigError(
            f"{where}: config.data: {node['_target_']} does not build a data source (it lacks "
            f"{', '.join(missing)})"
        )
    return source


def is_shipped(part: str, target: str) -> bool:
    """Whether a YAML file in a group of `conf` contains a target."""
    return target in _of_conf(part)


@cache
def _of_conf(part: str) -> frozenset[str]:
    """Every `_target_` in the YAML files of a config group."""
    texts = [file.read_text(encoding="utf-8") for file in (config_dir() / part).glob("*.yaml")]
    return frozenset(t for text in texts for t in re.findall(r"^[ -]*_target_: *(\S+)", text, re.M))


def _check_target(part: str, target: str, where: str, allow: Sequence[str]) -> None:
    """Raises ConfigError unless a file may name this target in this place."""
    if is_shipped(part, target) or (_DOTTED.fullmatch(target) and _is_trusted(part, target, allow)):
        return
    module = target.rpartition(".")[0]
    remedy = ""
    if module and _DOTTED.fullmatch(target) and module.partition(".")[0] not in _NEVER_ADDED:
        remedy = f". If you know this code and trust it, add 'allow_targets=[{module}]'"
    raise ConfigError(
        f"{where}: names code that is not in conf/{part}, {target[:200]!r}, as its {part}; it "
        f"was not run{remedy}"
    )


def _is_trusted(part: str, target: str, allow: Sequence[str]) -> bool:
    """Whether the user trusts a target; only then is its module imported."""
    is_open = target.rpartition(".")[0] in _OPEN.get(part, ())
    if not is_open and not _is_below(target, allow):
        return False
    found = locate(target)
    # A name that a trusted module merely imports from elsewhere does not belong to it.
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__name__', '')}"
    if is_open:
        return inspect.isclass(found) and _is_below(home, _OPEN[part])
    return (inspect.isclass(found) or inspect.isfunction(found)) and _is_below(home, allow)


def _is_below(target: str, modules: Sequence[str]) -> bool:
    """Whether a dotted name is, or is in, one of the modules (or names) that the user trusts."""
    if target.partition(".")[0] in _NEVER_ADDED:
        return False
    return any(target == m or target.startswith(f"{m}.") for m in (m.rstrip(".") for m in modules))


def _check_words(node: Mapping[str, Any], path: str) -> None:
    """Raises ConfigError for text that Hydra would interpret: interpolations, its own keys."""
    for key, value in node.items():
        if str(key)[:1] == "_" and key != "_target_":
            raise ConfigError(f"{path}: the key '{key}' is not allowed in a file")
        if "${" in repr(value):
            raise ConfigError(
                f"{path}.{key}: contains an interpolation, which is not resolved here"
            )


def _check_model_class(target: str, where: str) -> None:
    factory = locate(target)
    if inspect.isclass(factory) and not issubclass(factory, nn.Module):
        raise ConfigError(
            f"{where}: config.model: {target} is not a torch.nn.Module; it was not run"
        )


def _without_downloads(node: Config, target: str) -> Config:
    """Also turns off the pretrained weights that a model loads by default."""
    parameters = inspect.signature(locate(target)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    changed = {key: value for key, value in offline(defaults).items() if value is not defaults[key]}
    return changed | node


def _too_large(node: Mapping[str, Any]) -> list[str]:
    problems = [
        f"config.model.{key}: {len(value)} values are more than any model takes"
        for key, value in node.items()
        if isinstance(value, list) and len(value) > LONGEST_LIST
    ]
    problems += [
        f"config.model.{key}: {str(number)[:40]} is more than any model takes"
        for key, value in node.items()
        for number in numbers(value)
        if not abs(number) <= LARGEST_NUMBER  # also true for NaN
    ]
    return problems[:MOST_PROBLEMS]
