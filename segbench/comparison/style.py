"""How the figures of a report look, and how they become files and parts of a page.

Text and grid are drawn in placeholder colors, which the page replaces by its own, light or dark.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from segbench.system.figures import plain_text

# Placeholders that `inline_svg` replaces by the text and grid colors of the page.
INK, GRID = "#232425", "#d9dadb"
WIDTH = 5.6
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "segbench", "font.size": 9,
    "text.color": INK, "axes.edgecolor": GRID, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "figure.constrained_layout.use": True,
}  # fmt: skip


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
