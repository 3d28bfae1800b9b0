"""Train a model on a data set, test it, and leave a run that can be read, resumed and repeated.

    python -m segbench.train                                        built-in data, U-Net ResNet18
    python -m segbench.train model=unet data=camvid11 data.root=PATH
    python -m segbench.train -m model=unet,unet_resnet34 seed=0,1   a sweep
    python -m segbench.train -cn STUDY                              a study of experiments/
    python -m segbench.train --help                                 every group and the usual keys

The run stands in runs/STUDY/MODEL-DATA/seedN. The same command again continues an unfinished run
and leaves a finished one alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import config_dir
from segbench.config.app import Outcome, run_verb
from segbench.config.tuning import is_tuning
from segbench.errors import ConfigError
from segbench.training.distributed import all_start_at_once, is_first_process

# Keys that change neither the weights nor the scores, so that a run may be resumed under others.
VOLATILE = (
    "resume",
    "overwrite",
    "logger",
    "samples",
    "samples_every",
    "log_every",
    "run_dir",
    "allow_targets",
    "test",
    "tuning_trials",
    "compare",
    "data.num_workers",
    "data.workers",
    "data.cache",
    "data.cache_dir",
    "data.cache_limit_gb",
    "data.pin_memory",
    "data.preview",
    "data.root",
    "data.about",
    "trainer.enable_progress_bar",
)


def train(config: DictConfig) -> Outcome:
    """Trains one run, unless it is finished already."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore
    # What a trainer of one's own leaves out is as in conf/trainer/default.yaml.
    defaults = yaml.safe_load((config_dir() / "trainer" / "default.yaml").read_text())
    plain["trainer"] = defaults | plain["trainer"]
    run = RunDirectory(plain["run_dir"])
    if plain["overwrite"] and all_start_at_once():
        raise ConfigError(
            "overwrite=true: torchrun and srun start all processes at once, and one would remove "
            f"what another reads; remove {run.path} yourself, then leave overwrite=true out"
        )
    if not is_first_process():  # decides as the first one does, which holds the lock
        return _unchanged(plain, run) or _train_locked(plain, run)
    with run.locked() as alone:
        if not alone:
            raise ConfigError(f"{run.path}: another process is training this run; wait for it")
        if plain["overwrite"]:
            run.clear()
        return _unchanged(plain, run) or _train_locked(plain, run)


def _unchanged(config: dict[str, Any], run: RunDirectory) -> Outcome | None:
    """The outcome of a run that is finished; None if there is something to do.

    Raises:
        ConfigError: what stands there may not be continued.
    """
    previous = run.read_result()
    is_finished = previous is not None and previous["status"] == "finished"
    if previous is not None and config["test"] and "test" not in previous["scores"]:
        is_finished = False  # at most its training is over, its test is yet to come
    if not is_finished and not run.last_checkpoint.is_file():
        return None  # there is nothing to lose
    _check_same_config(config, run.read_config() or {}, run)
    if previous is not None and is_finished:
        split, score = _score(previous)
        if is_first_process():
            print(
                f"{run.path} is finished already: {split} mIoU {score:.4f}. Nothing to do; "
                "overwrite=true trains it anew."
            )
        return _outcome("unchanged", previous, run)
    if config["resume"] == "never":
        raise ConfigError(
            f"{run.path} holds an unfinished run and resume=never; use resume=auto to "
            "continue it or overwrite=true to start anew"
        )
    return None


def finish_study(config: DictConfig) -> int:
    """What follows a sweep: the tuned values, or the report if asked for; returns the exit code."""
    if is_tuning(config):
        from segbench.training.tuned_values import write_tuned

        return write_tuned(Path(config.hydra.sweep.dir), config.hydra.runtime.choices)
    if config.compare is None:
        return 0
    options = {"study": config.study, "wandb": "wandb" in (config.logger or {})}
    options |= OmegaConf.to_container(config.compare, resolve=True)  # type: ignore[arg-type]
    overrides = [f"{key}={value}" for key, value in options.items()]
    return subprocess.run([sys.executable, "-m", "segbench.compare", *overrides]).returncode


def _train_locked(config: dict[str, Any], run: RunDirectory) -> Outcome:
    from segbench.training.session import run_training

    result = run_training(config, run)
    return _outcome("finished", result, run)


def _outcome(status: str, result: dict[str, Any], run: RunDirectory) -> Outcome:
    """Test mIoU for the table of jobs, if there is one; val/mIoU for a sweeper that tunes."""
    val = result["scores"].get("val") or {}
    return Outcome(status, _score(result)[1], val.get("mIoU"), run_dir=str(run.path))


def _score(result: dict[str, Any]) -> tuple[str, float]:
    """The split by which a run is judged, and its mIoU."""
    split = "test" if "test" in result["scores"] else "val"
    return split, (result["scores"][split] or {}).get("mIoU", float("nan"))


def _check_same_config(new: dict[str, Any], old: dict[str, Any], run: RunDirectory) -> None:
    """Raises ConfigError with the differences if the run was made with another config."""
    new_flat, old_flat = _flatten(new), _flatten(old)
    keys = sorted(set(new_flat) | set(old_flat))
    changed = [key for key in keys if new_flat.get(key) != old_flat.get(key)]
    if changed:
        lines = [
            f"  {key}: there {old_flat.get(key, 'not set')}, now {new_flat.get(key, 'not set')}"
            for key in changed
        ]
        raise ConfigError(
            f"{run.path} was made with another config:\n"
            + "\n".join(lines)
            + "\nGive this run another place (study=NAME or name=NAME), or start it anew with "
            "overwrite=true."
        )


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by dotted path, without the volatile ones."""
    if any(path == key or path.startswith(f"{key}.") for key in VOLATILE):
        return {}
    if isinstance(value, dict):
        leaves: dict[str, Any] = {}
        for key, item in value.items():
            leaves |= _flatten(item, f"{path}.{key}" if path else str(key))
        return leaves
    return {path: value}


if __name__ == "__main__":
    run_verb("train", train, after_sweep=finish_study)
