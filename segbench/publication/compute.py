"""What a study took: the time of every run, finished or not, and of the tuning before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.trained_as import as_trained, weights_digest
from segbench.comparison.tables import Column, Table
from segbench.comparison.wording import join
from segbench.errors import ResultError

UNKNOWN = "not known"
TRAINING, EVALUATION, TUNING = "training", "evaluation", "tuning"
CKPT = "ckpt="


@dataclass(frozen=True)
class Spent:
    """The runs of one model, for one purpose, that ended in the same way.

    Args:
        purpose: training, evaluation or tuning.
        study, name: of the runs.
        status: finished, failed, interrupted, running.
        hours: of the runs that say how long they took.
        unknown: how many do not.
        machines: what they ran on.
    """

    purpose: str
    study: str
    name: str
    status: str
    hours: tuple[float, ...]
    unknown: int
    machines: tuple[str, ...]

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.hours) + self.unknown


def records(study: Path) -> list[Result]:
    """The record of every run of a study, finished or not; unreadable ones are left out."""
    found = []
    for file in sorted(study.glob("*/*/result.json")):
        try:
            result = RunDirectory(file.parent).read_result()
        except ResultError:
            continue
        if result is not None:
            found.append(result)
    return found


def with_trainings(study: Path, results: Sequence[Result]) -> list[Result]:
    """The records of a study, after those of the studies whose checkpoints it evaluates."""
    folders: dict[Path, None] = {}
    for result in results:
        source = (result.protocol.source if result.protocol else None) or ""
        parents = Path(source.removeprefix(CKPT)).parents
        if source.startswith(CKPT) and len(parents) > 3:  # STUDY/NAME/seedN/checkpoints/FILE
            folder = parents[3]
            if not folder.is_dir():
                folder = study.parent / folder.name
                file = folder / Path(source.removeprefix(CKPT)).relative_to(parents[3])
                if not _is_of(file, result):
                    continue
            if folder.resolve() != study.resolve():
                folders[folder] = None
    return [*(entry for folder in folders for entry in records(folder)), *results]


def _is_of(file: Path, result: Result) -> bool:
    """Whether a file is the checkpoint that was evaluated."""
    if result.training is None or not file.is_file():
        return False
    return weights_digest(file) == result.training.weights


def spent(results: Iterable[Result], tuning: Iterable[Result] = ()) -> list[Spent]:
    """The time of all runs, by purpose, model and outcome."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        purpose = TRAINING if result.kind == "train" else EVALUATION
        groups.setdefault((purpose, result.study, result.name, result.status), []).append(result)
    for result in tuning:
        groups.setdefault((TUNING, result.study, result.name, result.status), []).append(result)
    return [_spent(key, members) for key, members in groups.items()]


def _spent(key: tuple[str, str, str, str], members: Sequence[Result]) -> Spent:
    hours = [found for result in members if (found := _hours(result)) is not None]
    machines = dict.fromkeys(str(r.hardware) for r in members if r.hardware.device)
    return Spent(*key, tuple(hours), len(members) - len(hours), tuple(machines))


def _hours(result: Result) -> float | None:
    times = result.timings
    seconds = times.epoch_seconds or times.total_seconds or times.train_seconds
    return None if seconds is None else seconds / 3600


def stated_trials(results: Iterable[Result]) -> int:
    """The tuning trials that the runs state, of each config once."""
    trials: dict[tuple[str, str], int] = {}
    for result in results:
        key = result.study, result.name
        budget = (as_trained(result) or result).budget
        trials[key] = max(trials.get(key, 0), budget.tuning_trials or 0)
    return sum(trials.values())


def sentence(found: Sequence[Spent], trials: int) -> str:
    """All of it in words.

    Args:
        found: see `spent`.
        trials: see `stated_trials`.
    """
    if not found:
        return UNKNOWN
    parts = []
    for purpose in (TRAINING, EVALUATION, TUNING):
        for status in dict.fromkeys(entry.status for entry in found):
            chosen = [e for e in found if (e.purpose, e.status) == (purpose, status)]
            if number := sum(entry.runs for entry in chosen):
                hours = sum(sum(entry.hours) for entry in chosen)
                parts.append(f"{number} {status} {purpose} runs ({hours:.2f} h)")
    text = f"{join(parts)}; in total {total(found):.2f} h"
    if unknown := sum(entry.unknown for entry in found):
        text += f", without {unknown} runs whose time is {UNKNOWN}"
    machines = dict.fromkeys(machine for entry in found for machine in entry.machines)
    text += f"; on {join(list(machines)) if machines else 'a machine that is ' + UNKNOWN}"
    text += f"; tuning trials as stated by the runs: {trials}"
    has_tuning = any(entry.purpose == TUNING for entry in found)
    return text + (f", whose time is {UNKNOWN}." if trials and not has_tuning else ".")


def total(found: Iterable[Spent]) -> float:
    """Hours of all runs whose time is known."""
    return sum(sum(entry.hours) for entry in found)


def machines_of(found: Iterable[Spent]) -> str:
    """Everything that the runs ran on."""
    names = dict.fromkeys(machine for entry in found for machine in entry.machines)
    return ", ".join(names) or UNKNOWN


def table(found: Sequence[Spent]) -> Table:
    """One row per purpose, model and outcome."""

    def each(row: Spent) -> str:
        if not row.hours:
            return UNKNOWN
        low, high = min(row.hours), max(row.hours)
        return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"

    columns = (
        Column("runs of", "", lambda row: f"{row.study}/{row.name}", is_text=True),
        Column("purpose", "", lambda row: row.purpose, is_text=True),
        Column("status", "", lambda row: row.status, is_text=True),
        Column("runs", "", lambda row: str(row.runs)),
        Column("hours each", "", each),
        Column("hours in total", "", lambda row: f"{sum(row.hours):.2f}"),
    )
    return Table(columns, tuple(found))
