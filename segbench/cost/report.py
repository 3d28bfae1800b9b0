"""The printed table and the JSON file of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from segbench.artifacts import provenance
from segbench.config import Config
from segbench.cost.row import Failure, Row
from segbench.metrics.scores import amount
from segbench.system.console import console, say, table

PARTS = ("data", "forward", "backward", "optimizer", "logging")


class Report(TypedDict):
    """The content of benchmark.json.

    `models` has one row for each model that could be measured, at the first size and in the first
    mode; `measurements` has all rows.
    """

    schema_version: int
    command: str
    commit: str | None
    dirty: bool | None
    options: Config
    models: list[Row]
    measurements: list[Row | Failure]


def report(rows: Sequence[Row | Failure], options: Config) -> Report:
    """The content of benchmark.json.

    Args:
        rows: as measured, in order.
        options: of the command.
    """
    commit, dirty = provenance.commit()
    first: dict[str, Row] = {}
    for row in _measured(rows):
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


def _measured(rows: Sequence[Row | Failure]) -> list[Row]:
    return [row for row in rows if row["error"] is None]


def print_costs(rows: Sequence[Row | Failure], file: Path) -> None:
    """Prints one table for each device, size and mode."""
    measured = _measured(rows)
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
    for one in rows:
        if one["error"] is not None:
            say(f"not measured: {one['model']}, {one['mode']}: {one['error']}")
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
    cpu, spread = row["cpu_ms"], row["cpu_spread"]
    return ("", "") if cpu is None or spread is None else (f"{cpu:.1f}", f"{100 * spread:.0f} %")


def _training_cells(row: Row) -> list[str]:
    if "train_step_ms" not in row:
        return []
    times = row["train_step_ms"]
    together = sum(times[part] for part in PARTS)  # parts with syncs: more than the total
    shares = "/".join(f"{100 * times[part] / together:.0f}" for part in PARTS)
    return [_mib(row["peak_memory_training_mib"]), f"{times['total']:.0f}", shares]


def _mib(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
