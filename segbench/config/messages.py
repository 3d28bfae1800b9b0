"""Rewrites Hydra's errors: which key is wrong, which values it accepts, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from segbench.config import did_you_mean, leaves, nearest, studies_dir
from segbench.config.places import hidden, is_group, options_of
from segbench.config.schema import SCHEMAS

_MOST_HINTS = 3
_MOST_OPTIONS = 8
SEVERAL = ("augment", "callbacks", "logger")  # groups of which several options can be chosen
# Names in other programs, and at the command line what they are here.
_ELSEWHERE = {
    "device": "trainer", "gpus": "trainer.devices", "learning_rate": "optimizer.lr",
    "wandb": "logger", "workers": "data.num_workers",
}  # fmt: skip
# OmegaConf's words for a value of another type, and what it then expected.
_TYPES = {
    "could not be converted to Integer": "expected int",
    "could not be converted to Float": "expected float",
    "is not a valid bool": "expected true or false",
    "is not a ListConfig, list or tuple": "expected a list, [VALUE,...]",
}
_NO_SUCH_GROUP = ("Could not override", "Could not append", "Could not delete")  # Hydra's words
# The extra that installs each launcher and sweeper of Hydra.
_EXTRAS = {
    "hydra/sweeper optuna": "tune",
    "hydra/launcher joblib": "launchers",
    "hydra/launcher submitit_local": "launchers",
    "hydra/launcher submitit_slurm": "launchers",
    "hydra/launcher ray": "ray",
}


_WITHOUT_ROOT = "the data set is generated and has no folder; choose another one, data=NAME"
_ROOT_OF_A_CHECKPOINT = (
    "no data set is chosen; for that of the checkpoint set root=FOLDER, "
    "for another one data=NAME and data.root=FOLDER"
)


def explain(config: DictConfig, override: str, error: Exception) -> str:
    """Why an override could not be applied to a config that contains all others."""
    key, _, value = override.partition("=")
    bare, value = key.lstrip("+~"), value.strip("'\"")
    if is_group(bare) and value[:1] in ("[", "{"):
        known = options_of(bare)
        names = [name.strip() for name in value.strip("[]").split(",")]
        if bare in SEVERAL and (unknown := [name for name in names if name not in known]):
            return unknown_option(bare, unknown[0], known)
        return one_option(bare)
    if is_group(bare) and not value:
        return not_set(bare)
    if isinstance(error, MissingConfigException) and error.options:
        names = value.split(",")
        if len(names) > 1 and set(names) <= set(error.options):
            together = f"; both at once are {bare}=[{value}]" * (bare in SEVERAL)
            return f"{override}: several values form a sweep, which needs -m{together}"
        return unknown_option(bare, value, list(error.options))
    if is_group(bare) and str(error).startswith("Multiple values for"):
        return f"{override}: {bare} has an option already; to replace it, write {bare}={value}"
    if "Ambiguous value" in str(error):
        return (
            f"{override}: several values form a sweep, which needs -m; a list needs brackets, "
            f"{key}=[{value}]; text that contains a comma needs quotes: '{key}=\"A,B\"'"
        )
    if bare == "data.root" and "root" not in (config.get("data") or {}):
        return f"{override}: {_WITHOUT_ROOT if config.get('data') else _ROOT_OF_A_CHECKPOINT}"
    if is_group(bare) and value == "null":
        return not_set(bare)
    if is_group(bare) and not str(error).startswith(_NO_SUCH_GROUP):  # the file is broken
        return f"{override}: {root_cause(error)}"
    path, node = "", config
    for part in bare.split("."):
        if node is None:
            return _below_null(config, key, path, value)
        if not isinstance(node, DictConfig):
            return f"{key}: {path} is {node}, which has no keys; write {path}=VALUE"
        if part not in node:
            where = f"'{path}'" if path else "the config"
            meant = _meant(part, node, f"{path}." if path else "")
            return f"{key}: there is no key '{part}' in {where}{meant}"
        path = f"{path}.{part}".lstrip(".")
        node = OmegaConf.select(config, path, throw_on_resolution_failure=False)
    return empty_item(override, value) or f"{override}: {root_cause(error)}"


def _below_null(config: DictConfig, key: str, path: str, value: str) -> str:
    """For a key of a node that is null: an option to choose first, or no node at all."""
    bare = key.lstrip("+~")
    if is_group(path):
        known = options_of(path)
        options = "|".join(known) if len(known) <= _MOST_OPTIONS else "NAME"
        return f"{key}: {path} is null; choose one first, {path}={options}"
    try:
        OmegaConf.update(config.copy(), bare, value, force_add=True)
    except OmegaConfBaseException:  # its type has no keys
        return f"{key}: {path} has no keys; write {path}=VALUE"
    return f"{key}: {path} is null; write +{bare}={value}"


def _meant(name: str, node: DictConfig, path: str) -> str:
    """What may be meant by an unknown key: one below, such as the lr of the optimizer, or here."""
    here = {str(option) for option in node} - {"hydra", "_target_"}
    below = {key: set(key.rpartition(".")[2].split("_"))
             for key in leaves(OmegaConf.to_container(node))
             if "." in key and not key.startswith("hydra.")}  # fmt: skip
    found = [key for key in below if key.endswith(f".{name}")]
    if not found and not nearest(name, here):
        found = [key for key, words in below.items() if len(words - set(name.split("_"))) == 1
                 and words > set(name.split("_"))]  # fmt: skip
    if (other := _ELSEWHERE.get(name)) and not path and (other in below or other in here):
        found = [other]
    if 0 < len(found) <= _MOST_HINTS:
        return f"; did you mean {' or '.join(path + key for key in found)}?"
    verbs = [verb for verb, keys in SCHEMAS.items() if name in keys.__annotations__]
    if verbs and not path:
        return f"; it is a key of {', '.join(f'segbench.{verb}' for verb in verbs)}"
    return did_you_mean(name, here)


def unknown_option(group: str, name: str, options: Sequence[str]) -> str:
    """For an option without a file in its group: the closest name, and where to add your own."""
    name, path = _without_path(name), name
    meant = f"; did you mean '{name}'?" if name in options else did_you_mean(name, options)
    text = f"{group}: there is no {group} '{path}'{meant}"
    if extra := _EXTRAS.get(f"{group} {name}"):
        return f'{text}; to add it, pip install "segbench[{extra}]"'
    if group.startswith("hydra/"):
        return text
    own = f"put your own in ./conf/{group}/{name}.yaml"
    return f"{text} Or {own}" if text.endswith("?") else f"{text}; {own}"


def empty_item(override: str, value: str) -> str | None:
    """For values between commas of which one is empty; None if none is."""
    items = value.split(",")
    if len(items) == 1 or all(item.strip(" '\"[]") for item in items):
        return None
    return f"{override}: a value is missing before or after a comma"


def root_cause(error: BaseException) -> str:
    """The first line of the original error in a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, YAMLError):
        return " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError):
        return f"the file is not text in UTF-8 ({error})"
    if "DictConfig with ListConfig" in str(error):
        return "the file contains a list; write lines of KEY: VALUE"
    if expected := next((said for words, said in _TYPES.items() if words in str(error)), None):
        return expected
    first, *rest = str(error).splitlines() or [type(error).__name__]
    return rest[0].strip() if rest and first.endswith("composing config:") else first


