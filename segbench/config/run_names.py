"""Run directories of a sweep: swept keys that are not yet in the path are added to the run name."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from segbench.config.places import is_group
from segbench.errors import ConfigError

_MOST_JOBS = 2000  # jobs whose run directories are compared; beyond that, training itself checks
_LONGEST = 40  # characters of a value in a name


def named_keys(config: DictConfig, swept: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The swept keys that must be in the name, so that each job has its own run directory.

    Args:
        config: config of the first job, with Hydra's own node.
        swept: values by key, as Hydra writes them.

    Raises:
        ConfigError: two jobs still share a run directory.
    """
    if OmegaConf.select(config, "run_dir", throw_on_missing=False) is None:
        return ()
    several = {key: values for key, values in swept.items() if len(values) > 1}
    first = {key: values[0] for key, values in several.items()}
    try:
        named = tuple(
            key
            for key, values in several.items()
            if len({_place(config, first | {key: value}, ()) for value in values}) < len(values)
        )
        places: dict[str, dict[str, str]] = {}
        for values in itertools.islice(itertools.product(*several.values()), _MOST_JOBS):
            job = dict(zip(several, values, strict=True))
            place = _place(config, job, named)
            if place in places:
                raise ConfigError(_shared(place, places[place], job))
            places[place] = job
    except OmegaConfBaseException as error:
        raise ConfigError(f"run_dir: {str(error).splitlines()[0]}") from None
    return named


def suffixed(config: DictConfig, named: Sequence[str], overrides: Sequence[str]) -> str:
    """Name of a job: `unet-streets` becomes `unet_lr=0.001-streets`.

    Args:
        config: config of the job.
        named: keys to put into the name.
        overrides: overrides of the job, KEY=VALUE.
    """
    values = {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
    shorts = [key.split(".")[-1] for key in named]
    parts = [
        f"_{short if shorts.count(short) == 1 else key}={_legal(values[key])}"
        for key, short in zip(named, shorts, strict=True)
        if key in values
    ]
    name, data = str(config.name), str(HydraConfig.get().runtime.choices.get("data"))
    model, found, _ = name.rpartition(f"-{data}")  # compare omits a data set that all runs share
    is_last = found and name.endswith(found)
    return f"{model}{''.join(parts)}{found}" if is_last else name + "".join(parts)


def _place(config: DictConfig, job: Mapping[str, str], named: Sequence[str]) -> str:
    """The run directory of a job."""
    config = copy.deepcopy(config)
    OmegaConf.set_readonly(config.hydra, False)
    words = [f"{key}={value}" for key, value in job.items()]
    with open_dict(config):
        for parsed in OverridesParser.create().parse_overrides(words):
            value: Any = parsed.value()
            if is_group(parsed.key_or_group):
                config.hydra.runtime.choices[parsed.key_or_group] = value
            else:
                OmegaConf.update(config, parsed.key_or_group, value)
        HydraConfig.instance().set_config(config)
        if named:
            config.name = suffixed(config, named, words)
    return str(config.run_dir)


def _legal(value: str) -> str:
    """A value as a legal part of a file name; a number keeps its sign."""
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", value) and len(value) <= _LONGEST:
        return value
    return re.sub(r"[^\w.+-]+", "-", value)[-_LONGEST:].strip("-.")


def _shared(place: str, one: Mapping[str, str], other: Mapping[str, str]) -> str:
    first, second = (" ".join(f"{k}={v}" for k, v in job.items()) for job in (one, other))
    if first == second:
        return f"{first}: occurs twice in the sweep; remove one"
    return (
        f"run_dir: {first} and {second} would both write to {place}; remove run_dir from the "
        "command, or include ${name} in it"
    )
