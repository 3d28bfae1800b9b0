"""The questions of NeurIPS and MICCAI about experiments, answered from the records of a study.

An answer says "not known" where the records do not say: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ResultError

UNKNOWN = "not known"


@dataclass(frozen=True)
class Item:
    """One question and its answer, both plain text."""

    question: str
    answer: str


@dataclass(frozen=True)
class Compute:
    """Hours of the runs of a study, by status; `unknown` runs do not say how long they took.

    Args:
        hours: by status: finished, failed, interrupted, running.
        runs: their numbers.
        unknown: runs without a time.
        machines: what they ran on.
        trials: spent on tuning, over all configs.
    """

    hours: dict[str, float]
    runs: dict[str, int]
    unknown: int
    machines: tuple[str, ...]
    trials: int

    def sentence(self) -> str:
        """All of it in words."""
        if not self.runs:
            return UNKNOWN
        parts = [
            f"{self.runs[status]} {status} ({self.hours.get(status, 0.0):.2f} h)"
            for status in self.runs
        ]
        text = f"Runs: {', '.join(parts)}; in total {sum(self.hours.values()):.2f} h"
        if self.unknown:
            text += f", without {self.unknown} runs whose time is {UNKNOWN}"
        text += f"; on {', '.join(self.machines) or 'a machine that is ' + UNKNOWN}"
        return text + f"; tuning trials as stated by the runs: {self.trials}."


def records(study: Path) -> list[Result]:
    """The record of every run of a study, finished or not; unreadable ones are left out."""
    found = []
    for folder in sorted(study.glob("*/seed*")):
        try:
            result = RunDirectory(folder).read_result()
        except ResultError:
            continue
        if result is not None:
            found.append(result)
    return found


def compute(results: Iterable[Result]) -> Compute:
    """Adds up the time of all runs."""
    hours: dict[str, float] = {}
    runs: dict[str, int] = {}
    unknown, machines, trials = 0, dict[str, None](), 0
    tuned: dict[str, int] = {}
    for result in results:
        runs[result.status] = runs.get(result.status, 0) + 1
        times = result.timings
        seconds = times.epoch_seconds or times.total_seconds or times.train_seconds
        if seconds is None:
            unknown += 1
        else:
            hours[result.status] = hours.get(result.status, 0.0) + seconds / 3600
        if result.hardware.device:
            machines[str(result.hardware)] = None
        tuned[result.name] = max(tuned.get(result.name, 0), result.budget.tuning_trials or 0)
    trials = sum(tuned.values())
    return Compute(hours, runs, unknown, tuple(machines), trials)


def neurips(comparison: Mapping[str, Any], results: Sequence[Result]) -> list[Item]:
    """The items of the NeurIPS paper checklist on experiments."""
    configs = [result.config for result in results if result.status == "finished"]
    return [
        Item("Experimental setting: training and test details", _setting(configs)),
        Item("Data splits", _splits(results)),
        Item("Selection of hyperparameters", _tuning(results)),
        Item("Error bars: how they are computed and what varies", _error_bars(comparison)),
        Item("Statistical significance", _tests(comparison)),
        Item("Compute of each run and in total, with failed runs", compute(results).sentence()),
        Item("Licenses of existing assets", _licenses(results)),
        Item("Reproducibility: code, commit, command", _code(results)),
    ]


def miccai(comparison: Mapping[str, Any], results: Sequence[Result]) -> list[Item]:
    """The items of the MICCAI reproducibility checklist that a record can answer."""
    return [
        Item("Description of the data and its splits", _splits(results)),
        Item("Whether patients (groups) are in one split alone", UNKNOWN),
        Item("Number of training and evaluation runs", _seeds(comparison)),
        Item("Measures reported and their variation", _error_bars(comparison)),
        Item("Statistical analysis", _tests(comparison)),
        Item("Failure analysis", "The images that decide are in the report of the study."),
        Item("Memory footprint and run time", _memory(results)),
        Item("Infrastructure", ", ".join(compute(results).machines) or UNKNOWN),
        Item("Ethics approval of the data", UNKNOWN),
    ]


def _setting(configs: Sequence[Mapping[str, Any]]) -> str:
    def shared(*path: str) -> str:
        values = []
        for config in configs:
            node: Any = config
            for key in path:
                node = node.get(key) if isinstance(node, Mapping) else None
            values.append(node)
        distinct = {str(value) for value in values if value is not None}
        if not distinct:
            return UNKNOWN
        return distinct.pop() if len(distinct) == 1 else f"differs ({', '.join(sorted(distinct))})"

    names = {
        "optimizer": ("optimizer", "_target_"), "learning rate": ("optimizer", "lr"),
        "schedule": ("scheduler", "_target_"), "epochs": ("trainer", "max_epochs"),
        "batch size": ("data", "batch_size"), "crop": ("data", "crop_size"),
        "loss": ("loss", "_target_"), "weights tested": ("selection",),
    }  # fmt: skip
    return "; ".join(f"{name}: {shared(*path)}" for name, path in names.items()) + "."


def _splits(results: Sequence[Result]) -> str:
    for result in results:
        if result.data_info is not None:
            info = result.data_info
            sizes = ", ".join(f"{split} {count}" for split, count in info.num_images.items())
            official = "official" if info.comparable else "not the official"
            return f"{info.protocol}: {sizes or UNKNOWN} images; {official} protocol."
    return UNKNOWN


def _tuning(results: Sequence[Result]) -> str:
    trials = {result.name: result.budget.tuning_trials for result in results}
    known = {name: number for name, number in trials.items() if number is not None}
    if not known:
        return UNKNOWN
    return "; ".join(f"{name}: {number} trials" for name, number in known.items()) + "."


def _error_bars(comparison: Mapping[str, Any]) -> str:
    return (
        f"{100 * comparison['confidence']:g}% intervals of the mean over seeds, by Student's t: "
        "variance over seeds / number of seeds + variance over images by a bootstrap of "
        f"{comparison['unit']}s ({comparison['replicates']} replicates). {_seeds(comparison)}"
    )


def _tests(comparison: Mapping[str, Any]) -> str:
    text = "Paired on the same images; p values corrected by Holm over all pairs of models."
    if margin := comparison.get("margin"):
        text += f" Margin of {margin['points']:g} points against {margin['baseline']}: "
        text += margin["note"]
    return text


def _seeds(comparison: Mapping[str, Any]) -> str:
    parts = [f"{row['label']}: {len(row['seeds'])}" for row in comparison["leaderboard"]]
    return f"Runs per model: {', '.join(parts)}."


def _licenses(results: Sequence[Result]) -> str:
    data = sorted({result.data for result in results})
    return (
        f"Data sets: {', '.join(data) or UNKNOWN}; their licenses: {UNKNOWN}, see their homepages."
    )


def _code(results: Sequence[Result]) -> str:
    commits = sorted({result.commit or UNKNOWN for result in results})
    dirty = any(result.dirty for result in results)
    text = f"segbench, commit {', '.join(commits)}"
    text += " (with uncommitted changes)" if dirty else ""
    commands = list(dict.fromkeys(result.command for result in results if result.command))
    return f"{text}; command: {commands[0] if commands else UNKNOWN}."


def _memory(results: Sequence[Result]) -> str:
    peaks = [r.timings.peak_memory_MiB for r in results if r.timings.peak_memory_MiB is not None]
    return f"Up to {max(peaks):.0f} MiB of GPU memory in training." if peaks else UNKNOWN
