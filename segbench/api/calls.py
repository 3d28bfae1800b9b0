"""The commands as Python functions with typed results: `segbench.train(model="unet", seed=1)`.

Keywords are the keys of the command line. A nested key is written as a dict,
`trainer={"max_epochs": 3}`, or in dotted form, `**{"trainer.max_epochs": 3}`; None is null. The
functions do and print the same as the commands (a finished run is unchanged, an unfinished one is
resumed). Wrong arguments raise `ConfigError`, wrong data `DataError`; none ends the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.api.findings import Comparison, read_comparison
from segbench.config.keywords import run_from_python

if TYPE_CHECKING:
    from segbench.artifacts.result import Result
    from segbench.config.outcome import Outcome


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
        model: option of the config group, such as `unet` or the name of a file in `./conf/model`.
        data: option of the config group, such as `streets` or the name of a file in `./conf/data`.
        config_name: a study of `experiments/` that is a single run.
        config_dir: a folder with your own options, in addition to `./conf`.
        overrides: any other key, such as `seed=1` or `optimizer={"lr": 1e-3}`.

    Returns:
        The record of the run, as in its result.json.

    Raises:
        ConfigError: the arguments are wrong, or the components do not fit together.
        DataError: the data set cannot be used.
    """
    from segbench.train import train as run

    chosen = {"model": model, "data": data}
    given = {key: value for key, value in chosen.items() if value is not None}
    return _result(run_from_python(config_name, config_dir, given | overrides, run))


def evaluate(
    ckpt: str | Path | None = None, *, config_dir: str | Path | None = None, **overrides: Any
) -> Result:
    """Scores a checkpoint or a folder of label maps, as `segbench evaluate` does.

    Args:
        ckpt: the checkpoint; without it give `predictions=FOLDER` and `data=NAME`.
        config_dir: a folder with your own options, in addition to `./conf`.
        overrides: any other key, such as `inference="tta"`.

    Returns:
        The record of the evaluation, as in its result.json.

    Raises:
        ConfigError: the arguments are wrong.
        DataError: checkpoint, predictions and data set do not fit, or cannot be read.
    """
    from segbench.evaluate import evaluate as run

    given = {} if ckpt is None else {"ckpt": ckpt}
    return _result(run_from_python("evaluate", config_dir, given | overrides, run))


def compare(
    study: str, *, config_dir: str | Path | None = None, wandb: bool = False, **overrides: Any
) -> Comparison:
    """Compares the runs of a study and writes its report, as `segbench compare` does.

    Args:
        study: name of the study, its folder in `runs`.
        config_dir: a folder with your own options, in addition to `./conf`.
        wandb: whether to log the report to W&B.
        overrides: any other key, such as `baseline="unet"`.

    Raises:
        ConfigError: the arguments are wrong.
        DataError: the runs cannot be compared.
    """
    from segbench.compare import compare as run

    given = {"study": study, "wandb": wandb, **overrides}
    run_from_python("compare", config_dir, given, run)
    report = Path(given.get("runs", "runs")) / study / "report"
    return read_comparison(report)


def _result(outcome: Outcome) -> Result:
    from segbench.artifacts.run_directory import RunDirectory
    from segbench.artifacts.typed import known

    return known(RunDirectory(outcome.run_dir).read_result())
