"""The figures of a report.

Colors are those of Okabe & Ito (2008), which are distinguishable with any color vision; models also
differ in marker and, where colors repeat, in line style, and every axis has its unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from segbench.comparison.domination import COSTS, COUNTS, DOMINATED, Cost, panels
from segbench.comparison.entrants import HEADLINES
from segbench.comparison.heat_maps import class_differences, confusions
from segbench.comparison.study import Study
from segbench.comparison.style import INK, WIDTH, style
from segbench.comparison.wording import level
from segbench.system.figures import label

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # where there are more models than colors
_LINE = 34  # characters that fit below a panel of costs
MOST_BANDS = len(COLORS)  # of learning curves: more of them hide each other


def figures(study: Study, comparison: Mapping[str, Any]) -> dict[str, Figure]:
    """All figures there is data for, by name."""
    with style():
        drawn = {
            "leaderboard": leaderboard(comparison),
            "cost": cost(comparison),
            "classes": class_differences(comparison),
            "curves": curves(comparison),
            **confusions(study, comparison),
        }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def look(comparison: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Color and marker of each model, by its place on the leaderboard: no two alike up to 49."""
    return {
        row["label"]: (COLORS[i % len(COLORS)], MARKERS[(i + i // len(COLORS)) % len(MARKERS)])
        for i, row in enumerate(comparison["leaderboard"])
    }


def legend_columns(names: Collection[str]) -> int:
    """Columns of a legend, at most three, that the width of a figure holds."""
    return max(1, min(3, int(WIDTH / (0.5 + 0.06 * max(len(label(name)) for name in names)))))


def legend_height(names: Collection[str]) -> float:
    """Inches that a legend takes."""
    return 0.2 * -(-len(names) // legend_columns(names))


def leaderboard(comparison: Mapping[str, Any]) -> Figure:
    """Mean score with interval, and a small mark for each seed."""
    rows = comparison["leaderboard"]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        color, marker = look(comparison)[row["label"]]
        axes.plot(_percent(row["interval"]), [place, place], color=color, linewidth=2)
        axes.plot(100 * row["value"], place, marker, color=color, markersize=7)
        seeds = _percent(row["scores"])
        axes.plot(seeds, [place + 0.22] * len(seeds), "|", color=color, markersize=6)
    axes.set_yticks(range(len(rows)), [label(row["label"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{comparison['metric']} (%) with {level(comparison)}; ticks: seeds")
    return figure


def cost(comparison: Mapping[str, Any]) -> Figure | None:
    """The score against each cost: a panel per measure and device, dominated models hollow."""
    scores = {row["label"]: row for row in comparison["leaderboard"]}
    found = panels(comparison)
    if not found:
        return None
    dominated = {
        (row["measure"], row["device"], row["model"])
        for row in comparison["domination"]
        if row["status"] == DOMINATED
    }
    looks = look(comparison)
    columns = min(2, len(found))
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(WIDTH, 0.3 + legend_height(scores) + 2.3 * lines))
    for number, ((key, machine), costs) in enumerate(found.items(), 1):
        axes = figure.add_subplot(lines, columns, number)
        hollow = {label for *panel, label in dominated if panel == [key, machine]}
        _cost_panel(axes, costs, scores, looks, hollow)
        axes.set_xlabel("\n".join([COSTS[key], *map(label, wrap(machine, _LINE))]))
        axes.set_ylabel(f"{comparison['metric']} (%)")
        if key in COUNTS:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    measured = {cost.label for costs in found.values() for cost in costs}
    marks = {
        label(name): Line2D([], [], color=color, marker=marker, linestyle="", markersize=6)
        for name, (color, marker) in looks.items()
        if name in measured
    }
    figure.legend([*marks.values()], [*marks], loc="outside upper left",
                  ncols=legend_columns(scores), fontsize=8)  # fmt: skip
    return figure


def _cost_panel(
    axes: Any,
    costs: Sequence[Cost],
    scores: Mapping[str, Any],
    looks: Mapping[str, tuple[str, str]],
    hollow: Collection[str],
) -> None:
    """Intervals on both axes; models in `hollow` are dominated."""
    for cost in sorted(costs, key=lambda cost: list(looks).index(cost.label)):
        color, marker = looks[cost.label]
        row, at = scores[cost.label], cost.value
        axes.plot([at, at], _percent(row["interval"]), color=color, linewidth=1.5)
        axes.plot([cost.low, cost.high], [100 * row["value"]] * 2, color=color, linewidth=1.5)
        inside = "none" if cost.label in hollow else color
        mark: dict[str, Any] = {"color": color, "markersize": 6, "markerfacecolor": inside}
        axes.plot(at, 100 * row["value"], marker, **mark)
    front, best = [], -np.inf
    for cost in sorted(costs, key=lambda cost: cost.value):
        if scores[cost.label]["value"] > best:
            best = scores[cost.label]["value"]
            front.append((cost.value, 100 * best))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=INK, linewidth=1, linestyle=":", zorder=0)
    most = max(cost.high for cost in costs)
    axes.set_xlim(-0.04 * most, 1.15 * most)  # room for the marker of a model that costs little


def curves(comparison: Mapping[str, Any]) -> Figure | None:
    """Validation score and train/loss over the epochs: mean over seeds, band from min to max."""
    score = comparison["metric"] if comparison["metric"] in HEADLINES else "mIoU"
    panels = [(f"val/{score}", f"val {score} (%)", 100.0), ("train/loss", "train loss", 1.0)]
    panels = [
        panel for panel in panels if any(panel[0] in c for c in comparison["curves"].values())
    ]
    if not panels:
        return None
    looks = look(comparison)
    height = 2.5 * len(panels) + 0.2 + legend_height(looks)
    figure = Figure(figsize=(WIDTH, height))
    for number, (key, title, factor) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        for place, (name, (color, _)) in enumerate(looks.items()):
            line = LINES[place // len(COLORS) % len(LINES)]
            if curve := comparison["curves"].get(name, {}).get(key):
                mean, low, high = (_percent(curve[k], factor) for k in ("mean", "low", "high"))
                axes.plot(curve["epochs"], mean, color=color, linestyle=line, label=label(name))
                if len(looks) <= MOST_BANDS:
                    band: dict[str, Any] = {"color": color, "alpha": 0.2, "linewidth": 0}
                    axes.fill_between(curve["epochs"], low, high, **band)
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left",
                  ncols=legend_columns(looks), fontsize=8)  # fmt: skip
    return figure


def _percent(values: Sequence[float | None], factor: float = 100.0) -> list[float]:
    """Fractions as percent; missing values become NaN, which is not drawn."""
    return [factor * _number(value) for value in values]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
