"""Composes a command's config and collects all problems, not just the first."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from segbench.config import config_dir, schema
from segbench.config.command_line import as_typed
from segbench.config.fields import path_keys
from segbench.config.messages import hidden_options
from segbench.config.overrides import (
    compose_what_fits,
    expand,
    parse,
    study_sweep,
    sweeps_by_itself,
)
from segbench.config.own_loss import settle_loss
from segbench.config.places import config_folders, search_also
from segbench.config.text_keys import kinds_of_config, kinds_of_verb
from segbench.config.tuning import is_tuning, tuning_problems
from segbench.config.values import check_values
from segbench.errors import ConfigError

# Keys of `data` other than `root` that are paths; the sources expand `~` in `root` themselves.
_PATHS_OF_DATA = ("root", "images", "masks", "table", "cache_dir")
_NO_LOGGER = {"logger=null": "logger=none", "logger=[]": "logger=none", "logger=": "logger=none"}


class SearchPath(SearchPathPlugin):
    """Lets every verb find the shipped studies and options, and the user's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds all folders except the main one, which Hydra already has."""
        for number, folder in enumerate(config_folders()[1:]):
            search_path.append(f"segbench-{number}", f"file://{folder}")


def register(config_folder: str | None = None) -> None:
    """Registers the search path and the schema with Hydra; call it before composing.

    Args:
        config_folder: a further config folder, from `--config-dir`.
    """
    search_also(config_folder)
    # Silence Hydra's warning about missing search folders; a missing file is reported as an error.
    warnings.filterwarnings("ignore", "provider=hydra.searchpath.*is not available")
    Plugins.instance().register(SearchPath)
    schema.register()


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        config: config of the first job, with Hydra's own node.
        arguments: the command-line arguments in Hydra's grammar.
        sweeps: whether there are several jobs.
    """

    config: DictConfig
    arguments: list[str]
    sweeps: bool


def compose_checked(config_name: str, arguments: list[str], multirun: bool = False) -> DictConfig:
    """Composes and checks a config; see `read_command`."""
    return read_command(config_name, arguments, multirun).config


def read_command(
    config_name: str, arguments: list[str], multirun: bool = False, is_complete: bool = True
) -> Command:
    """Composes a config, or raises one error that lists every problem.

    Args:
        config_name: config of a verb, or a study.
        arguments: command-line arguments as typed. With `multirun`, sweeps such as `seed=0,1` are
            allowed and each of their values is checked.
        multirun: whether the command line has -m; a study may sweep without it.
        is_complete: whether to check values; otherwise only checks that the config composes.

    Raises:
        ConfigError: lists all problems found.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        arguments = [_NO_LOGGER.get(argument, argument) for argument in arguments]
        multirun = multirun or sweeps_by_itself(config_name, arguments)
        composed = _compose_typed(config_name, arguments, multirun)
        config, arguments, problems = composed.config, composed.arguments, composed.problems
        problems += hidden_options(config_name, config.hydra.runtime.choices)
        problems += check_values(config) if is_complete else []
        problems += settle_loss(config, arguments) if is_complete else []
        sweeps = multirun or config.hydra.mode == RunMode.MULTIRUN
        if sweeps and is_complete:
            others = composed.others + study_sweep(config, parse(arguments)[0])
            if is_tuning(config):
                problems += tuning_problems(config, arguments)
            problems += _problems_of_others(config_name, composed.accepted, others, problems)
        if problems:
            raise ConfigError(_listing(_once(problems)))
        if is_complete and not sweeps:
            _expand_home(config)
        return Command(config, arguments, sweeps)


@dataclass(frozen=True)
class _Composed:
    """A composed config with the parsed arguments, those that apply, and the problems found."""

    config: DictConfig
    arguments: list[str]
    accepted: list[str]
    others: list[str]  # further values of a sweep
    problems: list[str]


def _compose_typed(config_name: str, arguments: list[str], multirun: bool) -> _Composed:
    """Composes with the arguments as they were typed.

    Which keys below a group are text is known only after composing, so this may take two passes.
    """
    first, problems = as_typed(arguments, kinds_of_verb(config_name), multirun)
    composed = _compose(config_name, first, problems, multirun)
    kinds = kinds_of_config(config_name, composed.config)
    second, problems = as_typed(arguments, kinds, multirun)
    return composed if second == first else _compose(config_name, second, problems, multirun)


def _compose(
    config_name: str, arguments: list[str], problems: dict[str, str], multirun: bool
) -> _Composed:
    parsed, unread = parse(arguments)
    first, others = expand(parsed, multirun)
    config, accepted, found = compose_what_fits(config_name, first)
    read = [str(item.input_line) for item in parsed]
    all_problems = [*problems.values(), *unread.values(), *found]
    return _Composed(config, read, accepted, others, all_problems)


def _problems_of_others(
    config_name: str, accepted: list[str], others: list[str], known: list[str]
) -> list[str]:
    """Problems with the further values of a sweep."""
    problems: list[str] = []
    for override in others:
        key = override.split("=", 1)[0]
        rest = [item for item in accepted if item.split("=", 1)[0] != key]
        single, _, found = compose_what_fits(config_name, [*rest, override])
        for problem in found or [*check_values(single), *settle_loss(single, accepted)]:
            if problem not in (*known, *problems):
                about_it = problem.startswith((f"{key}:", f"{key}="))
                problems.append(problem if about_it else f"{problem} (with {override})")
    return problems


def _expand_home(config: DictConfig) -> None:
    """Expands `~` to the home directory in every key that names a file or folder."""
    keys = path_keys(OmegaConf.get_type(config))
    data = OmegaConf.select(config, "data", throw_on_missing=False)
    if isinstance(data, DictConfig):
        keys += [f"data.{key}" for key in _PATHS_OF_DATA if key in data]
    for key in keys:
        value = OmegaConf.select(config, key)
        if isinstance(value, str) and value.startswith("~"):
            expanded = os.path.expanduser(value)
            if expanded.startswith("~"):
                raise ConfigError(
                    f"{key}={value}: there is no such home directory; use the full path"
                )
            OmegaConf.update(config, key, expanded)


def for_sweeper(config_name: str, overrides: list[str]) -> list[str]:
    """Converts the overrides of a sweep to what Hydra accepts.

    Hydra first composes the config without the swept overrides. An override that fits only a swept
    option, such as `model.width=8` with `model=unet,custom`, becomes a sweep over its one value.
    """
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        parsed, _ = parse(overrides)
        fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
        _, accepted, _ = compose_what_fits(config_name, fixed)
    late = set(fixed) - set(accepted)
    return [re.sub("(?s)=(.*)", r"=choice(\1)", t) if t in late else t for t in overrides]


def _once(problems: list[str]) -> list[str]:
    """Removes repetitions, and "is not set" for keys with a more specific problem."""
    unset = {text: text.partition(":")[0] for text in problems if ": is not set" in text}
    known = {re.split("[:=]", text)[0].lstrip("+~") for text in problems if text not in unset}
    return [text for text in dict.fromkeys(problems) if unset.get(text) not in known]


def _listing(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems in the config:\n" + "\n".join(f"  - {p}" for p in problems)
