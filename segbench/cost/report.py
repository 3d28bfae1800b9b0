"""The printed table and the JSON file of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segbench.artifacts import provenance
from segbench.metrics.scores import amount
from segbench.system.console import console, say, table

Row = dict[str, Any]
PARTS = ("data", "forward", "backward", "optimizer", "logging")


def report(rows: Sequence[Row], options: dict[str, Any]) -> dict[str, Any]:
    """The content of benchmark.json.

    Args:
        rows: the measurements, in order.
        options: options of the command.

    Returns:
        `models` has one row for each model that could be measured, at the first size and in the
        first mode; `measurements` has all rows.
    """
    commit, dirty = provenance.commit()
    first: dict[str, Row] = {}
    for row in rows:
        if not row["error"]:
            first.setdefault(row["model"], row)
    return {
        "schema_version": 1,
        "command": provenance.command(),
        "commit": commit,
        "dirty": dirty,
        "options": options,
        "models": list(first.values()),
        "measurements": list(rows),
    }


def print_costs(rows: Sequence[Row], file: Path) -> None:
    """Prints one table for each device, size and mode."""
    measured = [row for row in rows if not row["error"]]
    for device, height, width in dict.fromkeys((row["device"], *row["input"]) for row in measured):
        same = [
            row for row in measured if (row["device"], *row["input"]) == (device, height, width)
        ]
        heads: tuple[str, ...] = (
            *("params", "GMACs", "latency ms", "p95", "± rounds", "CPU ms", "± rounds"),
            *("images/s", "memory MiB"),
        )
        training = ("memory MiB, train", "step ms", "/".join(PARTS) + " %")
        has_training = any("train_step_ms" in row for row in same)
        heads += training if has_training else ()
        costs = table("model", *heads, title=f"{height}x{width}, {device}")
        for row in sorted(same, key=lambda row: row["latency_ms"]):
            costs.add_row(row["model"], *_inference_cells(row), *_training_cells(row))
        console().print(costs)
    for row in rows:
        if row["error"]:
            say(f"not measured: {row['model']}, {row['mode']}: {row['error']}")
    say(f"written: {file}")


def _inference_cells(row: Row) -> list[str]:
    return [
        amount(row["params"]),
        f"{row['macs'] / 1e9:.2f}",
        f"{row['latency_ms']:.1f}",
        f"{row['latency_p95_ms']:.1f}",
        f"{100 * row['latency_spread']:.0f} %",
        *_cpu_cells(row),
        f"{row['throughput']:.1f} (batch {row['throughput_batch']})",
        _mib(row["peak_memory_mib"]),
    ]


def _cpu_cells(row: Row) -> tuple[str, str]:
    if row.get("cpu_ms") is None:
        return "", ""
    return f"{row['cpu_ms']:.1f}", f"{100 * row['cpu_spread']:.0f} %"


def _training_cells(row: Row) -> list[str]:
    if "train_step_ms" not in row:
        return []
    times = row["train_step_ms"]
    together = sum(times[part] for part in PARTS)  # parts with syncs: more than the total
    shares = "/".join(f"{100 * times[part] / together:.0f}" for part in PARTS)
    return [_mib(row["peak_memory_training_mib"]), f"{times['total']:.0f}", shares]


def _mib(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
