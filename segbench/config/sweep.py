"""A sweep: runs each job in its own process, prints a table of all jobs, then follow-up work.

A job that fails, runs out of memory or is killed does not affect the others. Outcomes are written
below the study's folder, which the machines of a cluster share, not to a temporary folder.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from segbench.config.command_line import key_of, override
from segbench.config.outcome import OUTCOME_FILE, JobRecord, Outcome
from segbench.config.places import further_folder
from segbench.config.run_names import named_keys, suffixed
from segbench.config.sweep_table import print_jobs
from segbench.config.tuning import is_tuning, swept_values
from segbench.system.console import duration, say
from segbench.system.machine import WINDOWS, cores, killer, signal_name
from segbench.system.storage import write_text

# Overrides for the sweep itself, not passed to its jobs.
_OF_THE_SWEEP = ("hydra.mode", "hydra.sweeper", "hydra.launcher")


class SweepEndedError(BaseException):
    """A signal arrived while a job was running, and the job has ended."""

    def __init__(self, number: int) -> None:
        super().__init__(signal_name(number))
        self.exit_code = 128 + number


@dataclass(frozen=True)
class Sweep:
    """What each job must know, wherever it runs.

    Attributes:
        module: module of the verb, as in `python -m MODULE`.
        folder: folder of the study.
        records: folder of the outcomes of this sweep only; another sweep of the same study may
            run at the same time.
        config_folder: value of --config-dir.
        total: the number of jobs; None if the sweeper decides.
        varying: the keys that differ between the jobs.
        named: those of them that are added to the run names.
        threads: threads per job; None: no limit.
        started: start time of the sweep, as from `time.time()`, in seconds.
    """

    module: str
    folder: str
    records: Path
    config_folder: str | None
    total: int | None
    varying: tuple[str, ...]
    named: tuple[str, ...]
    threads: int | None
    started: float

    @classmethod
    def plan(cls, module: str, config: DictConfig, arguments: list[str]) -> Sweep:
        """Plans a sweep and creates the folder of its records.

        Raises:
            ConfigError: two jobs would write to the same run directory.
        """
        folder = str(config.hydra.sweep.dir)
        swept = {k: v for k, v in swept_values(config, arguments).items() if not _is_of_sweep(k)}
        tunes = is_tuning(config)
        total = None if tunes else math.prod(len(values) for values in swept.values())
        named = () if tunes else named_keys(config, swept)
        varying = tuple(key for key, values in swept.items() if len(values) != 1)
        records = Path(folder).absolute() / ".jobs" / f"{os.getpid()}-{secrets.token_hex(4)}"
        records.mkdir(parents=True)
        folder_of_mine = further_folder()
        return cls(
            module=module,
            folder=folder,
            records=records,
            config_folder=str(folder_of_mine) if folder_of_mine else None,
            total=total,
            varying=varying,
            named=named,
            threads=_threads(config.hydra.launcher, total),
            started=time.time(),
        )

    def run_job(self, config: DictConfig) -> float:
        """Runs Hydra's current job in a new process and records its outcome.

        Returns:
            The objective of the job. A failed trial returns the worst possible value, so that a
            tuning sweeper avoids it.
        """
        job = HydraConfig.get()
        own = list(job.overrides.task)
        arguments = [
            *own,
            *(argument for argument in job.overrides.hydra if not _is_of_sweep(argument)),
        ]
        if self.named:
            arguments.append(override("name", suffixed(config, self.named, own)))
        command = [sys.executable, "-m", self.module, "-cn", str(job.job.config_name)]
        command += [*arguments, "hydra.mode=RUN"]
        command += ["--config-dir", self.config_folder] if self.config_folder else []
        of_all = f" of {self.total}" if self.total else ""
        shown = [argument for argument in own if key_of(argument) in self.varying] or own
        say(f"\n[job {job.job.num + 1}{of_all}] {' '.join(shown)}   {self._clock()}")
        started = time.time()
        file = self.records / f"{job.job.num:05d}.outcome"
        code, received = _run(command, {**os.environ, **self._limits(), OUTCOME_FILE: str(file)})
        outcome = _outcome_of(file, code, received)
        record = JobRecord(outcome, tuple(shown), time.time() - started)
        write_text(file.with_suffix(".json"), record.to_json())
        if received and outcome.status == "interrupted":
            raise SweepEndedError(received)
        return -math.inf if outcome.objective is None else outcome.objective

    def end(self, interrupted: bool) -> int:
        """Prints the table of all jobs and removes their records; returns the exit code."""
        code = print_jobs(self.folder, self._read_records(), self.total, interrupted)
        shutil.rmtree(self.records, ignore_errors=True)
        with contextlib.suppress(OSError):  # another sweep of this study is still running
            self.records.parent.rmdir()
        return code

    def _limits(self) -> dict[str, str]:
        if self.threads is None or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(self.threads)}

    def _read_records(self) -> list[JobRecord]:
        files = sorted(self.records.glob("*.json"))
        return [JobRecord.from_json(file.read_text(encoding="utf-8")) for file in files]

    def _clock(self) -> str:
        """Elapsed time and, based on the jobs done so far, the estimated total time."""
        elapsed = time.time() - self.started
        records = self._read_records()
        worked = [r.seconds for r in records if r.outcome.status != "unchanged"]
        if not (worked and self.total):
            return f"({duration(elapsed)} so far)" if records else ""
        at_once = max(1.0, sum(worked) / elapsed)
        left = (self.total - len(records)) * (sum(worked) / len(worked)) / at_once
        return f"({duration(elapsed)} so far, about {duration(left)} left)"


def _is_of_sweep(argument: str) -> bool:
    return argument.lstrip("+~").replace("/", ".").startswith(_OF_THE_SWEEP)


def _threads(launcher: Any, total: int | None) -> int | None:
    """The number of threads per job if a launcher runs several jobs on this machine at a time."""
    target = str(launcher.get("_target_"))
    available = cores()
    if "JoblibLauncher" in target:
        wanted = launcher.get("n_jobs") or -1
        at_once = wanted if wanted > 0 else available + 1 + wanted
    elif "LocalLauncher" in target:  # submitit's; on a cluster each job has its own cores
        at_once = total or 1
    else:
        return None
    at_once = max(1, min(at_once, total or at_once))
    return max(1, available // at_once) if at_once > 1 else None


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Runs a command to its end; returns its exit code and the signal received, or 0.

    The process runs in its own session, so that Ctrl-C in the terminal reaches it only once,
    forwarded from here, and it can save its state. On Windows, where there are no sessions, the
    terminal sends it to both. A second signal kills it.
    """
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    received: list[int] = []

    def forward(number: int, frame: Any) -> None:
        if received:
            process.kill()
        elif not WINDOWS:
            process.send_signal(number)
        received.append(number)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            try:
                before[name] = signal.signal(getattr(signal, name), forward)
            except ValueError:
                break  # not the main thread: signals are handled elsewhere
    try:
        code = process.wait()
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
    return code, received[0] if received else 0


def _outcome_of(file: Path, code: int, received: int) -> Outcome:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    outcome = Outcome(**json.loads(text)) if text else Outcome("failed")
    if received and code:
        return Outcome("interrupted", reason=f"by {signal_name(received)}")
    if (by := killer(code)) is not None:
        return Outcome("killed", reason=f"ended by {by}", run_dir=outcome.run_dir)
    if code and not outcome.reason:
        return Outcome("failed", reason=f"exit code {code}")
    return outcome
