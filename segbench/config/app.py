"""Starts a verb: checks the command before anything heavy is imported, runs it, reports errors.

A sweep runs each of its jobs in a process of its own, so that one that fails, runs out of memory
or is killed takes no other with it, and ends with a table of all jobs.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from segbench.config import config_dir, make_folder
from segbench.config.compose import compose_checked, for_sweeper, register
from segbench.config.tuning import is_tuning, swept_models, tune_each
from segbench.console import console, say, table
from segbench.errors import ConfigError
from segbench.machine import signal_name
from segbench.storage import output_error

_OUTCOME_FILE = "SEGBENCH_OUTCOME_FILE"


@dataclass
class Outcome:
    """How a job ended.

    Args:
        status: finished, unchanged (it was finished before), failed or killed.
        score: the number to compare jobs by, a fraction, or None.
        objective: what a sweeper that tunes may see: a score of the validation set, never of the
            test set.
        reason: why it failed, in one line.
        run_dir: where it wrote.
    """

    status: str = "finished"
    score: float | None = None
    objective: float | None = None
    reason: str = ""
    run_dir: str = ""


def run_verb(
    verb: str,
    task: Callable[[DictConfig], Outcome | int | None],
    after_sweep: Callable[[DictConfig], int] | None = None,
) -> None:
    """Runs a verb from the command line and ends the process.

    The exit code is 0 when all went well, 1 when the work failed, 2 when the command, its config or
    the data is wrong. An exception with an `exit_code` attribute is printed without a traceback.

    Args:
        verb: the name of the module and of its config, `train` for `conf/train.yaml`.
        task: does the work; may return an `Outcome` or an exit code.
        after_sweep: what follows when all jobs of a sweep are done; returns an exit code.
    """
    arguments = get_args_parser().parse_args()
    config_folder = os.path.abspath(arguments.config_dir) if arguments.config_dir else None
    register(config_folder)
    module = f"segbench.{verb}"
    config_name = arguments.config_name or verb
    _set_up_messages()
    codes: list[int] = []
    records = None
    try:
        if not (
            arguments.help
            or arguments.hydra_help
            or arguments.info
            or arguments.cfg
            or arguments.shell_completion
        ):
            config = compose_checked(config_name, arguments.overrides, arguments.multirun)
            sweeps = arguments.multirun or config.hydra.mode == RunMode.MULTIRUN
            place = config.hydra.sweep.dir if sweeps else config.hydra.run.dir
            if place != ".":  # Hydra makes it, with a traceback where it cannot
                make_folder("study" if sweeps else "run_dir", place)
            if sweeps:
                models = swept_models(config, arguments.overrides) if is_tuning(config) else []
                if len(models) > 1:
                    sys.exit(tune_each(module, models, sys.argv[1:]))
                typed = arguments.overrides
                passed = dict(zip(typed, for_sweeper(config_name, typed), strict=True))
                sys.argv[1:] = [passed.get(word, word) for word in sys.argv[1:]]
                logging.getLogger("optuna.storages").setLevel(logging.WARNING)
                # Of this sweep alone: another one of the same study may go on at the same time.
                records = tempfile.TemporaryDirectory(prefix="segbench-jobs-")
    except (ConfigError, OSError) as error:
        sys.exit(_report(module, error))

    def guarded(config: DictConfig) -> float | None:
        if records is not None and HydraConfig.get().mode == RunMode.MULTIRUN:
            return _run_job(module, Path(records.name), config_folder)
        try:
            outcome = task(config)
        except Exception as error:
            _write_outcome(Outcome("failed", reason=_first_line(output_error(error) or error)))
            codes.append(_report(module, error))
            return None
        if isinstance(outcome, Outcome):
            _write_outcome(outcome)
            codes.append(int(outcome.status == "failed"))
            return outcome.objective
        codes.append(outcome or 0)
        return None

    # Hydra names the job and its log after the module that defines the task.
    guarded.__module__ = module
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=verb)(guarded)()
    if records is not None:
        with records:  # removes them
            codes.append(_print_jobs(config.hydra.sweep.dir, Path(records.name)))
        if after_sweep is not None:
            try:
                codes.append(after_sweep(config))
            except Exception as error:
                codes.append(_report(module, error))
    sys.exit(max(codes, default=0))


def _set_up_messages() -> None:
    """Warnings go to the terminal beside any log; no message ends in a traceback of its own.

    A terminal that cannot show a letter gets its number; a log on a full disk misses lines.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    logging.getLogger("segbench").addHandler(handler)


