"""Turns the trials of a tuning into one config file per model, which a comparison includes.

runs/STUDY/MODEL-DATA/TRIAL/     one run per trial, scored on val
runs/STUDY/tuned/MODEL.yaml      the values of the best trial, and the number of trials
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ResultError
from segbench.system.storage import write_text


def write_tuned(folder: Path, choices: Mapping[str, str | None]) -> int:
    """Writes and prints the result of tuning one model.

    Every finished trial in the folder counts, including those of earlier calls.

    Args:
        folder: `runs/STUDY/MODEL-DATA`, with the trials and the record of Hydra's Optuna sweeper.
        choices: the option of each config group; `model` is the name of the file.

    Returns:
        The exit code, 1 if no trial has finished.
    """
    model = choices["model"]
    trials = [RunDirectory(file.parent) for file in sorted(folder.glob("*/result.json"))]
    results = [(trial, result) for trial in trials if (result := _read(trial))]
    finished = [
        (val.mIoU, trial, result)
        for trial, result in results
        if result.status == "finished"
        and (val := result.scores.get("val"))
        and val.mIoU is not None
    ]
    if not finished:
        print(f"{folder}: no trial has finished, so there are no tuned values for {model}")
        return 1
    score, best, result = max(finished, key=lambda entry: entry[0])
    record = yaml.safe_load((folder / "optimization_results.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = {"tuning_trials": len(finished)}
    for key in record["best_params"]:
        if key in choices:
            option = record["best_params"][key]
            found.setdefault("defaults", []).append({f"override /{key}": option})
        else:
            _put(found, key, _at(result.config, key))
    file = folder.parent / "tuned" / f"{model}.yaml"
    write_text(
        file,
        "# @package _global_\n"
        f"# The best of {len(finished)} finished trials: val/mIoU {score:.4f} in {best.path}\n"
        + yaml.safe_dump(found, sort_keys=False),
    )
    unfinished = len(results) - len(finished)
    print(
        f"\n{model}: best of {len(finished)} finished trials"
        + (f" ({unfinished} more failed or were interrupted)" if unfinished else "")
        + f", val/mIoU {100 * score:.1f} %: {best.path}\nwritten to {file}:"
    )
    print("".join(f"  {line}\n" for line in file.read_text(encoding="utf-8").splitlines()[2:]))
    return 0


def _read(trial: RunDirectory) -> Result | None:
    try:
        return trial.read_result()
    except ResultError as error:
        print(f"left out: {error}")
        return None


def _at(config: Mapping[str, Any], path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value[key]
    return value


def _put(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value
