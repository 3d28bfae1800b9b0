"""Checks the values of a composed config and reports each problem in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segbench.config import did_you_mean, resolved, without_hydra
from segbench.config.compare_schema import CompareConfig
from segbench.config.extras import missing_extras
from segbench.config.fields import removed, wrong_values
from segbench.config.messages import not_set
from segbench.config.targets import INJECTED, PIPELINE, check_targets
from segbench.system.storage import is_portable

# Names of class-weight rules; the weights are computed from the training masks (data/balance.py).
CLASS_WEIGHT_RULES = ("median_frequency", "enet", "effective_number")


# OpenCV's warps use 16-bit pixel coordinates; the area is that of the largest image that is read.
LONGEST_SIDE, LARGEST_AREA = 32_767, 178_000_000
LARGEST_INTEGER = 2**63 - 1


def check_values(config: DictConfig) -> list[str]:
    """Finds missing values, broken interpolations, impossible numbers and wrong target arguments.

    Args:
        config: the composed config, with Hydra's own node, to which `${hydra:...}` refers.
    """
    HydraConfig.instance().set_config(config)
    verb_schema = OmegaConf.get_type(config)
    if problems := removed(config, verb_schema) or list(unresolved(config).values()):
        return problems
    config = without_hydra(config)
    problems = [not_set(key) for key in sorted(OmegaConf.missing_keys(config))]
    problems += [f"{key}: is empty" for key in ("study", "name") if config.get(key) == ""]
    values = resolved(config)
    problems += _not_portable(values)
    missing = {problem.split(":")[0] for problem in problems}
    forget_class_weight_rules(values.get("loss"))
    problems += _without_target(values)
    found = check_targets(values, INJECTED, beside={"data": PIPELINE})
    problems += [text for text in found if text.split(":")[0] not in missing]
    problems += wrong_values(values, verb_schema)
    problems += wrong_numbers(values) + _wrong_sizes(values) + _endless(values)
    return problems + missing_extras(values) + _check_report(values.get("compare"))


def unresolved(config: DictConfig | ListConfig, path: str = "") -> dict[str, str]:
    """For each reason why interpolations fail, a sentence with the first one that fails."""
    problems: dict[str, str] = {}
    keys = range(len(config)) if isinstance(config, ListConfig) else list(config)
    for key in keys:
        where = f"{path}.{key}".lstrip(".")
        if where == "hydra":
            continue
        try:
            value = None if OmegaConf.is_missing(config, key) else config[key]
        except (OmegaConfBaseException, RecursionError) as error:
            node: Any = config._get_node(key)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = re.sub(r"^While dereferencing interpolation '.*?': ", "", reason)
            problems.setdefault(reason, f"{where}: {node._value()}: {reason}")
            continue
        if isinstance(value, DictConfig | ListConfig):
            problems = unresolved(value, where) | problems
    return problems


def wrong_numbers(value: Any, path: str = "") -> list[str]:
    """One sentence for each number that is not finite or does not fit into 64 bits."""
    if isinstance(value, dict):
        found = (wrong_numbers(item, f"{path}.{key}".lstrip(".")) for key, item in value.items())
        return [text for texts in found for text in texts]
    if isinstance(value, list):
        found = (wrong_numbers(item, f"{path}[{index}]") for index, item in enumerate(value))
        return [text for texts in found for text in texts]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path}: must be a finite number, got {value}"]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return [f"{path}: {value} is too large"]
    return []


def _wrong_sizes(values: Mapping[str, object]) -> list[str]:
    """Problems with the image sizes in `data`."""
    data = values.get("data")
    problems = []
    if not isinstance(data, dict):
        return []
    for key in ("resize", "crop_size", "size"):
        size = data.get(key)
        if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
            continue  # null, or rejected by the signature check
        if min(size) < 1 or max(size) > LONGEST_SIDE or size[0] * size[1] > LARGEST_AREA:
            problems.append(
                f"data.{key}: must be [height, width] from 1 to {LONGEST_SIDE} pixels each and at "
                f"most {LARGEST_AREA} together, got {size}"
            )
    return problems


def _endless(values: Mapping[str, object]) -> list[str]:
    """Problems with the length of the training."""
    trainer = values.get("trainer")
    if not isinstance(trainer, dict):
        return []
    limits = {key: trainer.get(key) for key in ("max_epochs", "max_steps")}
    problems = [
        f"trainer.{key}: must be at least 0, or -1 for no limit, got {limit}"
        for key, limit in limits.items()
        if type(limit) is int and limit < -1
    ]
    epochs, steps = limits["max_epochs"], limits["max_steps"]
    if epochs == -1 and steps in (None, -1) and trainer.get("max_time") is None:
        problems.append("trainer.max_epochs: -1 means no limit, so set trainer.max_steps too")
    return problems


def _check_report(options: Any) -> list[str]:
    """Problems with the options of the study report by `segbench.compare`."""
    if options is None:
        return []
    if not isinstance(options, dict):
        return [f"compare: must be null or keys of segbench.compare, got {options!r}"]
    known = OmegaConf.structured(CompareConfig)
    problems = []
    for key, value in options.items():
        if key not in known:
            problems.append(f"{key}: segbench.compare has no such key{did_you_mean(key, known)}")
            continue
        try:
            known[key] = value
        except OmegaConfBaseException as error:
            problems.append(f"{key}: {str(error).splitlines()[0]}")
    values = {key: known[key] for key in known if not OmegaConf.is_missing(known, key)}
    if values["margin"] is not None and values["baseline"] is None:
        problems.append("margin: needs compare.baseline, the model that a loss is measured against")
    return [f"compare.{text}" for text in problems + wrong_values(values, CompareConfig)]


def _not_portable(values: Mapping[str, object]) -> list[str]:
    """One sentence for each name that is not a legal folder name on every system.

    A study may be in a folder of studies; a run is in the folder of its study.
    """
    folders = {"study": str(values.get("study")).split("/"), "name": [str(values.get("name"))]}
    return [
        f"{key}: '{values[key]}' is not a valid folder name on every system; avoid <>:\"/\\|?*, "
        "trailing dots and spaces, and Windows device names such as CON"
        for key, parts in folders.items()
        if values.get(key) not in (None, "", "???") and not all(map(is_portable, parts))
    ]


def _without_target(values: Mapping[str, object]) -> list[str]:
    """One sentence for each component without a `_target_`."""
    loggers = values.get("logger") or {}
    if not isinstance(loggers, dict):
        return [
            f"logger: must be options of the group, such as logger=[wandb,csv], got {loggers!r}"
        ]
    parts = {name: values.get(name) for name in INJECTED if name != "logger"}
    parts |= {f"logger.{name}": node for name, node in loggers.items()}
    return [
        f"{name}._target_: is not set; set it to the class, such as _target_: package.module.Class"
        + ", or begin the YAML with defaults: [folder, _self_]" * (name == "data")
        for name, node in parts.items()
        if node not in (None, "???") and not (isinstance(node, dict) and "_target_" in node)
    ]


def forget_class_weight_rules(loss: Any) -> None:
    """Replaces the name of a rule by null, because the signature of the loss takes only numbers."""
    if isinstance(loss, dict):
        if str(loss.get("class_weights")) in CLASS_WEIGHT_RULES:
            loss["class_weights"] = None
        for value in loss.values():
            forget_class_weight_rules(value)
