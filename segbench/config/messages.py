"""What Hydra's errors mean, in words that name the key, what it may be and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from segbench.config import config_dir, did_you_mean, studies_dir


def explain(config: DictConfig, override: str, error: Exception) -> str:
    """Why an override could not be applied to a config that holds all others."""
    key, _, value = override.partition("=")
    bare = key.lstrip("+~")
    if isinstance(error, MissingConfigException) and error.options:
        return f"{key}: there is no {bare} '{value}'{did_you_mean(value, error.options)}"
    if "Ambiguous value" in str(error):
        return (
            f"{override}: several values are a sweep, which needs -m; a text that holds a comma "
            f"needs quotes: '{key}=\"A,B\"'"
        )
    path, node = "", config
    for part in bare.split("."):
        if not isinstance(node, DictConfig):
            break
        if part not in node:
            where = f"'{path}'" if path else "the config"
            options = {str(option) for option in node} - {"hydra", "_target_"}
            return f"{key}: there is no key '{part}' in {where}{did_you_mean(part, options)}"
        path = f"{path}.{part}".lstrip(".")
        node = OmegaConf.select(config, path)
    return f"{override}: {_root_cause(error)}"


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, YAMLError):
        return " ".join(str(error).split())
    first, *rest = str(error).splitlines()
    return rest[0].strip() if rest and first.endswith("composing config:") else first


def broken_config(config_name: str, error: Exception) -> str:
    """Why a config does not compose even without an override."""
    reason = _root_cause(error)
    if unset := re.match(r"You must specify '([\w/]+)'", reason):
        group = unset[1]
        options = sorted(file.stem for file in (config_dir() / group).glob("*.yaml"))
        return (
            f"{group}: is not set; give it on the command line as {group}=OPTION, one of "
            + ", ".join(options)
        )
    return f"{config_name}.yaml: {reason}"


def unknown_study(name: str) -> str:
    """For a config name that no file has."""
    places = {studies_dir(), Path.cwd() / "experiments"}
    studies = {file.stem for place in places if place.is_dir() for file in place.glob("*.yaml")}
    hint = did_you_mean(name, studies)
    if "did you mean" in hint:
        hint += f"\nstudies: {', '.join(sorted(studies))}"
    return f"there is no study '{name}'{hint}"
