"""Composes a command's config and collects everything that is wrong with it, not just the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segbench.config import ConfigError, config_dir, did_you_mean, schema, studies_dir
from segbench.config.targets import check_targets

# What the builder passes to a section's targets itself: these may not be set in a config.
INJECTED = {
    "model": {"num_classes"},
    "loss": {"ignore_index"},
    "optimizer": {"model"},
    "scheduler": {"optimizer", "total_steps"},
    "trainer": {"callbacks", "logger", "precision", "deterministic", "default_root_dir"},
    "logger": {"save_dir"},
    "inference": {"model", "classes", "mean", "std"},
    "data": {"source", "seed"},
}
# Beside its source's own arguments, a data config holds those of the loaders.
PIPELINE = "segbench.data.datamodule.SegmentationData"
COMPOSE_ERRORS = (HydraException, OmegaConfBaseException)


class StudySearchPath(SearchPathPlugin):
    """Lets `-cn NAME` find the studies, from any working directory."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds the studies of the project, then those of the working directory."""
        search_path.append("segbench", f"file://{studies_dir()}")
        local = Path.cwd() / "experiments"
        if local.is_dir() and local.resolve() != studies_dir():
            search_path.append("segbench-local", f"file://{local}")


def register() -> None:
    """Makes the search path and the schema known to Hydra; call it before composing."""
    Plugins.instance().register(StudySearchPath)
    schema.register()


def compose_checked(config_name: str, overrides: list[str], multirun: bool = False) -> DictConfig:
    """Composes a config, or raises one error that lists every problem.

    Args:
        config_name: a verb's config or a study.
        overrides: the overrides of the command line; sweeps such as `seed=0,1` are allowed when
            `multirun`, and each of their values is checked.
        multirun: whether the command sweeps.

    Returns:
        The config of the first job, with Hydra's own node.

    Raises:
        ConfigError: with all problems found.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        parsed, problems = _parse(overrides)
        if not _exists(config_name):
            raise ConfigError(_unknown_config(config_name))
        first, alternatives = _expand(parsed, multirun)
        accepted, found = _accept(config_name, first)
        problems += found
        config = compose(config_name, accepted, return_hydra_config=True)
        problems += _check_values(config)
        if multirun or config.hydra.mode and config.hydra.mode.name == "MULTIRUN":
            alternatives += _study_sweep(config, parsed)
        for override in alternatives:
            key = override.split("=", 1)[0]
            others = [item for item in accepted if item.split("=", 1)[0] != key]
            single, found = _accept(config_name, others, [override])
            problems += found
            if not found:
                problems += _check_values(compose(config_name, single))
        if problems:
            raise ConfigError(_listing(problems))
        return config


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
    """The overrides of the first job, and every other value of a sweep as an override of its own."""
    first, alternatives = [], []
    for override in parsed:
        if multirun and override.is_sweep_override() and override.is_choice_sweep():
            values = [f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()]
            first.append(values[0])
            alternatives += values[1:]
        elif not override.is_sweep_override() or not multirun:
            first.append(str(override.input_line))
    return first, alternatives


def _study_sweep(config: DictConfig, parsed: list[Override]) -> list[str]:
    """The values that a study sweeps over, as overrides, but for what the command line sets."""
    given = {override.get_key_element() for override in parsed}
    params = OmegaConf.to_container(config.hydra.sweeper).get("params") or {}
    lines = [f"{key}={value}" for key, value in params.items() if key not in given]
    first, others = _expand(_parse(lines)[0], multirun=True)
    return first + others


def _accept(
    config_name: str, candidates: list[str], last: list[str] | None = None
) -> tuple[list[str], list[str]]:
    """Splits overrides into those that compose and a problem for each that does not."""
    try:
        accepted = [*candidates, *(last or [])]
        compose(config_name, accepted, return_hydra_config=True)
        return accepted, []
    except COMPOSE_ERRORS:
        pass
    accepted, problems = ([], []) if last is None else (list(candidates), [])
    todo = last if last is not None else sorted(candidates, key=_is_value)
    for override in todo:
        try:
            compose(config_name, [*accepted, override], return_hydra_config=True)
            accepted.append(override)
        except COMPOSE_ERRORS as error:
            problems.append(_explain(config_name, accepted, override, error))
    return accepted, problems


def _is_value(override: str) -> bool:
    """Orders choices of a group before values, which may depend on the choice."""
    return not (config_dir() / override.split("=", 1)[0].split("@")[0].lstrip("+~")).is_dir()


def _explain(config_name: str, accepted: list[str], override: str, error: Exception) -> str:
    key, _, value = override.partition("=")
    bare = key.lstrip("+~")
    if isinstance(error, MissingConfigException) and error.options:
        return f"{key}: there is no {bare} '{value}'{did_you_mean(value, error.options)}"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause).splitlines()[0]
    if isinstance(error, ConfigCompositionException) and "not in" in str(error):
        config = compose(config_name, accepted)
        parent, _, leaf = bare.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if isinstance(node, DictConfig):
            where = f"'{parent}'" if parent else "the config"
            options = [str(option) for option in node]
            return f"{key}: there is no key '{leaf}' in {where}{did_you_mean(leaf, options)}"
        return f"{key}: there is no such key{did_you_mean(bare.split('.')[0], map(str, config))}"
    return f"{override}: {reason}"


def _check_values(config: DictConfig) -> list[str]:
    """Missing values, broken interpolations and wrong arguments of targets."""
    config = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    problems = [
        f"{key}: is not set; give it on the command line as {key}=VALUE"
        for key in sorted(OmegaConf.missing_keys(config))
    ]
    missing = {problem.split(":")[0] for problem in problems}
    try:
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore
    except OmegaConfBaseException as error:
        return [*problems, str(error).splitlines()[0]]
    found = check_targets(values, INJECTED, beside={"data": PIPELINE})
    problems += [text for text in found if text.split(":")[0] not in missing]
    for verb_schema in schema.SCHEMAS.values():
        if OmegaConf.get_type(config) is verb_schema:
            problems += schema.wrong_choices(values, verb_schema)
    return problems


def _exists(config_name: str) -> bool:
    try:
        compose(config_name)
    except MissingConfigException as error:
        return error.missing_cfg_file is not None and str(error.missing_cfg_file) != config_name
    except COMPOSE_ERRORS:
        return True
    return True


def _unknown_config(name: str) -> str:
    places = {studies_dir(), Path.cwd() / "experiments"}
    studies = {file.stem for place in places if place.is_dir() for file in place.glob("*.yaml")}
    return f"there is no study '{name}'{did_you_mean(name, studies)}\nstudies: " + ", ".join(
        sorted(studies)
    )


def _listing(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems in the config:\n" + "\n".join(f"  - {p}" for p in problems)
