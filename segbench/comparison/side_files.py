"""Optional files of a study besides the scores: learning curves and measured costs.

A report works without them, so a problem with such a file affects only that file: it is left out
by name, and the comparison continues.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from segbench.comparison.content import Cost, Curve
from segbench.comparison.runs import LeftOut, Run
from segbench.comparison.study import Study

MEASURES = ("params", "macs", "latency_ms", "peak_memory_mib")
SHOWN = (*MEASURES, "latency_spread", "device")
LAST_EPOCH = 10_000_000  # beyond it is no epoch but damage


def read_costs(study: Study) -> tuple[list[Cost], list[LeftOut]]:
    """Reads measured costs: `benchmark.json` of the study, or the parameter counts of its runs.

    Returns:
        Entries with `model` and any of `device`, `params`, `macs`, `latency_ms` (median),
        `latency_spread` (between rounds, a share), `peak_memory_mib`, where times and memory belong
        to their `device`; and what was left out.
    """
    file = study.path / "benchmark.json"
    left_out: list[LeftOut] = []
    entries: list[Cost] = []
    if file.exists():
        labels = {run.result.name: run.label for runs in study.runs.values() for run in runs}
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
            for number, entry in enumerate(content["models"]):
                found = _cost(entry, labels, study)
                if isinstance(found, str):
                    reason = f"entry {number} of models: {found}; measure again"
                    left_out.append(LeftOut(file, reason, broken=True))
                elif found:
                    entries.append(found)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"contains no readable costs ({_why(error)}); measure again or remove it"
            left_out.append(LeftOut(file, reason, broken=True))
    known = {entry["model"] for entry in entries}
    counted: list[Cost] = [
        {"model": label, "params": params}
        for label, runs in study.runs.items()
        if label not in known and (params := positive(runs[0].result.params))
    ]
    return entries + counted, left_out


def positive(value: Any, or_zero: bool = False) -> float | int | None:
    """A finite number above zero, or zero with `or_zero`; None if it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value < 1e18 or (or_zero and value == 0) else None


def _cost(entry: Any, labels: Mapping[str, str], study: Study) -> Cost | str:
    """The entry with the label of its model; {} if no run of the study has it; or the problem."""
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        return "does not name a model"
    label = labels.get(entry["model"], entry["model"])
    if label not in study.runs:
        return {}
    for key in MEASURES:
        if entry.get(key) is not None and positive(entry[key]) is None:
            return f"{key} of {entry['model']} is not a positive number: {str(entry[key])[:40]}"
    spread = entry.get("latency_spread")
    if spread is not None and positive(spread, or_zero=True) is None:
        return f"latency_spread of {entry['model']} is no share: {str(spread)[:40]}"
    device = entry.get("device")
    if device is not None and not isinstance(device, str):
        return f"device of {entry['model']} is not text"
    measured = {key: entry[key] for key in (*SHOWN, "device") if key in entry}
    return cast(Cost, {**measured, "model": label})


def read_curves(
    study: Study, keys: Sequence[str]
) -> tuple[dict[str, dict[str, Curve]], list[LeftOut]]:
    """Reads learning curves over the epochs that all seeds of a model have.

    Args:
        study: the runs, each with its metrics.csv.
        keys: columns of that file.

    Returns:
        For each label and key `epochs` (from 1), `mean`, `low` and `high` over the seeds; and what
        was left out.
    """
    curves: dict[str, dict[str, Curve]] = {}
    left_out: list[LeftOut] = []
    for label, runs in study.runs.items():
        tables = []
        for run in runs:
            try:
                tables.append(_epochs(run, keys))
            except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
                file = run.path / "metrics.csv"
                reason = f"contains no readable learning curve ({_why(error)})"
                left_out.append(LeftOut(file, reason, broken=True))
        found = {key: curve for key in keys if (curve := _curve([t[key] for t in tables]))}
        if found:
            curves[label] = found
    return curves, left_out


def _epochs(run: Run, keys: Sequence[str]) -> dict[str, dict[int, float]]:
    """Value by epoch of each column; empty if the run has none."""
    file = run.path / "metrics.csv"
    found: dict[str, dict[int, float]] = {key: {} for key in keys}
    if not file.exists():  # predictions made elsewhere have no curves
        return found
    with file.open(newline="", encoding="utf-8-sig") as handle:
        rows = csv.DictReader(handle)
        for row in rows:
            for key in keys:
                if row.get(key):
                    epoch = float(row["epoch"])
                    if not (0 <= epoch < LAST_EPOCH and epoch == int(epoch)):
                        raise ValueError(f"line {rows.line_num}: epoch {row['epoch']}")
                    found[key][int(epoch) + 1] = float(row[key])
    return found


def _curve(series: Sequence[Mapping[int, float]]) -> Curve | None:
    known = [entry for entry in series if entry]
    shared = sorted(set.intersection(*map(set, known))) if known else []
    if len(shared) < 2:
        return None
    values = np.array([[entry[epoch] for epoch in shared] for entry in known])
    values[~np.isfinite(values)] = np.nan  # a diverged epoch becomes a gap in the curve
    return {
        "epochs": shared,
        "mean": values.mean(axis=0),
        "low": values.min(axis=0),
        "high": values.max(axis=0),
    }


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error) or type(error).__name__


def relative(path: Path, study: Study) -> str:
    """A path as shown in reports: relative to the study."""
    return path.relative_to(study.path).as_posix()
