"""Composes a command's config and collects everything that is wrong with it, not just the first."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from segbench.config import config_dir, schema, studies_dir
from segbench.config.messages import broken_config, explain, unknown_study
from segbench.config.tuning import is_tuning, missing_for_tuning, tuning_problems
from segbench.config.values import check_values
from segbench.errors import ConfigError

# ValueError: Hydra's, of a group that is set to null.
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError)


class StudySearchPath(SearchPathPlugin):
    """Lets `-cn NAME` find the studies, from any working directory.

    Attributes:
        config_folder: of Hydra's `--config-dir`, which Hydra itself leaves out when it composes
            for a check.
    """

    config_folder: ClassVar[str | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds the studies of the project, those of the working directory, and `--config-dir`."""
        search_path.append("segbench", f"file://{studies_dir()}")
        local = Path.cwd() / "experiments"
        if local.is_dir() and local.resolve() != studies_dir():
            search_path.append("segbench-local", f"file://{local}")
        if self.config_folder is not None:
            search_path.append("segbench-config-dir", f"file://{self.config_folder}")


def register(config_folder: str | None = None) -> None:
    """Makes the search path and the schema known to Hydra; call it before composing.

    Args:
        config_folder: a further folder of configs, as an absolute path.
    """
    StudySearchPath.config_folder = config_folder
    # Hydra's warning of a folder that a study searches; what lacks in it is told as an error.
    warnings.filterwarnings("ignore", "provider=hydra.searchpath.*is not available")
    Plugins.instance().register(StudySearchPath)
    schema.register()


def compose_checked(config_name: str, overrides: list[str], multirun: bool = False) -> DictConfig:
    """Composes a config, or raises one error that lists every problem.

    Args:
        config_name: a verb's config or a study.
        overrides: the overrides of the command line; sweeps such as `seed=0,1` are allowed when
            `multirun`, and each of their values is checked.
        multirun: whether the command line says -m; a study may sweep without.

    Returns:
        The config of the first job, with Hydra's own node.

    Raises:
        ConfigError: with all problems found.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        parsed, problems = _parse(overrides)
        if not multirun and any(item.is_sweep_override() for item in parsed):
            multirun = _sweeps_by_itself(config_name, parsed)
        first, others = _expand(parsed, multirun)
        config, accepted, found = _compose_what_fits(config_name, first)
        problems += found + check_values(config)
        if multirun or config.hydra.mode == RunMode.MULTIRUN:
            others += _study_sweep(config, parsed)
            if is_tuning(config):
                problems += tuning_problems(config, overrides)
        for override in others:
            key = override.split("=", 1)[0]
            rest = [item for item in accepted if item.split("=", 1)[0] != key]
            single, _, found = _compose_what_fits(config_name, [*rest, override])
            for problem in found or check_values(single):
                if problem not in problems:
                    about_it = problem.startswith((f"{key}:", f"{key}="))
                    problems.append(problem if about_it else f"{problem} (with {override})")
        if problems:
            raise ConfigError(_listing(list(dict.fromkeys(problems))))
        return config


def for_sweeper(config_name: str, overrides: list[str]) -> list[str]:
    """The overrides of a sweep as Hydra takes them.

    Hydra first composes the config without what is swept. An override that fits only a swept
    option, as `model.width=8` beside `model=unet,custom`, becomes a sweep over its one value.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        parsed, _ = _parse(overrides)
        fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
        _, accepted, _ = _compose_what_fits(config_name, fixed)
    late = set(fixed) - set(accepted)
    return [re.sub("=(.*)", r"=choice(\1)", text) if text in late else text for text in overrides]


def _parse(overrides: list[str]) -> tuple[list[Override], list[str]]:
    parser = OverridesParser.create()
    parsed, problems = [], []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except OverrideParseException as error:
            problems.append(f"{text}: {str(error).splitlines()[0]}; write KEY=VALUE")
    return parsed, problems


def _expand(parsed: list[Override], multirun: bool) -> tuple[list[str], list[str]]:
    """The overrides of the first job, and each further value of a sweep as its own override."""
    first, alternatives = [], []
    for override in parsed:
        if multirun and override.is_sweep_override() and override.is_choice_sweep():
            values = [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
            first.append(values[0])
            alternatives += values[1:]
        elif multirun and override.is_interval_sweep():
            bounds: Any = override.value()
            alternatives += [f"{override.key_or_group}={v}" for v in (bounds.start, bounds.end)]
        elif not override.is_sweep_override() or not multirun:
            first.append(str(override.input_line))
    return first, alternatives


def _sweeps_by_itself(config_name: str, parsed: list[Override]) -> bool:
    """Whether a config sweeps without -m, unless the command line sets another mode."""
    modes = [str(item.input_line) for item in parsed if item.get_key_element() == "hydra.mode"]
    try:
        config = compose(config_name, modes, return_hydra_config=True)
    except COMPOSE_ERRORS:
        return False  # what is wrong is found below
    return config.hydra.mode == RunMode.MULTIRUN


def _study_sweep(config: DictConfig, parsed: list[Override]) -> list[str]:
    """The values that a study sweeps over, as overrides, but for what the command line sets."""
    given = {override.get_key_element() for override in parsed}
    params = config.hydra.sweeper.get("params") or {}
    lines = [f"{key}={value}" for key, value in params.items() if key not in given]
    first, others = _expand(_parse(lines)[0], multirun=True)
    return first + others


def _compose_what_fits(
    config_name: str, overrides: list[str]
) -> tuple[DictConfig, list[str], list[str]]:
    """Composes with those overrides that can be applied.

    Returns:
        The config, the overrides in it, and a problem for each of the others.
    """
    accepted, rejected = list(overrides), []
    while True:
        try:
            config = compose(config_name, accepted, return_hydra_config=True)
            break
        except COMPOSE_ERRORS as error:
            if isinstance(error, MissingConfigException) and error.missing_cfg_file == config_name:
                raise ConfigError(unknown_study(config_name)) from None
            if missing := missing_for_tuning(getattr(error, "missing_cfg_file", None)):
                raise ConfigError(f"{config_name}: {missing}") from None
            culprit = _culprit(config_name, accepted, error)
            if culprit is None:
                raise ConfigError(broken_config(config_name, error)) from None
            accepted.remove(culprit)
            rejected.append((culprit, error))
            if isinstance(error, MissingConfigException):  # its keys belong to no other option
                group = culprit.split("=", 1)[0]
                accepted = [item for item in accepted if not item.startswith(f"{group}.")]
    return config, accepted, [explain(config, override, error) for override, error in rejected]


def _culprit(config_name: str, overrides: list[str], error: Exception) -> str | None:
    """The override that an error of Hydra is about."""
    text = str(error)
    for override in overrides:
        key, _, value = override.partition("=")
        bare = key.lstrip("+~")
        if getattr(error, "missing_cfg_file", None) == f"{bare}/{value}":
            return override
        if f"'{bare}'" in text or f"override {override}" in text:
            return override
    # The message does not say: try without any, then each alone.
    for attempt in ([], *([override] for override in overrides)):
        try:
            compose(config_name, attempt, return_hydra_config=True)
        except COMPOSE_ERRORS:
            return attempt[0] if attempt else None
    return overrides[-1] if overrides else None


def _listing(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems in the config:\n" + "\n".join(f"  - {p}" for p in problems)
