"""The figures of a report: drawn once, as SVG that follows the page's light or dark colours.

Colours are those of Okabe & Ito (2008), which readers with any colour vision can tell apart; models
also differ in marker, and every axis says its unit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segbench.comparison.runs import Run
from segbench.comparison.study import Study

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS = "osD^vPX"
# Stand-ins that `inline_svg` replaces by the text and grid colours of the page.
INK, GRID = "#232425", "#d9dadb"
DIVERGING = LinearSegmentedColormap.from_list("okabe", ["#D55E00", "#f7f7f7", "#0072B2"])
WIDTH = 5.6
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "segbench", "font.family": "sans-serif",
    "font.size": 9, "text.color": INK, "axes.edgecolor": GRID, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "figure.constrained_layout.use": True,
}  # fmt: skip
COSTS = {
    "latency_ms": "latency (ms, median)", "params": "parameters (millions)",
    "macs": "MACs (billions)", "peak_memory_mib": "peak memory (MiB)",
}  # fmt: skip
SCALE = {"params": 1e6, "macs": 1e9}


def figures(study: Study, comparison: Mapping[str, Any]) -> dict[str, Figure]:
    """All figures there is data for, by name."""
    with matplotlib.rc_context(STYLE):
        drawn = {
            "leaderboard": leaderboard(comparison),
            "cost": cost(comparison),
            "classes": class_differences(comparison),
            "curves": curves(study, comparison),
            "confusion": confusion(study, comparison),
        }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def save(figure: Figure, stem: Path) -> None:
    """Writes `stem.svg` and `stem.png`."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=200, facecolor="white")


def inline_svg(figure: Figure) -> str:
    """The SVG element alone, with the page's colours for text and grid."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return text.replace(INK, "currentColor").replace(GRID, "var(--line)")


def look(comparison: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model, by its place on the leaderboard."""
    return {
        row["label"]: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
        for i, row in enumerate(comparison["leaderboard"])
    }


def leaderboard(comparison: Mapping[str, Any]) -> Figure:
    """Mean mIoU with interval, and each seed as a small mark."""
    rows = comparison["leaderboard"]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        color, marker = look(comparison)[row["label"]]
        axes.plot([100 * x for x in row["interval"]], [place, place], color=color, linewidth=2)
        axes.plot(100 * row["value"], place, marker, color=color, markersize=7)
        seeds = [100 * x for x in row["scores"]]
        axes.plot(seeds, [place + 0.22] * len(seeds), "|", color=color, markersize=6)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"mIoU (%) with {100 * comparison['confidence']:.0f}% interval; ticks: seeds")
    return figure


def cost(comparison: Mapping[str, Any]) -> Figure | None:
    """mIoU against each measured cost; one panel per measure and device, Pareto front marked."""
    scores = {row["label"]: row for row in comparison["leaderboard"]}
    panels: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for entry in comparison["costs"]:
        for key in COSTS:
            if entry.get(key) and entry["model"] in scores:
                # Times and memory depend on the machine: never two machines on one axis.
                machine = (
                    entry.get("device", "") if key in ("latency_ms", "peak_memory_mib") else ""
                )
                value = entry[key] / SCALE.get(key, 1)
                panels.setdefault((key, machine), []).append((value, entry["model"]))
    if not panels:
        return None
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.3 * lines))
    for number, ((key, machine), marks) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(lines, columns, number)
        _cost_panel(axes, marks, scores, look(comparison))
        axes.set_xlabel(COSTS[key] + (f"\n{machine}" if machine else ""))
        axes.set_ylabel("mIoU (%)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8)
    return figure


def _cost_panel(
    axes: Any,
    marks: Sequence[tuple[float, str]],
    scores: Mapping[str, Any],
    looks: Mapping[str, tuple[str, str]],
) -> None:
    for value, label in sorted(marks, key=lambda mark: list(looks).index(mark[1])):
        color, marker = looks[label]
        row = scores[label]
        low, high = (100 * x for x in row["interval"])
        axes.plot([value, value], [low, high], color=color, linewidth=1.5)
        axes.plot(value, 100 * row["value"], marker, color=color, markersize=6, label=label)
    front, best = [], -np.inf
    for value, label in sorted(marks):
        if scores[label]["value"] > best:
            best = scores[label]["value"]
            front.append((value, 100 * best))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=INK, linewidth=1, linestyle=":", zorder=0)
    axes.set_xlim(0, 1.15 * max(value for value, _ in marks))