def broken_config(config_name: str, error: Exception) -> str:
    """Why a config does not compose even without overrides."""
    reason = root_cause(error)
    if unset := re.match(r"You must specify '([\w/]+)'", reason):
        return not_set(unset[1])
    return f"{config_name}.yaml: {reason}"


def one_option(group: str) -> str:
    """For a list of options of a group that is one component."""
    return f"{group}: takes one option: {', '.join(options_of(group))}"


def not_set(key: str) -> str:
    """For a key without a value."""
    if options := options_of(key) if is_group(key) else []:
        return (
            f"{key}: is not set; set it on the command line as {key}=OPTION, one of "
            + ", ".join(options)
        )
    return f"{key}: is not set; set it on the command line as {key}=VALUE"


def hidden_options(config_name: str, choices: DictConfig) -> list[str]:
    """One message for each chosen user file that a shipped file of the same name hides."""
    chosen = [config_name, *(f"{group!s}/{option}" for group, option in choices.items())]
    return [
        f"{name}: segbench ships a file of this name, so {file} is not read; rename it"
        for name in chosen
        if (file := hidden(name))
    ]


def _without_path(name: str) -> str:
    """The option that a person means who writes the path of its file."""
    path = PurePath(name)
    return path.stem if path.suffix in (".yaml", ".yml") else path.name or name


def with_suffix(group: str, name: str) -> str | None:
    """For an option written with `.yaml`, which Hydra accepts, but as the name of another run."""
    if PurePath(name).suffix in (".yaml", ".yml"):
        return f"{group}={name}: write {group}={_without_path(name)}, the name and not the file"
    return None


def unknown_study(name: str) -> str:
    """For a config name without a file."""
    path, name = name, _without_path(name)
    places = {studies_dir(), Path.cwd() / "experiments"}
    studies = {file.stem for place in places if place.is_dir() for file in place.glob("*.yaml")}
    hint = f"; did you mean '{name}'?" if name in studies else did_you_mean(name, studies)
    if "did you mean" in hint:
        hint += f"\nstudies: {', '.join(sorted(studies))}"
    return f"there is no study '{path}'{hint}"


def missing_for_tuning(file: str | None) -> str | None:
    """What to do if Hydra misses part of a config that belongs to tuning; otherwise None.

    Args:
        file: the missing file in Hydra's error, GROUP/OPTION.
    """
    group, _, option = str(file).rpartition("/")
    if (group, option) == ("hydra/sweeper", "optuna"):
        return 'the Optuna sweeper is not installed: pip install "segbench[tune]"'
    if group == "tuned":
        return f"there are no tuned values of '{option}'; run the study that tunes it first"
    return None
