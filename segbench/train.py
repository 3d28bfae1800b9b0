"""Train a model on a data set, test it, and write a run that can be resumed and repeated.

    python -m segbench.train                                        built-in data, U-Net ResNet18
    python -m segbench.train model=unet data=camvid11 data.root=PATH
    python -m segbench.train -m model=unet,unet_resnet34 seed=0,1   a sweep
    python -m segbench.train -cn STUDY                              a study of experiments/
    python -m segbench.train --help                                 all groups and common keys

The run is in runs/STUDY/MODEL-DATA/seedN. Running the same command again continues an unfinished
run and leaves a finished one unchanged.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from omegaconf import DictConfig, OmegaConf

from segbench.api.verbs import make_callable
from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config, config_dir, resolved
from segbench.config.app import run_verb
from segbench.config.outcome import Outcome
from segbench.config.tuning import is_tuning
from segbench.errors import ConfigError, ResultError
from segbench.system.console import say
from segbench.training.distributed import all_start_together, check_launch, is_first_process

if TYPE_CHECKING:
    from segbench.artifacts.result import Result


def train(config: DictConfig) -> Outcome:
    """Trains one run, unless it is already finished."""
    plain = resolved(config)
    # Keys that a user's own trainer config omits get the values of conf/trainer/default.yaml.
    defaults = yaml.safe_load((config_dir() / "trainer" / "default.yaml").read_text("utf-8"))
    plain["trainer"] = defaults | plain["trainer"]
    run = RunDirectory(plain["run_dir"])
    if plain["overwrite"] and all_start_together():
        raise ConfigError(
            "overwrite=true: torchrun and srun start all processes at once, and one would remove "
            f"what another reads; remove {run.path} yourself, then run without overwrite=true"
        )
    if not is_first_process():  # decides as the first process, which has the lock
        return _unchanged(plain, run) or _train_locked(plain, run)
    with run.locked() as alone:
        if not alone:
            raise ConfigError(f"{run.path}: another process is training this run; wait for it")
        if plain["overwrite"]:
            run.clear()
        return _unchanged(plain, run) or _train_locked(plain, run)


def _unchanged(config: Config, run: RunDirectory) -> Outcome | None:
    """The outcome of a finished run; None if there is something to do.

    Raises:
        ConfigError: the existing run may not be continued.
    """
    previous = _previous(run)
    is_finished = previous is not None and previous.status == "finished"
    if previous is not None and config["test"] and "test" not in previous.scores:
        is_finished = False  # at most its training is finished; its test is still to be done
    elif is_finished and previous is not None and run.last_checkpoint.is_file():
        is_finished = _is_proven(previous, run)
    if not is_finished and not run.last_checkpoint.is_file():
        return None  # nothing can be lost
    if (made_with := run.read_config()) is not None:
        _check_same_config(config, made_with, run)
    if previous is not None and is_finished:
        if is_first_process():
            say(
                f"{run.path} is already finished: {_score_in_words(previous)}. Nothing to do; "
                "overwrite=true retrains it."
            )
        return _outcome("unchanged", previous, run)
    if config["resume"] == "never":
        raise ConfigError(
            f"{run.path} contains an unfinished run and resume=never; use resume=auto to "
            "continue it or overwrite=true to retrain"
        )
    return None


def _is_proven(result: Result, run: RunDirectory) -> bool:
    """Whether the counts of a finished run reproduce its test scores, if it has any."""
    from segbench.artifacts.counts import read_counts

    if result.scores.get("test") is None:
        return True
    try:
        read_counts(run, result)
    except ResultError as error:
        if is_first_process():
            say(f"note: {run.path}: {error}; it is tested again")
        return False
    return True


def finish_study(config: DictConfig, varying: tuple[str, ...] = ()) -> int:
    """Follow-up of a sweep: the tuned values, or the report if set; returns the exit code.

    Args:
        config: the config of the sweep, with Hydra's own node.
        varying: the keys that differ between its jobs.
    """
    from segbench.artifacts.differences import varied_on_purpose
    from segbench.config.command_line import command, override

    if is_tuning(config):
        from segbench.training.tuned_values import write_tuned

        return write_tuned(Path(config.hydra.sweep.dir), config.hydra.runtime.choices)
    if config.compare is None:
        without = {} if "wandb" in (config.logger or {}) else {"wandb": "false"}
        names = varied_on_purpose(varying)
        varies = {"varies": f"[{','.join(names)}]"} if names else {}
        keys = {"study": config.study, **varies, **without}
        say(f"\nnext: {command('segbench.compare', keys)}")
        return 0
    options = {"study": config.study, "wandb": "wandb" in (config.logger or {})}
    options |= OmegaConf.to_container(config.compare, resolve=True)  # type: ignore[arg-type]
    overrides = [override(key, value) for key, value in options.items()]
    return subprocess.run([sys.executable, "-m", "segbench.compare", *overrides]).returncode


def _train_locked(config: Config, run: RunDirectory) -> Outcome:
    check_launch(config["trainer"])
    if is_first_process():
        say(f"{run.path}: loading")  # the following imports take seconds
    import segbench.system.lean_torchmetrics  # noqa: F401  before Lightning imports all of it
    from segbench.training.session import run_training

    result = run_training(config, run)
    return _outcome("finished", result, run)


def _previous(run: RunDirectory) -> Result | None:
    """The existing record. A damaged one is replaced, using what the checkpoints contain."""
    try:
        return run.read_result()
    except ResultError as error:
        if not run.result_file.is_file():  # a folder of that name, for example, cannot be replaced
            raise ConfigError(f"{error}; remove it, or set a different run_dir") from None
        if is_first_process():
            say(f"note: {error}; it will be rewritten")
        return None


def _outcome(status: str, result: Result, run: RunDirectory) -> Outcome:
    """Test mIoU for the table of jobs, if there is one; val/mIoU for a tuning sweeper."""
    val = result.scores.get("val")
    return Outcome(status, _score(result)[1], val.mIoU if val else None, run_dir=str(run.path))


def _score(result: Result) -> tuple[str, float | None]:
    """The split whose mIoU is reported, and its mIoU; None without labels or validation."""
    split: Literal["test", "val"] = "test" if "test" in result.scores else "val"
    found = result.scores.get(split)
    return split, found.mIoU if found else None


def _score_in_words(result: Result) -> str:
    split, score = _score(result)
    if score is not None:
        return f"{split} mIoU {100 * score:.1f} %"
    if result.scores.get("test" if split == "test" else "val"):
        return f"no {split} score (the {split} split has no labels)"
    return f"no {split} score (the weights were not validated)"


def _check_same_config(new: Config, old: Config, run: RunDirectory) -> None:
    """Raises ConfigError with the differences if the run was made with another config."""
    from segbench.artifacts.differences import leaves, may_differ_on_resume
    from segbench.artifacts.public_copy import is_same

    new_flat, old_flat = leaves(new), leaves(old)
    changed = [
        key
        for key in sorted(set(new_flat) | set(old_flat))
        if not is_same(new_flat.get(key), old_flat.get(key)) and not may_differ_on_resume(key)
    ]
    if changed:
        lines = [
            f"  {key}: was {old_flat.get(key, 'not set')}, now {new_flat.get(key, 'not set')}"
            for key in changed
        ]
        raise ConfigError(
            f"{run.path} was created with a different config:\n"
            + "\n".join(lines)
            + "\nSet study=NAME or name=NAME to write this run elsewhere, or retrain with "
            "overwrite=true."
        )


if __name__ == "__main__":
    run_verb("train", train, after_sweep=finish_study)
else:
    make_callable(__name__)
