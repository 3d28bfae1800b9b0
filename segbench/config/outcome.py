"""How a job ended, as reported to the sweep that started it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

OUTCOME_FILE = "SEGBENCH_OUTCOME_FILE"  # environment variable: file for the outcome of a sweep job


@dataclass
class Outcome:
    """How a job ended.

    Args:
        status: finished, unchanged (already finished before), failed, killed or interrupted.
        score: the number to compare jobs by, a fraction, or None.
        objective: the score that a tuning sweeper sees: of the validation set, never of the test
            set.
        reason: why it failed, in one line.
        run_dir: the run directory.
    """

    status: str = "finished"
    score: float | None = None
    objective: float | None = None
    reason: str = ""
    run_dir: str = ""


@dataclass(frozen=True)
class JobRecord:
    """What a sweep keeps of a job that has ended.

    Args:
        outcome: how it ended.
        overrides: those of its overrides that differ between the jobs.
        seconds: how long it took.
    """

    outcome: Outcome
    overrides: tuple[str, ...]
    seconds: float

    def to_json(self) -> str:
        """For a file of the sweep."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> JobRecord:
        """What `to_json` gave."""
        found = json.loads(text)
        return JobRecord(Outcome(**found["outcome"]), tuple(found["overrides"]), found["seconds"])


def write_outcome(outcome: Outcome) -> None:
    """Writes the outcome for the sweep, if this process is a job of one."""
    if file := os.environ.get(OUTCOME_FILE):
        with suppress(OSError):  # for example a full disk
            Path(file).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
