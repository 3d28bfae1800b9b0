"""What is wrong with the values of a composed config: all of it, in one sentence each."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segbench.config import did_you_mean
from segbench.config.fields import wrong_values
from segbench.config.schema import CompareConfig
from segbench.config.targets import INJECTED, PIPELINE, check_targets
from segbench.storage import is_portable

# Names that stand for class weights, computed from the training masks (data/balance.py).
CLASS_WEIGHT_RULES = ("median_frequency", "enet", "effective_number")


def check_values(config: DictConfig) -> list[str]:
    """Missing values, broken interpolations and wrong arguments of targets.

    Args:
        config: as composed, with Hydra's own node, to which `${hydra:...}` refers.
    """
    HydraConfig.instance().set_config(config)
    verb_schema = OmegaConf.get_type(config)
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    problems = [
        f"{key}: is not set; give it on the command line as {key}=VALUE"
        for key in sorted(OmegaConf.missing_keys(config))
    ]
    problems += [f"{key}: is empty" for key in ("study", "name") if config.get(key) == ""]
    missing = {problem.split(":")[0] for problem in problems}
    try:
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore
    except OmegaConfBaseException as error:
        return [*problems, str(error).splitlines()[0]]
    problems += _not_portable(values)
    _forget_class_weight_rules(values.get("loss"))
    problems += _without_target(values)
    found = check_targets(values, INJECTED, beside={"data": PIPELINE})
    problems += [text for text in found if text.split(":")[0] not in missing]
    problems += wrong_values(values, verb_schema)
    return problems + _check_report(values.get("compare"))


def _check_report(options: Any) -> list[str]:
    """What is wrong with the options of the report that follows a study, by `segbench.compare`."""
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
    return [f"compare.{text}" for text in problems + wrong_values(values, CompareConfig)]


def _not_portable(values: dict[str, Any]) -> list[str]:
    """One sentence for each name that cannot be that of a folder on every system."""
    return [
        f"{key}: '{values[key]}' cannot name a folder on every system; leave out <>:\"\\|?*, dots "
        "and spaces at the end, and devices of Windows such as CON"
        for key in ("study", "name")
        if values.get(key) not in (None, "", "???")
        and not all(map(is_portable, str(values[key]).split("/")))
    ]


def _without_target(values: dict[str, Any]) -> list[str]:
    """One sentence for each part that does not say what it is."""
    loggers = values.get("logger") or {}
    parts = {name: values.get(name) for name in INJECTED if name != "logger"}
    parts |= {f"logger.{name}": node for name, node in loggers.items()}
    return [
        f"{name}._target_: is not set; it names the class, as _target_: package.module.Class"
        for name, node in parts.items()
        if node not in (None, "???") and not (isinstance(node, dict) and "_target_" in node)
    ]


def _forget_class_weight_rules(loss: Any) -> None:
    """Puts null for the name of a rule, which the signature of the loss does not know."""
    if isinstance(loss, dict):
        if str(loss.get("class_weights")) in CLASS_WEIGHT_RULES:
            loss["class_weights"] = None
        for value in loss.values():
            _forget_class_weight_rules(value)
