"""The heat maps of a report with many classes, long names and missing values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from segbench.comparison.heat_maps import _confusion, _readable, class_differences
from segbench.comparison.plots import legend_columns, legend_height
from segbench.comparison.style import INK, WIDTH, style
from segbench.comparison.wording import _size, points


def _overlaps(names: list[str]) -> list[bool]:
    """For each two neighboring column labels, whether they cover each other when drawn."""
    values = np.hstack([np.eye(len(names)), np.zeros((len(names), 1))]) * 100
    with style():
        figure = _confusion(values, names, "Blues", (0, 100), "{:.0f}", 0.5)
        figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    at = [tick.get_window_extent().x1 for tick in ticks]
    # Slanted text needs its height over the sine of its angle along the axis.
    needed = [
        tick.get_fontsize() * figure.dpi / 72 / np.sin(np.radians(tick.get_rotation()))
        for tick in ticks
    ]
    return [b - a < 0.95 * size for a, b, size in zip(at, at[1:], needed, strict=False)]


@pytest.mark.parametrize("count", [2, 3, 11, 19, 32, 150])
@pytest.mark.parametrize("name", ["car {}", "a class with a rather long name no. {}"])
def test_names_of_predicted_classes_do_not_overlap(count: int, name: str) -> None:
    assert not any(_overlaps([name.format(number) for number in range(count)]))


@pytest.mark.parametrize("count", [2, 5, 11, 40])
def test_names_as_long_as_they_may_be_are_not_cut_off(
    count: int, recwarn: pytest.WarningsRecorder
) -> None:
    names = [f"Lichtzeichenanlagen- und Verkehrszeichenträger {i}" for i in range(count)]
    values = np.zeros((count, count + 1))
    with style():
        figure = _confusion(values, names, "Blues", (0, 1), "{:.0f}", 0.5)
        figure.draw_without_rendering()  # warns if there is no room for the axes
    assert not [str(warning.message) for warning in recwarn]
    axes = figure.axes[0]
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        box = tick.get_window_extent()
        assert min(box.x0, box.y0) >= 0
    assert axes.get_window_extent().width > figure.bbox.width / 4


@pytest.mark.parametrize("name", ["model", "deeplabv3plus_efficientnet_lite0"])
@pytest.mark.parametrize("models", [2, 4, 9])
def test_differences_of_many_models_do_not_overlap(models: int, name: str) -> None:
    entry = {"value": -0.876, "p_holm": 0.001}
    pairs = [{"a": f"{name} {i}", "b": "unet", "classes": [entry] * 2} for i in range(models - 1)]
    found = {
        "headline": 0, "metric": "mIoU", "baseline": "unet", "pairs": pairs, "confidence": 0.95,
        "classes": ["Lichtzeichenanlagen- und Verkehrszeichenträger", "car"],
    }  # fmt: skip
    with style():
        figure = class_differences(found)
        assert figure is not None
        figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts[: models - 1]]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("length", [4, 19, 40])
def test_the_legend_of_models_fits_into_the_figure(length: int) -> None:
    names = [f"{i}".rjust(length, "x") for i in range(5)]
    with style():
        figure = Figure(figsize=(WIDTH, 2 + legend_height(names)))
        axes = figure.add_subplot()
        marks = [axes.plot(0, i, "o")[0] for i in range(5)]
        legend = figure.legend(marks, names, loc="outside upper left", fontsize=8,
                               ncols=legend_columns(names))  # fmt: skip
        figure.draw_without_rendering()
    assert legend.get_window_extent().x1 <= figure.bbox.width
    assert legend_columns(["short"]) == 3


def test_few_classes_keep_their_names_at_the_columns() -> None:
    values = np.zeros((3, 4))
    with style():
        figure = _confusion(values, ["sky", "road", "car"], "Blues", (0, 1), "{:.0f}", 0.5)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["sky", "road", "car"]


def test_a_missing_value_has_the_color_of_text() -> None:
    assert _readable(float("nan"), 1.0) == INK
    assert _readable(0.9, 1.0) == "white"


@pytest.mark.parametrize("value", [0.0, -0.0, -0.0004, 0.0004])
def test_a_difference_that_is_rounded_to_zero_has_no_sign(value: float) -> None:
    assert points(value) == "0.0"
    assert points(value or 0.0, digits=2, factor=1) == "0.00"
    assert points(-0.006) == "−0.6"


def test_a_small_difference_is_not_called_zero() -> None:
    assert _size(0.0002, "mIoU") == "less than 0.1 points of mIoU"
    assert _size(0.0, "mIoU") == "0.0 points of mIoU"
    assert _size(-0.0123, "mIoU") == "1.2 points of mIoU"