def class_differences(comparison: Mapping[str, Any]) -> Figure | None:
    """Heat map: how much better each model sees each class than the headline's second model.

    Or than the baseline, where one is named. Stars mark differences that stay significant after
    correction over the classes.
    """
    if comparison["headline"] is None:
        return None
    against = comparison["baseline"] or comparison["pairs"][comparison["headline"]]["b"]
    columns = [pair for pair in comparison["pairs"] if against in (pair["a"], pair["b"])][:8]
    signs = [1 if pair["b"] == against else -1 for pair in columns]
    names = comparison["classes"]
    values = 100 * np.array(
        [[sign * _number(entry["value"]) for entry in pair["classes"]]
         for pair, sign in zip(columns, signs, strict=True)]
    ).T  # fmt: skip
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    figure = Figure(figsize=(WIDTH, 1.3 + 0.27 * len(names)))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    for row, column in np.ndindex(values.shape):
        entry, value = columns[column]["classes"][row], values[row, column]
        sure = entry["p_holm"] is not None and entry["p_holm"] < 1 - comparison["confidence"]
        text = "–" if np.isnan(value) else f"{value:+.1f}{' *' if sure else ''}"
        axes.text(column, row, text.replace("-", "−"), ha="center", va="center", fontsize=8,
                  color="white" if abs(value) > 0.6 * limit else "#111111")  # fmt: skip
    others = [pair["a"] if sign > 0 else pair["b"]
              for pair, sign in zip(columns, signs, strict=True)]  # fmt: skip
    slant: dict[str, Any] = {"rotation": 25, "ha": "left"} if len(others) > 2 else {}
    axes.set_xticks(range(len(others)), others, **slant)
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    label = f"IoU minus that of {against} (points)"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8, pad=0.02)
    return figure


def curves(study: Study, comparison: Mapping[str, Any]) -> Figure | None:
    """val/mIoU and train/loss over the epochs: mean over seeds, band from lowest to highest."""
    panels = [("val/mIoU", "val mIoU (%)", 100.0), ("train/loss", "train loss", 1.0)]
    found = {
        key: {label: data for label, runs in study.runs.items() if (data := _curve(runs, key))}
        for key, _, _ in panels
    }
    panels = [panel for panel in panels if found[panel[0]]]
    if not panels:
        return None
    figure = Figure(figsize=(WIDTH, 2.5 * len(panels) + 0.4))
    for number, (key, title, factor) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        for label, (color, _) in look(comparison).items():
            if label in found[key]:
                epochs, values = found[key][label]
                axes.plot(epochs, factor * values.mean(axis=0), color=color, label=label)
                axes.fill_between(epochs, factor * values.min(axis=0), factor * values.max(axis=0),
                                  color=color, alpha=0.2, linewidth=0)  # fmt: skip
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3,
                  fontsize=8)  # fmt: skip
    return figure


def _curve(runs: Sequence[Run], key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Epochs (from 1) and values `[seeds, epochs]`, over the epochs that all seeds have."""
    series: list[dict[int, float]] = []
    for run in runs:
        file = run.path / "metrics.csv"
        if not file.is_file():
            continue
        with file.open(newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if row.get(key)]
        if rows:
            series.append({int(float(row["epoch"])) + 1: float(row[key]) for row in rows})
    shared = sorted(set.intersection(*map(set, series))) if series else []
    if len(shared) < 2:
        return None
    return np.array(shared), np.array([[entry[e] for e in shared] for entry in series])


def confusion(study: Study, comparison: Mapping[str, Any]) -> Figure | None:
    """Where the pixels of each class go: share predicted by the leader minus by the other."""
    if comparison["headline"] is None:
        return None
    pair = comparison["pairs"][comparison["headline"]]
    a, b = (_shares(study.runs[pair[key]]) for key in ("a", "b"))
    values = 100 * (a - b)
    names = list(study.classes.names)
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.24 * len(names)))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    columns = [*names, "void"] if np.nanmax(np.abs(values[:, -1]), initial=0) > 0 else names
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label=f"points of the true class\n{pair['a']} − {pair['b']}",
                    shrink=0.8, pad=0.02)  # fmt: skip
    return figure


def _shares(runs: Sequence[Run]) -> np.ndarray:
    total = np.mean([run.matrices.sum(axis=0) for run in runs], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / total.sum(axis=1, keepdims=True)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