def _report(module: str, error: Exception) -> int:
    """Prints an error as a person would want to read it; returns the exit code.

    Raises:
        Exception: `error` itself, if it is none for people but a fault of the program.
    """
    told = error if hasattr(error, "exit_code") else output_error(error)
    if told is None:
        raise error
    say(f"{module}: error: {told}", stderr=True)
    return int(getattr(told, "exit_code", 1))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [""]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return text if hasattr(error, "exit_code") else f"{type(error).__name__}: {text}"


def _run_job(module: str, records_dir: Path, config_folder: str | None) -> float | None:
    """Runs the current job of a sweep in a fresh process and files its outcome."""
    job = HydraConfig.get()
    passed_on = [
        text
        for text in job.overrides.hydra
        if not text.startswith(("hydra.mode", "hydra.sweeper", "hydra/sweeper", "hydra/launcher"))
    ]
    overrides = [*job.overrides.task, *passed_on, "hydra.mode=RUN"]
    command = [sys.executable, "-m", module, "-cn", str(job.job.config_name), *overrides]
    command += ["--config-dir", config_folder] if config_folder else []
    say(f"\n[job {job.job.num}] {shlex.join(job.overrides.task)}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcome.json"
        process = subprocess.run(command, env={**os.environ, _OUTCOME_FILE: str(file)}, check=False)
        outcome = Outcome("failed")
        if file.exists():
            outcome = Outcome(**json.loads(file.read_text(encoding="utf-8")))
    if process.returncode < 0:  # by a signal; Windows has none
        reason = f"ended by {signal_name(-process.returncode)}"
        outcome = Outcome("killed", reason=reason, run_dir=outcome.run_dir)
    elif process.returncode and not outcome.reason:
        outcome = Outcome("failed", reason=f"exit code {process.returncode}")
    record = {**asdict(outcome), "overrides": list(job.overrides.task)}
    (records_dir / f"{job.job.num:05d}.json").write_text(json.dumps(record), encoding="utf-8")
    # A failed trial is the worst there is: a sweeper that tunes turns away from it.
    return -math.inf if outcome.objective is None else outcome.objective


def _write_outcome(outcome: Outcome) -> None:
    if file := os.environ.get(_OUTCOME_FILE):
        with suppress(OSError):  # a full disk
            Path(file).write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def _print_jobs(sweep_dir: str, records_dir: Path) -> int:
    """Prints the table of all jobs of the sweep; returns 1 if any of them failed."""
    from rich.text import Text

    records: list[dict[str, Any]] = [
        json.loads(file.read_text(encoding="utf-8")) for file in sorted(records_dir.glob("*.json"))
    ]
    heads = ("job", "overrides", "status", "score", "run directory or reason")
    jobs = table(*heads, title=f"jobs of {sweep_dir}", left=len(heads))
    same = set.intersection(*(set(record["overrides"]) for record in records)) if records else set()
    for number, record in enumerate(records):
        own = [text for text in record["overrides"] if text not in same] or record["overrides"]
        color = "green" if record["status"] in ("finished", "unchanged") else "red"
        score = "" if record["score"] is None else f"{record['score']:.4f}"
        jobs.add_row(
            str(number),
            " ".join(own),
            Text(record["status"], style=color),
            score,
            record["reason"] or record["run_dir"],
        )
    console().print(jobs)
    failed = sum(record["status"] in ("failed", "killed") for record in records)
    if failed:
        say(f"{failed} of {len(records)} jobs failed; the same command trains only what is left")
    return int(failed > 0)
