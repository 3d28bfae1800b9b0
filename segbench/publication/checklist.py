"""The questions of NeurIPS and MICCAI about experiments, answered from the records of studies.

An answer says "not known" where the records do not say: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.artifacts import licenses
from segbench.artifacts.public_copy import public_command
from segbench.artifacts.result import Result
from segbench.artifacts.trained_as import as_trained
from segbench.comparison.measures import APPROXIMATE
from segbench.publication import compute
from segbench.publication.compute import UNKNOWN, Spent

COMMIT = 12  # characters of a commit that are shown


@dataclass(frozen=True)
class Item:
    """One question and its answer, both plain text."""

    question: str
    answer: str


@dataclass(frozen=True)
class Evidence:
    """What the answers are taken from.

    Args:
        comparisons: of each study, see `comparison.compare_runs`.
        results: the records of all runs, also of those that are not compared.
        spent: their time, and that of the tuning.
        compared: the records of the compared runs.
    """

    comparisons: Sequence[Mapping[str, Any]]
    results: Sequence[Result]
    spent: Sequence[Spent]
    compared: Sequence[Result]

    @property
    def trained(self) -> list[Result]:
        """The compared trainings, and those of the compared checkpoints."""
        return [as_trained(result) or result for result in self.compared]


def neurips(evidence: Evidence) -> list[Item]:
    """The items of the NeurIPS paper checklist on experiments."""
    configs = [result.config for result in evidence.trained]
    return [
        Item("Experimental setting: training and test details", _setting(configs)),
        Item("Experimental setting: data splits", _splits(evidence)),
        Item("Experimental setting: selection of hyperparameters", _tuning(evidence.trained)),
        Item("Statistical significance: error bars, and what varies", _error_bars(evidence)),
        Item("Statistical significance: tests", _tests(evidence)),
        Item("Compute resources: each run and in total, with failed runs and tuning",
             compute.sentence(evidence.spent, compute.stated_trials(evidence.results))),
        Item("Licenses of data sets", _stated(licenses.of_data(evidence.results))),
        Item("Licenses of the weights that models start from",
             _stated(licenses.of_weights(evidence.results))),
        Item("Reproducibility: code, commit, command", _code(evidence.trained)),
    ]  # fmt: skip


def miccai(evidence: Evidence) -> list[Item]:
    """The items of the MICCAI reproducibility checklist that a record can answer."""
    return [
        Item("Description of the data and its splits", _splits(evidence)),
        Item("Whether patients (groups) are in one split alone", UNKNOWN),
        Item("Number of training and evaluation runs", _seeds(evidence)),
        Item("Measures reported and their variation", _error_bars(evidence)),
        Item("Statistical analysis", _tests(evidence)),
        Item("Failure analysis", "The images that decide are in the report of each study."),
        Item("Memory footprint and run time", _memory(evidence.results)),
        Item("Infrastructure", compute.machines_of(evidence.spent)),
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


def _splits(evidence: Evidence) -> str:
    found = dict[str, None]()
    for result in evidence.trained:
        if info := result.data_info:
            sizes = ", ".join(f"{split} {count}" for split, count in info.num_images.items())
            official = "official" if info.comparable else "not the official"
            found[f"{info.protocol}: {sizes or UNKNOWN} images; {official} protocol."] = None
    return " ".join(found) or UNKNOWN


def _tuning(results: Sequence[Result]) -> str:
    known = {
        f"{result.name}: {result.budget.tuning_trials} trials"
        for result in results
        if result.budget.tuning_trials is not None
    }
    return "; ".join(sorted(known)) + "." if known else UNKNOWN


def _error_bars(evidence: Evidence) -> str:
    first = evidence.comparisons[0]
    units = dict.fromkeys(f"{found['unit']}s" for found in evidence.comparisons)
    shown = [part for found in evidence.comparisons for part in (found, *found["metrics"])]
    limit = f" {APPROXIMATE}" * any(part["approximate"] for part in shown)
    return (
        f"{100 * first['confidence']:g}% intervals of the mean over seeds, by Student's t: "
        "variance over seeds / number of seeds + variance over images by a bootstrap of "
        f"{', '.join(units)} ({first['replicates']} replicates).{limit} {_seeds(evidence)}"
    )


def _tests(evidence: Evidence) -> str:
    text = "Paired on the same images; p values corrected by Holm over all pairs of models"
    text += " and data sets." if len(evidence.comparisons) > 1 else "."
    for found in evidence.comparisons:
        if margin := found["margin"]:
            text += f" {found['study']}: margin of {margin['points']:g} points against "
            text += f"{margin['baseline']}. {margin['note']}"
    return text


def _seeds(evidence: Evidence) -> str:
    parts = []
    for found in evidence.comparisons:
        runs = [f"{row['label']} {len(row['seeds'])}" for row in found["leaderboard"]]
        parts.append(f"{found['study']}: {', '.join(runs)}")
    return f"Runs per model: {'; '.join(parts)}."


def _stated(found: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text.rstrip('.')}" for name, text in found.items()) or UNKNOWN


def _code(results: Sequence[Result]) -> str:
    commits = sorted({(result.commit or UNKNOWN)[:COMMIT] for result in results})
    dirty = any(result.dirty for result in results)
    text = f"segbench, commit {', '.join(commits)}"
    text += " (with uncommitted changes)" if dirty else ""
    if any(result.kind == "evaluate" for result in results):
        text += "; of evaluated checkpoints, that of the evaluation: their own is not recorded"
    commands = dict.fromkeys(public_command(result.command) for result in results if result.command)
    return f"{text}; command of the first run: {next(iter(commands), UNKNOWN)}."


def _memory(results: Sequence[Result]) -> str:
    peaks = [r.timings.peak_memory_MiB for r in results if r.timings.peak_memory_MiB is not None]
    return f"Up to {max(peaks):.0f} MiB of GPU memory in training." if peaks else UNKNOWN
