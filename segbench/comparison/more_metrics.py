"""Further metrics of a study, beside the tested one: each model's value with its interval.

Of the two models of the headline also the difference, with p values corrected by Holm over the
metrics that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from segbench.comparison.content import MetricEntry
from segbench.comparison.entrants import Entrant
from segbench.comparison.measures import APPROXIMATE, MEASURES, PERCENT, entrants_by
from segbench.comparison.statistics import Resampled, holm
from segbench.comparison.study import Study
from segbench.comparison.tables import Column, Table
from segbench.comparison.verdicts import BETTER, ONE_SEED, UNCLEAR, WORSE
from segbench.comparison.wording import about, p_value
from segbench.metrics.scores import MISSING


def more_metrics(
    study: Study,
    names: Sequence[str],
    pair: tuple[str, str] | None,
    confidence: float,
    resampled: Callable[[Sequence[Entrant], str], Resampled],
) -> list[MetricEntry]:
    """Each metric with all models, and the difference of a pair of them.

    Args:
        study: the runs.
        names: of metrics, see `measures`.
        pair: labels of the two models that are compared.
        confidence: of intervals.
        resampled: resamples the models by a metric.

    Raises:
        DataError: the runs lack the counts of a metric.
    """
    found: list[MetricEntry] = []
    for name in names:
        entrants = entrants_by(study, name)
        labels = [entrant.name for entrant in entrants]
        drawn = resampled(entrants, name)
        entry: MetricEntry = {
            "metric": name,
            "approximate": MEASURES[name].is_approximate,
            "models": [
                {"label": label, **drawn.model(i).summary(-1, confidence)}
                for i, label in enumerate(labels)
            ],
            "difference": None,
        }
        if pair is not None:
            a, b = (labels.index(label) for label in pair)
            estimate = drawn.difference(a, b)
            entry["difference"] = {
                **estimate.summary(-1, confidence),
                "a": pair[0],
                "b": pair[1],
                "p": estimate.p_value()[-1],
                "seeds": min(len(entrants[i].seeds) for i in (a, b)),
                "p_holm": np.nan,
                "verdict": UNCLEAR,
            }
        found.append(entry)
    tested = [entry["difference"] for entry in found if entry["difference"]]
    for difference, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
        difference["p_holm"] = p
    for entry in found:
        if entry["difference"]:
            entry["difference"]["verdict"] = _verdict(entry, 1 - confidence)
    return found


def _verdict(entry: Mapping[str, Any], level: float) -> str:
    difference = entry["difference"]
    if difference["seeds"] < 2:
        return ONE_SEED
    if not difference["p_holm"] < level:  # true for NaN
        return UNCLEAR
    is_lower = MEASURES[entry["metric"]].is_lower_better
    return BETTER if (np.sign(difference["value"]) > 0) != is_lower else WORSE


def table(comparison: Mapping[str, Any]) -> Table:
    """One row per metric."""
    found = comparison["metrics"]
    columns = [
        Column("metric", "an arrow says whether more or less is better", _name,
               {"metric": lambda row: row["metric"]}, is_text=True),
        *(_model(row["label"], i) for i, row in enumerate(found[0]["models"])),
    ]  # fmt: skip
    if first := found[0]["difference"]:
        columns += [
            Column(f"{first['a']} − {first['b']}", "with its interval", _difference,
                   {"difference": lambda row: row["difference"]["value"]}),
            Column("p (Holm)", "corrected over the metrics of this table",
                   lambda row: p_value(row["difference"]["p_holm"], bare=True),
                   {"p_holm": lambda row: row["difference"]["p_holm"]}),
            Column("verdict", f"on {first['a']}", lambda row: row["difference"]["verdict"],
                   {"verdict": lambda row: row["difference"]["verdict"]}, is_text=True),
        ]  # fmt: skip
    return Table(tuple(columns), tuple(found))


def definitions(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and definition of each metric of the table."""
    return [(row["metric"], MEASURES[row["metric"]].help) for row in comparison["metrics"]]


def note(comparison: Mapping[str, Any]) -> str:
    """What to know of intervals that begin with `about`; empty if there are none."""
    return APPROXIMATE * any(row["approximate"] for row in comparison["metrics"])


def _name(row: Mapping[str, Any]) -> str:
    measure = MEASURES[row["metric"]]
    unit = f" ({measure.unit})" if measure.unit else ""
    return f"{measure.name}{unit} {'↓' if measure.is_lower_better else '↑'}"


def _model(label: str, place: int) -> Column:
    def text(row: Mapping[str, Any]) -> str:
        entry = row["models"][place]
        return f"{_number(entry['value'], row)} ({_interval(entry['interval'], row)})"

    return Column(label, "mean over seeds and its interval", text,
                  {label: lambda row: row["models"][place]["value"]})  # fmt: skip


def _difference(row: Mapping[str, Any]) -> str:
    entry = row["difference"]
    return f"{_number(entry['value'], row, '+')} ({_interval(entry['interval'], row, '+')})"


def _interval(interval: Sequence[float | None], row: Mapping[str, Any], sign: str = "") -> str:
    return about(row["approximate"]) + " to ".join(_number(bound, row, sign) for bound in interval)


def _number(value: float | None, row: Mapping[str, Any], sign: str = "") -> str:
    if value is None:
        return MISSING
    is_percent = MEASURES[row["metric"]].unit == PERCENT
    text = f"{100 * value:{sign}.1f}" if is_percent else f"{value:{sign}.3f}"
    return text.replace("-", "−")
