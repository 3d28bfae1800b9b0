"""Accuracy and cost together: which models are dominated, with intervals on both axes.

A model is dominated where another one costs no more and is better: both must be sure. A cost is
known exactly (parameters, MACs, memory) or as an interval over rounds of timing (latency); accuracy
is judged by the corrected verdicts. Where a margin is set, a baseline is also dominated within the
margin by a model that costs less and is not worse by the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.comparison.content import Domination
from segbench.comparison.margins import EQUIVALENT, NOT_WORSE
from segbench.comparison.tables import Column, Table
from segbench.comparison.verdicts import BETTER, WORSE
from segbench.comparison.wording import about, bounds, join
from segbench.metrics.scores import amount, percent

COSTS = {
    "latency_ms": "latency (ms, median)", "params": "parameters",
    "macs": "multiply-accumulates (MACs)", "peak_memory_mib": "peak memory (MiB)",
}  # fmt: skip
COUNTS = ("params", "macs")  # shown with K, M, G
OF_A_MACHINE = ("latency_ms", "peak_memory_mib")
DOMINATED, WITHIN_MARGIN = "dominated", "dominated within the margin"
OPEN, FRONT = "open", "not dominated"


@dataclass(frozen=True)
class Cost:
    """One cost of one model: its value and the interval that contains it."""

    label: str
    value: float
    low: float
    high: float


def panels(comparison: Mapping[str, Any]) -> dict[tuple[str, str], list[Cost]]:
    """The costs by measure and machine: times and memory of two machines are never mixed."""
    known = {row["label"] for row in comparison["leaderboard"]}
    found: dict[tuple[str, str], list[Cost]] = {}
    for entry in comparison["costs"]:
        for key in COSTS:
            value = entry.get(key)
            if value and entry["model"] in known:
                machine = entry.get("device", "") if key in OF_A_MACHINE else ""
                # The spread is that of all rounds, from the fastest to the slowest.
                half = value * (entry.get("latency_spread") or 0) / 2 if key == "latency_ms" else 0
                cost = Cost(entry["model"], value, max(0.0, value - half), value + half)
                found.setdefault((key, machine), []).append(cost)
    return found


def domination(comparison: Mapping[str, Any]) -> list[Domination]:
    """For each cost and model, whether another one makes it pointless, and which."""
    ahead = _accuracy(comparison)
    margin = comparison.get("margin")
    as_good = {
        row["label"] for row in margin["models"] if row["verdict"] in (EQUIVALENT, NOT_WORSE)
    } if margin else set()  # fmt: skip
    value = {row["label"]: row["value"] for row in comparison["leaderboard"]}
    order = list(value)
    found: list[Domination] = []
    for (measure, machine), costs in panels(comparison).items():
        for cost in sorted(costs, key=lambda cost: order.index(cost.label)):
            others = [other for other in costs if other.label != cost.label]
            better = [
                o.label for o in others if o.high <= cost.low and (o.label, cost.label) in ahead
            ]
            close = [o.label for o in others if o.high < cost.low and o.label in as_good]
            close = close if margin and cost.label == margin["baseline"] else []
            maybe = [o.label for o in others
                     if o.low <= cost.high and (value[o.label] or 0) >= (value[cost.label] or 0)
                     and (cost.label, o.label) not in ahead]  # fmt: skip
            status, by = next(
                (
                    (s, by)
                    for s, by in ((DOMINATED, better), (WITHIN_MARGIN, close), (OPEN, maybe))
                    if by
                ),
                (FRONT, []),
            )
            found.append({"measure": measure, "device": machine, "model": cost.label,
                          "value": cost.value, "interval": [cost.low, cost.high],
                          "status": status, "by": by})  # fmt: skip
    return found


def _accuracy(comparison: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The pairs of labels of which the first is better by the corrected test."""
    found = set()
    for pair in comparison["pairs"]:
        if pair["verdict"] == BETTER:
            found.add((pair["a"], pair["b"]))
        elif pair["verdict"] == WORSE:
            found.add((pair["b"], pair["a"]))
    return found


def tables(comparison: Mapping[str, Any]) -> dict[str, Table]:
    """A table for each cost and machine, by its title; one row per model."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in comparison["domination"]:
        title = COSTS[row["measure"]] + (f", {row['device']}" if row["device"] else "")
        groups.setdefault(title, []).append(row)
    return {title: _table(comparison, rows) for title, rows in groups.items() if len(rows) > 1}


def _table(comparison: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    first = rows[0]
    score = {row["label"]: row for row in comparison["leaderboard"]}
    form = amount if first["measure"] in COUNTS else "{:.1f}".format
    word = about(comparison["approximate"])

    def interval(row: Mapping[str, Any]) -> str:
        low, high = row["interval"]
        return "exact" if low == high else f"{form(low)} to {form(high)}"

    def score_text(row: Mapping[str, Any]) -> str:
        return f"{percent(row['value'])} ({word}{bounds(row['interval'])})"

    columns = (
        Column("model", "", lambda row: row["model"], is_text=True),
        Column(COSTS[first["measure"]], "", lambda row: form(row["value"])),
        Column("range", "from the fastest to the slowest round; counts are exact", interval),
        Column(f"{comparison['metric']} (%)", "with its interval",
               lambda row: score_text(score[row["model"]])),
        Column("verdict", "dominated: another model costs no more and is better, both beyond "
               "doubt; open: another one looks so, but the runs do not show it",
               lambda row: row["status"] + (f" by {join(row['by'])}"
                                            if row["status"] in (DOMINATED, WITHIN_MARGIN) else "")
               + (f" ({join(row['by'])})" if row["status"] == OPEN else ""), is_text=True),
    )  # fmt: skip
    return Table(columns, tuple(rows))
