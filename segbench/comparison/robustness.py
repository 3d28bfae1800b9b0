"""Corrupted images in a report: every model by corruption, and the headline difference in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from segbench.comparison.content import Finding, RobustnessEntry, RobustnessRow
from segbench.comparison.corrupted import names_of
from segbench.comparison.entrants import Entrant
from segbench.comparison.measures import entrants_by
from segbench.comparison.runs import Run
from segbench.comparison.statistics import Estimate, Resampled, holm
from segbench.comparison.study import Study
from segbench.comparison.tables import Column, Table
from segbench.comparison.wording import bounds, join, p_value, points
from segbench.metrics.robustness import CORRUPTED, Scored, summary
from segbench.metrics.scores import percent

CLEAN, MEAN, DROP = "clean", "mean", "drop"  # rows besides the corruptions


def robustness(
    study: Study,
    pair: tuple[str, str] | None,
    confidence: float,
    resampled: Callable[[Sequence[Entrant], str], Resampled],
) -> tuple[RobustnessEntry | None, list[Finding]]:
    """The scores on corrupted images, if all runs have them; else a finding if some have.

    Args:
        study: the runs.
        pair: labels of the two models that are compared.
        confidence: of intervals; p values are corrected by Holm over the rows.
        resampled: resamples models by a metric.
    """
    done = {label: [run.scores.corrupted for run in runs] for label, runs in study.runs.items()}
    every = [scored for found in done.values() for scored in found]
    known = [scored for scored in every if scored]
    if not known:
        return None, []
    sets = {tuple((name, *by) for name, by in scored.items()) for scored in known}
    if len(known) < len(every) or len(sets) > 1:
        words = {label: "; ".join(dict.fromkeys(_words(s) for s in found))
                 for label, found in done.items()}  # fmt: skip
        why = "not all runs were scored on the same corrupted images, so these are not compared"
        return None, [{"field": "corrupted images", "grade": "note", "why": why, "values": words}]
    names, severities = names_of(known[0])
    values = {label: _values(runs, names) for label, runs in study.runs.items()}
    rows: list[RobustnessRow] = [
        {"name": name, "values": {label: of[name] for label, of in values.items()},
         "value": None, "interval": [None, None], "p_holm": None}
        for name in (CLEAN, *names, MEAN, DROP)
    ]  # fmt: skip
    if pair is not None:
        _add_difference(rows, _difference(study, pair, resampled), confidence)
    return {
        "severities": severities,
        "pair": None if pair is None else list(pair),
        "rows": rows,
        "worst": {label: min(names, key=lambda name: _rank(of[name]))
                  for label, of in values.items()},
    }, []  # fmt: skip


def _words(scored: Scored | None) -> str:
    parts = [f"{name} {','.join(by)}" for name, by in (scored or {}).items()]
    return ", ".join(parts) or "none"


def _rank(value: float | None) -> float:
    return np.inf if value is None else value


def _values(runs: Sequence[Run], names: Sequence[str]) -> dict[str, float | None]:
    """Means over the runs of a model, by row."""
    found = [summary(run.scores.corrupted or {}, run.scores.mIoU) for run in runs]
    return {
        CLEAN: _mean([run.scores.mIoU for run in runs]),
        **{name: _mean([of["mean"].get(name) for of in found]) for name in names},
        MEAN: _mean([of["mean_corrupted"] for of in found]),
        DROP: _mean([of["drop"] for of in found]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _difference(
    study: Study,
    pair: tuple[str, str],
    resampled: Callable[[Sequence[Entrant], str], Resampled],
) -> Estimate:
    """First minus second; its columns are the corruptions, the drop, the mean."""
    both = replace(study, runs={label: study.runs[label] for label in pair})
    return resampled(entrants_by(both, CORRUPTED), CORRUPTED).difference(0, 1)


def _add_difference(rows: Sequence[RobustnessRow], estimate: Estimate, confidence: float) -> None:
    *corrupted, mean, drop = rows[1:]
    tested = [*corrupted, drop, mean]
    for column, (row, p) in enumerate(zip(tested, holm(estimate.p_value()), strict=True)):
        found = estimate.summary(column, confidence)
        row["value"], row["interval"], row["p_holm"] = found["value"], found["interval"], float(p)


def table(comparison: Mapping[str, Any]) -> Table:
    """One row for clean images, each corruption, their mean, and the drop."""
    found = comparison["robustness"]
    columns = [
        Column("images", f"severities {', '.join(found['severities'])} averaged; the drop is clean "
               "minus mean", lambda row: row["name"].replace("_", " "),
               {"images": lambda row: row["name"]}, is_text=True),
        *(_model(row["label"]) for row in comparison["leaderboard"]),
    ]  # fmt: skip
    if found["pair"]:
        a, b = found["pair"]
        columns += [
            Column(f"{a} − {b}", "in points of mIoU, with its interval", _shown,
                   {"difference": lambda row: row["value"],
                    "low": lambda row: row["interval"][0],
                    "high": lambda row: row["interval"][1]}),
            Column("p (Holm)", "corrected over the rows of this table",
                   lambda row: p_value(row["p_holm"], bare=True),
                   {"p_holm": lambda row: row["p_holm"]}),
        ]  # fmt: skip
    return Table(tuple(columns), tuple(found["rows"]))


def _model(label: str) -> Column:
    return Column(label, "mIoU (%), mean over seeds; the drop in points",
                  lambda row: percent(row["values"][label]),
                  {label: lambda row: row["values"][label]})  # fmt: skip


def _shown(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return points(None)
    return f"{points(row['value'])} ({bounds(row['interval'], signed=True)})"


def sentence(comparison: Mapping[str, Any]) -> str:
    """What every model loses, and on which corruption it is worst."""
    found = comparison["robustness"]
    rows = {row["name"]: row["values"] for row in found["rows"]}
    parts = []
    for label, worst in found["worst"].items():
        text = (
            f"{label} drops by {percent(rows[DROP][label])} points to {percent(rows[MEAN][label])}%"
        )
        parts.append(f"{text} (worst: {worst.replace('_', ' ')}, {percent(rows[worst][label])}%)")
    number = len(found["rows"]) - 3
    over = f"{number} corruption{'s' * (number != 1)}"
    levels = found["severities"]
    over += f" at severit{'ies' if len(levels) > 1 else 'y'} {join(levels)}"
    return f"Mean mIoU over {over}: {'; '.join(parts)}. The noise is the same for every model."
