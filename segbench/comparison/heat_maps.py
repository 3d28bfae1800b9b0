"""Heat maps of a report: differences per class, and where the pixels of each class go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from segbench.comparison.entrants import HEADLINES
from segbench.comparison.runs import Run
from segbench.comparison.study import Study
from segbench.comparison.style import INK, WIDTH
from segbench.comparison.wording import points
from segbench.system.figures import label

_DIVERGING = LinearSegmentedColormap.from_list("okabe", ["#D55E00", "#f7f7f7", "#0072B2"])
_ROOM_OF_NAME = 0.15  # inches that slanted names need in order not to overlap
_SMALLEST = 5.0  # points of the numbers of columns; with less room, every second is shown, or fewer
_SHORT = 24  # characters of a name in a confusion matrix
MOST_COLUMNS = 8  # models of the heat map of classes


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
    found = [[entry["value"] for entry in pair["classes"]] for pair in columns]
    values = 100 * (np.array(found, dtype=float) * np.array(signs)[:, None]).T  # None is NaN
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    others = [label(pair["a"]) if sign > 0 else label(pair["b"])
              for pair, sign in zip(columns, signs, strict=True)]  # fmt: skip
    upright = len(others) > 2  # so that long names take no width from the cells
    above = 0.07 * max(map(len, others)) if upright else 0.2  # inches
    figure = Figure(figsize=(WIDTH, 1.1 + above + 0.27 * len(names)))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=_DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    titles = [_cut(label(name)) for name in names]
    size = min(8.0, 72 * _room(titles, columns) / 4.5)  # points; 4.5 em is the longest number
    for row, column in np.ndindex(values.shape):
        entry, value = columns[column]["classes"][row], values[row, column]
        sure = entry["p_holm"] is not None and entry["p_holm"] < 1 - comparison["confidence"]
        text = points(None if np.isnan(value) else float(value), factor=1)
        text += " *" if sure else ""
        axes.text(column, row, text, ha="center", va="center", fontsize=size,
                  color=_readable(value, limit))  # fmt: skip
    axes.set_xticks(range(len(others)), others, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), titles)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_xlabel(f"{HEADLINES[comparison['metric']]} minus that of {label(against)} (points)")
    figure.colorbar(image, ax=axes, pad=0.02)
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
        "confusion": _confusion(a - b, names, _DIVERGING, (-limit, limit), "{:+.1f}", 0.05),
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
    has_void = bool(np.nanmax(np.abs(values[:, -1]), initial=0) > 0)
    values = values[:, : len(names) + has_void]
    titles = [_cut(label(name)) for name in names]
    columns = [*titles, *["void"] * has_void]
    has_names = _room(titles, columns) >= _ROOM_OF_NAME
    below = 0.07 * max(map(len, columns)) if has_names else 0.2  # inches of the names of columns
    figure = Figure(figsize=(WIDTH, 0.8 + below + 0.26 * len(names)))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=colors, vmin=limits[0], vmax=limits[1], aspect="auto")
    (_write_names if has_names else _write_numbers)(axes, titles, columns)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(length=0)
    axes.grid(False)
    size = min(8.0, 90 / values.shape[1])
    for (row, column), value in np.ndenumerate(values):
        if size >= 3 and abs(value) >= least:
            axes.text(column, row, form.format(value).replace("-", "−"), ha="center", va="center",
                      fontsize=size, color=_readable(value, limits[1]))  # fmt: skip
    figure.colorbar(image, ax=axes, pad=0.02)
    return figure


def _write_names(axes: Axes, titles: Sequence[str], columns: Sequence[str]) -> None:
    slant: Any = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, **slant)
    axes.set_yticks(range(len(titles)), titles)


def _write_numbers(axes: Axes, titles: Sequence[str], columns: Sequence[str]) -> None:
    """Labels columns with the numbers of the rows, because names would overlap."""
    rows = [f"{title}  ({number})" for number, title in enumerate(titles)]
    room = 72 * _room(rows, columns)  # points
    every = max(1, math.ceil(_SMALLEST / room))
    shown = range(0, len(columns), every)
    texts = [str(i) if i < len(titles) else columns[i] for i in shown]
    axes.set_xticks(shown, texts, rotation=90, fontsize=min(8.0, every * room))
    axes.set_yticks(range(len(rows)), rows)


def _room(titles: Sequence[str], columns: Sequence[Any]) -> float:
    """Inches of a column, next to the names of the rows and the color bar."""
    return (WIDTH - 1.2 - 0.08 * max(map(len, titles))) / len(columns)


def _cut(title: str) -> str:
    return title if len(title) <= _SHORT else f"{title[: _SHORT - 9]}…{title[-8:]}"


def _readable(value: float, limit: float) -> str:
    """The color of a number on its cell; a missing value has no cell, only the page."""
    if np.isnan(value):
        return INK
    return "white" if abs(value) > 0.6 * limit else "#111111"


def _shares(runs: Sequence[Run]) -> np.ndarray:
    total = np.mean([run.images.total for run in runs], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / total.sum(axis=1, keepdims=True)
