"""The commands as Python functions with typed results: `segbench.train(model="unet", seed=1)`.

Keywords are the keys of the command line. A key below another one is written as a dict,
`trainer={"max_epochs": 3}`, or in full, `**{"trainer.max_epochs": 3}`; None is null. The functions
do what the commands do (a finished run is left alone, an unfinished one is resumed) and print the
same. Wrong arguments raise `ConfigError`, wrong data `DataError`; nothing ends the process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from segbench.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segbench.artifacts.result import Result
    from segbench.config.outcome import Outcome


@dataclass(frozen=True)
class ModelScore:
    """A model of a comparison.

    Args:
        name: MODEL-DATA.
        value: mean of the metric over the seeds, a fraction.
        interval: of `value`; None if it cannot be computed.
        sd: standard deviation over the seeds; None with one seed.
        seeds: of its runs.
        params: number of parameters; None for predictions from elsewhere.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    sd: float | None
    seeds: tuple[int, ...]
    params: int | None


@dataclass(frozen=True)
class Difference:
    """The difference between two models, `a` minus `b`.

    Args:
        a: the name of one model.
        b: the name of the other.
        value: of the metric, a fraction.
        interval: of `value`; None if it cannot be computed.
        p: of the test that there is no difference; None likewise.
        p_holm: corrected for the number of pairs.
        verdict: in one word.
    """

    a: str
    b: str
    value: float
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What `segbench.compare` found.

    Args:
        study: its name.
        metric: mIoU or mDice.
        verdict: the answer in one sentence.
        evidence: the numbers behind it.
        models: the best one first.
        differences: of all pairs of models.
        page: the report, an HTML file.
        values: everything, as in comparison.json.
    """

    study: str
    metric: str
    verdict: str
    evidence: str
    models: tuple[ModelScore, ...]
    differences: tuple[Difference, ...]
    page: Path
    values: Mapping[str, Any]


def train(
    model: str | None = None,
    data: str | None = None,
    *,
    config_name: str = "train",
    config_dir: str | Path | None = None,
    **overrides: Any,
) -> Result:
    """Trains and tests one run, as `segbench train` does.

    Args:
        model: an option of the group, such as `unet` or the name of a file in `./conf/model`.
        data: likewise.
        config_name: a study of `experiments/`, if it is a single run.
        config_dir: a folder with options of yours, besides `./conf`.
        overrides: any other key, such as `seed=1` or `optimizer={"lr": 1e-3}`.

    Returns:
        The record of the run, as in its result.json.

    Raises:
        ConfigError: the arguments are wrong, or the parts do not fit each other.
        DataError: the data set cannot be used.
    """
    from segbench.train import train as run

    chosen = {"model": model, "data": data}
    given = {key: value for key, value in chosen.items() if value is not None}
    return _result(_run(config_name, config_dir, given | overrides, run))


def evaluate(
    ckpt: str | Path | None = None, *, config_dir: str | Path | None = None, **overrides: Any
) -> Result:
    """Scores a checkpoint or a folder of label maps, as `segbench evaluate` does.

    Args:
        ckpt: the checkpoint; without it give `predictions=FOLDER` and `data=NAME`.
        config_dir: a folder with options of yours, besides `./conf`.
        overrides: any other key, such as `inference="tta"`.

    Returns:
        The record, as in result.json.

    Raises:
        ConfigError: the arguments are wrong.
        DataError: checkpoint, predictions and data set do not fit, or cannot be read.
    """
    from segbench.evaluate import evaluate as run

    given = {} if ckpt is None else {"ckpt": ckpt}
    return _result(_run("evaluate", config_dir, given | overrides, run))


def compare(
    study: str, *, config_dir: str | Path | None = None, wandb: bool = False, **overrides: Any
) -> Comparison:
    """Compares the runs of a study and writes its report, as `segbench compare` does.

    Args:
        study: its name, of the folder in `runs`.
        config_dir: a folder with options of yours, besides `./conf`.
        wandb: whether to log the report to W&B.
        overrides: any other key, such as `baseline="unet-streets"`.

    Raises:
        ConfigError: the arguments are wrong.
        DataError: the runs cannot be compared.
    """
    from segbench.compare import compare as run

    given: dict[str, Any] = {"study": study, "wandb": wandb, **overrides}
    _run("compare", config_dir, given, run)
    report = Path(given.get("runs", "runs")) / study / "report"
    found = json.loads((report / "comparison.json").read_text(encoding="utf-8"))
    return Comparison(
        study=found["study"],
        metric=found["metric"],
        verdict=found["verdict"],
        evidence=found["evidence"],
        models=tuple(
            ModelScore(
                name=row["label"],
                value=row["value"],
                interval=_interval(row),
                sd=row["sd"],
                seeds=tuple(row["seeds"]),
                params=row["params"],
            )
            for row in found["leaderboard"]
        ),
        differences=tuple(
            Difference(
                **{key: pair[key] for key in ("a", "b", "value", "p", "p_holm", "verdict")},
                interval=_interval(pair),
            )
            for pair in found["pairs"]
        ),
        page=report / "index.html",
        values=found,
    )


class CallableVerb(ModuleType):
    """The module of a command that can be called as the function of its name in this file.

    `segbench.train` is both: a module, whose `python -m` is the command, and what a person calls.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Calls the function."""
        return globals()[self.__name__.rpartition(".")[2]](*args, **keywords)


def make_callable(module: str) -> None:
    """Makes the module of a command a `CallableVerb`."""
    sys.modules[module].__class__ = CallableVerb


def _run(
    config_name: str,
    config_dir: str | Path | None,
    keywords: Mapping[str, Any],
    task: Callable[[DictConfig], Any],
) -> Any:
    """Composes the config of a command from keywords and runs it in this process."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from segbench.config.compose import read_command, register

    with _own_hydra():
        register(None if config_dir is None else str(config_dir))
        command = read_command(config_name, list(_words(keywords)))
        if command.sweeps:
            raise ConfigError(
                f"{config_name} is a sweep of several runs; start it by its command, "
                f"segbench train -cn {config_name}"
            )
        config = command.config
        HydraConfig.instance().set_config(config)
        os.environ.update(config.hydra.job.env_set)
        return task(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Puts aside Hydra's state of the calling program, which may be a Hydra app itself."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    theirs, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = theirs
        HydraConfig.instance().cfg = config


def _words(keywords: Mapping[str, Any]) -> Iterator[str]:
    """Keywords as words of the command line."""
    from segbench.config.command_line import override

    for key, value in keywords.items():
        if isinstance(value, Mapping) and "." not in key:
            yield from _words({f"{key}.{name}": item for name, item in value.items()})
            continue
        plain = _plain(value)
        if "${" in str(plain):
            raise ConfigError(f"{key}={plain}: ${{...}} is resolved in YAML files only")
        yield override(key, plain)


def _plain(value: Any) -> Any:
    """A value as YAML knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):  # a number of NumPy or torch
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(
        f"{value!r} is no value of a config; give texts, numbers, lists or dicts of them. A model "
        "or a loss of yours is named by a YAML file, ./conf/model/NAME.yaml"
    )


def _result(outcome: Outcome) -> Result:
    from segbench.artifacts.run_directory import RunDirectory
    from segbench.artifacts.typed import known

    return known(RunDirectory(outcome.run_dir).read_result())


def _interval(row: Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = row["interval"] or (None, None)
    return None if low is None or high is None else (low, high)
