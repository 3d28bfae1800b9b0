"""The figures of a report, drawn once as SVG that adapts to the page's light or dark colors.

Colors are those of Okabe & Ito (2008), which are distinguishable with any color vision; models also
differ in marker and, where colors repeat, in line style, and every axis has its unit.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from segbench.comparison.domination import COSTS, COUNTS, DOMINATED, Cost, panels
from segbench.comparison.entrants import HEADLINES
from segbench.comparison.runs import Run
from segbench.comparison.study import Study
from segbench.comparison.wording import level, points
from segbench.system.figures import label, plain_text

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # where there are more models than colors
MOST_BANDS = len(COLORS)  # of learning curves: more of them hide each other
MOST_COLUMNS = 8  # of the heat map of classes
# Placeholders that `inline_svg` replaces by the text and grid colors of the page.
INK, GRID = "#232425", "#d9dadb"
DIVERGING = LinearSegmentedColormap.from_list("okabe", ["#D55E00", "#f7f7f7", "#0072B2"])
WIDTH = 5.6
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "segbench", "font.size": 9,
    "text.color": INK, "axes.edgecolor": GRID, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "figure.constrained_layout.use": True,
}  # fmt: skip


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


@contextmanager
def style() -> Iterator[None]:
    """Inside, figures are drawn in the style of a report."""
    with plain_text(), matplotlib.rc_context(STYLE):
        yield


def save(figure: Figure, stem: Path) -> None:
    """Writes `stem.svg` and `stem.png`."""
    with style():
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=200, facecolor="white")


def inline_svg(figure: Figure) -> str:
    """The SVG element alone, with the page's colors for text and grid."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return text.replace(INK, "currentColor").replace(GRID, "var(--line)")


def look(comparison: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Color and marker of each model, by its place on the leaderboard: no two alike up to 49."""
    return {
        row["label"]: (COLORS[i % len(COLORS)], MARKERS[(i + i // len(COLORS)) % len(MARKERS)])
        for i, row in enumerate(comparison["leaderboard"])
    }


def legend_height(names: int) -> float:
    """Inches that a legend in three columns takes."""
    return 0.2 * -(-names // 3)


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
    columns = min(2, len(found))
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(WIDTH, 0.3 + legend_height(len(scores)) + 2.3 * lines))
    for number, ((key, machine), costs) in enumerate(found.items(), 1):
        axes = figure.add_subplot(lines, columns, number)
        hollow = {label for *panel, label in dominated if panel == [key, machine]}
        _cost_panel(axes, costs, scores, look(comparison), hollow)
        axes.set_xlabel(COSTS[key] + (f"\n{label(machine)}" if machine else ""))
        axes.set_ylabel(f"{comparison['metric']} (%)")
        if key in COUNTS:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    marks = {name: handle for pair in pairs for handle, name in zip(*pair, strict=True)}
    figure.legend([*marks.values()], [*marks], loc="outside upper left", ncols=3, fontsize=8)
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
        axes.plot(at, 100 * row["value"], marker, label=label(cost.label), **mark)
    front, best = [], -np.inf
    for cost in sorted(costs, key=lambda cost: cost.value):
        if scores[cost.label]["value"] > best:
            best = scores[cost.label]["value"]
            front.append((cost.value, 100 * best))
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=INK, linewidth=1, linestyle=":", zorder=0)
    most = max(cost.high for cost in costs)
    axes.set_xlim(-0.04 * most, 1.15 * most)  # room for the marker of a model that costs little


def class_differences(comparison: Mapping[str, Any]) -> Figure | None:
    """Heat map of class differences between each model and the second model of the headline.

    Or the baseline, if one is set. Stars mark differences that are significant after correction
    over the classes.
    """
    if comparison["headline"] is None or comparison["metric"] not in HEADLINES:
        return None
    against = comparison["baseline"] or comparison["pairs"][comparison["headline"]]["b"]
    columns = [pair for pair in comparison["pairs"] if against in (pair["a"], pair["b"])]
    columns = columns[:MOST_COLUMNS]
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
        text = points(None if np.isnan(value) else float(value), factor=1)
        text += " *" if sure else ""
        axes.text(column, row, text, ha="center", va="center", fontsize=8,
                  color="white" if abs(value) > 0.6 * limit else "#111111")  # fmt: skip
    others = [label(pair["a"]) if sign > 0 else label(pair["b"])
              for pair, sign in zip(columns, signs, strict=True)]  # fmt: skip
    slant: Any = {"rotation": 25, "ha": "left"} if len(others) > 2 else {}
    axes.set_xticks(range(len(others)), others, **slant)
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_xlabel(f"{HEADLINES[comparison['metric']]} minus that of {label(against)} (points)")
    figure.colorbar(image, ax=axes, pad=0.02)
    return figure


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
    height = 2.5 * len(panels) + 0.2 + legend_height(len(looks))
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
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3,
                  fontsize=8)  # fmt: skip
    return figure


def confusions(study: Study, comparison: Mapping[str, Any]) -> dict[str, Figure]:
    """Where the pixels of each class go: the two models of the headline, and their difference."""
    if comparison["headline"] is None:
        return {}
    pair = comparison["pairs"][comparison["headline"]]
    a, b = (100 * _shares(study.runs[pair[key]]) for key in ("a", "b"))
    names = comparison["classes"]
    limit = max(1.0, float(np.nanmax(np.abs(a - b), initial=0)))
    return {
        "confusion": _confusion(a - b, names, DIVERGING, (-limit, limit), "{:+.1f}", 0.05),
        "confusion_first": _confusion(a, names, "Blues", (0, 100), "{:.0f}", 0.5),
        "confusion_second": _confusion(b, names, "Blues", (0, 100), "{:.0f}", 0.5),
    }


def _confusion(
    values: np.ndarray,
    names: Sequence[str],
    colors: Any,
    limits: tuple[float, float],
    form: str,
    least: float,
) -> Figure:
    """One matrix `[C, C + 1]` in percent of the true class; numbers below `least` are omitted."""
    has_void = np.nanmax(np.abs(values[:, -1]), initial=0) > 0
    titles = [label(name) for name in names]
    columns = [*titles, "void"] if has_void else titles
    values = values[:, : len(columns)]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.26 * len(names)))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=colors, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(titles)), titles)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.grid(False)
    size = min(8.0, 90 / len(columns))
    for (row, column), value in np.ndenumerate(values):
        if size >= 3 and abs(value) >= least:
            is_dark = abs(value) > 0.6 * limits[1]
            axes.text(column, row, form.format(value).replace("-", "−"), ha="center", va="center",
                      fontsize=size, color="white" if is_dark else "#111111")  # fmt: skip
    figure.colorbar(image, ax=axes, pad=0.02)
    return figure


def _shares(runs: Sequence[Run]) -> np.ndarray:
    total = np.mean([run.images.total for run in runs], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / total.sum(axis=1, keepdims=True)


def _percent(values: Sequence[float | None], factor: float = 100.0) -> list[float]:
    """Fractions as percent; missing values become NaN, which is not drawn."""
    return [factor * _number(value) for value in values]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
