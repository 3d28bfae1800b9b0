"""The confusion matrix as a figure, with class names in any script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segbench.data.lettering import can_draw, lettering
from segbench.system.figures import label, plain_text, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERED = 40  # classes; with more, the shares would not be readable
_CELL, _SMALL_CELL = 0.45, 0.18  # inches, with a number and without, where a name must fit
_POINTS, _PIXELS = 10, 40  # font size of names in the figure, and in their images
_GAP = 6  # points between the axes and a name


@plain_text()
def draw_confusion(file: Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Plots the confusion matrix, each row in percent of the true pixels of its class.

    Args:
        file: PNG to write.
        matrix: int64 `[C, C + 1]`.
        names: C class names.
    """
    from matplotlib.figure import Figure

    pixels = matrix.sum(1, keepdims=True)
    shares = np.where(pixels > 0, matrix / np.maximum(pixels, 1), np.nan)
    has_void = bool(matrix[:, -1].any())
    shares = shares if has_void else shares[:, :-1]
    is_numbered = len(names) <= _MOST_NUMBERED
    side = 2.5 + (_CELL if is_numbered else _SMALL_CELL) * len(names)
    figure = Figure(figsize=(side + 0.5, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write_names(axes, names, has_void)
    axes.set(xlabel="predicted", ylabel="true", title="percent of the true pixels")
    if is_numbered:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.5 else "black"
                text = f"{100 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    figure.savefig(file, dpi=120, bbox_inches="tight")  # the title may be wider than few classes


def _write_names(axes: Axes, names: Sequence[str], has_void: bool) -> None:
    """Labels rows and columns; names that no font of matplotlib has are placed as images."""
    drawn = {
        i: lettering(name, _PIXELS)
        for i, name in enumerate(map(shortened, names))
        if label(name) != name and can_draw(name)
    }
    # Invisible text of the same width reserves the place of an image.
    texts = ["M" * _widths(drawn[i]) if i in drawn else label(n) for i, n in enumerate(names)]
    columns = axes.set_xticks(range(len(texts) + has_void), [*texts, *["void"] * has_void])
    axes.tick_params(axis="x", labelrotation=90)
    rows = axes.set_yticks(range(len(texts)), texts)
    for position, ink in drawn.items():
        for tick in (columns[position], rows[position]):
            tick.label1.set_alpha(0)
        _place(axes, np.rot90(ink), (position, 0), (0, -_GAP), ("data", "axes fraction"))
        _place(axes, ink, (0, position), (-_GAP, 0), ("axes fraction", "data"))


def _widths(ink: np.ndarray) -> int:
    """The number of letters M with at least the width of an image."""
    return -(-ink.shape[1] * 10 // (8 * _PIXELS))


def _place(
    axes: Axes,
    ink: np.ndarray,
    at: tuple[float, float],
    offset: tuple[float, float],
    coordinates: tuple[str, str],
) -> None:
    """Places the image of a name left of a row (its end at the axes) or below a column."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    pixels = np.zeros((*ink.shape, 4), np.uint8)
    pixels[..., 3] = ink
    side = (1.0, 0.5) if offset[0] else (0.5, 1.0)
    axes.add_artist(
        AnnotationBbox(
            OffsetImage(pixels, zoom=_POINTS / _PIXELS), at, offset, coordinates, "offset points",
            box_alignment=side, frameon=False, pad=0, annotation_clip=False,
        )
    )  # fmt: skip
