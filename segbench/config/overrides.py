"""Overrides of a command line: parsing, expanding sweeps, and finding those that do not apply."""

from __future__ import annotations

import math
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from segbench.config import schema
from segbench.config.command_line import key_of, quoted
from segbench.config.messages import (
    SEVERAL,
    broken_config,
    empty_item,
    explain,
    missing_for_tuning,
    not_set,
    one_option,
    unknown_study,
    with_suffix,
)
from segbench.config.places import config_dir, is_group, options_of
from segbench.errors import ConfigError

_LONGEST_RANGE = 1000


def parse(arguments: list[str]) -> tuple[list[Override], dict[str, str]]:
    """Parses overrides; returns them and an error message for each argument that is none.

    A value that Hydra's grammar cannot parse is kept as text; whether its key takes text is checked
    later.
    """
    parser = OverridesParser.create(_config_loader())
    parsed: list[Override] = []
    arguments, problems = _without_spaced(arguments)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key_of(argument):
            problems[argument] = f"{argument}: write KEY=VALUE, without spaces around ="
            continue
        for attempt in (argument, f"{key}={quoted(value)}"):
            try:
                override = parser.parse_overrides([attempt])[0]
                group, option = override.key_or_group, str(override.value())
                written = with_suffix(group, option) if is_group(group) else None
                empty = empty_item(argument, value) if is_group(group) else None
                if problem := empty or written or _sweep_problem(override) or _not_one(override):
                    problems[argument] = problem
                else:
                    parsed.append(override)
                break
            except OverrideParseException:
                if not equals or attempt != argument:
                    problems[argument] = f"{argument}: write KEY=VALUE, without spaces around ="
                    break
    return parsed, problems


def _without_spaced(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The other arguments, and a message for each setting with spaces before its `=`."""
    rest: list[str] = []
    problems, left = {}, list(arguments)
    while left:
        is_spaced = len(left) > 1 and "=" not in left[0] and left[1].startswith("=")
        count = (3 if left[1] == "=" else 2) if is_spaced else 1
        words, left = left[:count], left[count:]
        if is_spaced:
            told = f"{' '.join(words)}: write {''.join(words)}, without spaces around ="
            problems[words[0]] = told
        else:
            rest += words
    return rest, problems


def _config_loader() -> ConfigLoader:
    """What finds the options of a group, for `glob()`."""
    if GlobalHydra.instance().is_initialized():
        return GlobalHydra.instance().config_loader()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        return GlobalHydra.instance().config_loader()


def _sweep_problem(override: Override) -> str | None:
    """The problem with a sweep that has no values, or values without end."""
    value, line, key = override.value(), override.input_line, override.key_or_group
    if override.is_delete() and override.is_sweep_override():
        return f"{line}: a sweep cannot delete"
    if isinstance(value, RangeSweep):
        try:
            steps = ((value.stop or 0) - (value.start or 0)) / value.step
        except ArithmeticError:  # a step of zero, or numbers beyond float64
            steps = math.inf
        if not 0 < steps <= _LONGEST_RANGE:  # also not for nan
            return f"{line}: expected range(START,STOP[,STEP]) of 1 to {_LONGEST_RANGE} values"
    if isinstance(value, Glob) and next(override.sweep_iterator(), None) is None:
        if options := options_of(key) if is_group(key) else []:
            return f"{line}: matches none of {', '.join(options)}"
        return f"{line}: glob() picks options of a group, such as model=glob(unet*)"
    return None


def _not_one(override: Override) -> str | None:
    """The problem with no model, or with several options that Hydra would merge into one config."""
    group, value = override.key_or_group, override.value()
    if group == "model" and (override.is_delete() or value == []):
        return not_set(group)
    options = value.list if isinstance(value, ChoiceSweep) else [value]
    is_merged = any(isinstance(option, list) for option in options)
    if is_merged and is_group(group) and group not in SEVERAL:
        return one_option(group)
    return None


def expand(parsed: list[Override], multirun: bool) -> tuple[list[str], list[str]]:
    """The overrides of the first job, and each further value of a sweep as its own override."""
    first, alternatives = [], []
    for override in parsed:
        if multirun and override.is_sweep_override() and override.is_discrete_sweep():
            values = [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
            first.append(values[0])
            alternatives += values[1:]
        elif multirun and override.is_interval_sweep():
            bounds: Any = override.value()
            alternatives += [f"{override.key_or_group}={v}" for v in (bounds.start, bounds.end)]
        elif not override.is_sweep_override() or not multirun:
            first.append(str(override.input_line))
    return first, alternatives


def sweeps_by_itself(config_name: str, arguments: list[str]) -> bool:
    """Whether a command sweeps without -m: through its study, or a mode that it sets."""
    modes = [argument for argument in arguments if key_of(argument) == "hydra.mode"]
    if modes:
        return modes[-1].endswith("MULTIRUN")
    if config_name in schema.SCHEMAS or not any(
        sign in argument for argument in arguments for sign in ",("
    ):
        return False
    try:
        config = compose(config_name, [], return_hydra_config=True)
    except Exception:
        return False  # the error is reported later
    return config.hydra.mode == RunMode.MULTIRUN


def study_sweep(config: DictConfig, parsed: list[Override]) -> list[str]:
    """The values that a study sweeps over, as overrides, except keys set on the command line.

    Raises:
        ConfigError: if a sweep has no values.
    """
    given = {override.get_key_element() for override in parsed}
    params = config.hydra.sweeper.get("params") or {}
    lines = [f"{key}={value}" for key, value in params.items() if key not in given]
    swept, problems = parse(lines)
    if problems:
        raise ConfigError("\n".join(problems.values()))
    first, others = expand(swept, multirun=True)
    return first + others


def compose_what_fits(
    config_name: str, overrides: list[str]
) -> tuple[DictConfig, list[str], list[str]]:
    """Composes with the overrides that can be applied.

    Returns:
        The config, the overrides applied, and a problem for each of the others.
    """
    accepted, rejected = list(overrides), []
    while True:
        try:
            config = compose(config_name, accepted, return_hydra_config=True)
            break
        except Exception as error:  # Hydra raises various types
            if isinstance(error, MissingConfigException) and error.missing_cfg_file == config_name:
                raise ConfigError(unknown_study(config_name)) from None
            if missing := missing_for_tuning(getattr(error, "missing_cfg_file", None)):
                raise ConfigError(f"{config_name}: {missing}") from None
            culprit = _culprit(config_name, accepted, error)
            if culprit is None:
                raise ConfigError(broken_config(config_name, error)) from None
            accepted.remove(culprit)
            rejected.append((culprit, error))
            if isinstance(error, MissingConfigException):  # its keys fit no other option
                group = culprit.split("=", 1)[0]
                accepted = [item for item in accepted if not item.startswith(f"{group}.")]
    return config, accepted, [explain(config, override, error) for override, error in rejected]


def _culprit(config_name: str, overrides: list[str], error: Exception) -> str | None:
    """The override that a Hydra error is about."""
    text = str(error)
    for override in overrides:
        key, _, value = override.partition("=")
        bare, value = key.lstrip("+~"), value.strip("'\"")
        if getattr(error, "missing_cfg_file", None) == f"{bare}/{value}":
            return override
        if f"'{bare}'" in text or f"override {override}" in text:
            return override
    # The message does not name it: try without any, then each one alone.
    for attempt in ([], *([override] for override in overrides)):
        try:
            compose(config_name, attempt, return_hydra_config=True)
        except Exception:
            return attempt[0] if attempt else None
    return overrides[-1] if overrides else None
