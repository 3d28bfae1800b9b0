"""Draws an architecture: stages from left to right in running order, one row per resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from segbench.explanation.architecture import Architecture, Stage
from segbench.metrics.scores import amount
from segbench.system.escaping import one_line

COLUMN, ROW, TOP, LEFT = 92, 92, 92, 64
# Okabe and Ito's colors, which are distinguishable with color blindness.
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#999999",
          "#882255", "#DDCC77")  # fmt: skip
INK = "#333333"


def as_svg(architecture: Architecture, title: str) -> str:
    """The drawing as SVG text.

    The height of a box shows the resolution of its maps, the width their channels (both on a log
    scale); arrows that skip stages are skip connections.

    Args:
        architecture: see `architecture.trace`.
        title: the heading.
    """
    title = escape(one_line(title))
    stages = architecture.stages
    strides = sorted({stage.stride for stage in stages})
    rows = {stride: number for number, stride in enumerate(strides)}
    parts = list(dict.fromkeys(stage.part for stage in stages))
    colors = {part: COLORS[i % len(COLORS)] for i, part in enumerate(parts)}
    width = LEFT + COLUMN * max(len(stages), 5) + 24
    height = TOP + ROW * len(strides) + 30
    centers = [
        (LEFT + COLUMN * (i + 0.5), TOP + ROW * (rows[stage.stride] + 0.4))
        for i, stage in enumerate(stages)
    ]
    boxes = [_box_size(stage) for stage in stages]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif">',
        f"<title>{title}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse">'
        f'<path d="M0 0.5 L8 4 L0 7.5 z" fill="{INK}"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="16" y="28" font-size="18" font-weight="bold" fill="{INK}">{title}</text>',
        f'<text x="16" y="48" font-size="12" fill="{INK}">{_size(architecture.params, 1e6, "M")} '
        f"parameters, {_size(architecture.macs, 1e9, 'G')} multiply-accumulates at "
        f"{architecture.size[0]}x{architecture.size[1]}</text>",
    ]
    lines += _legend(parts, colors)
    for stride, row in rows.items():
        y = TOP + ROW * (row + 0.4)
        lines.append(
            f'<line x1="{LEFT - 8}" y1="{y}" x2="{width - 16}" y2="{y}" stroke="#eeeeee"/>'
            f'<text x="16" y="{y + 4}" font-size="12" fill="#777777">1/{stride}</text>'
        )
    both_ways = {arrow for arrow in architecture.arrows if arrow[::-1] in architecture.arrows}
    lines += [
        _arrow(start, end, centers, boxes, (start, end) in both_ways)
        for start, end in architecture.arrows
        if start < end or (start, end) not in both_ways
    ]
    for stage, center, box in zip(stages, centers, boxes, strict=True):
        lines += _stage(stage, center, box, colors[stage.part])
    return "\n".join([*lines, "</svg>"]) + "\n"


def _box_size(stage: Stage) -> tuple[float, float]:
    """Width by channels, height by resolution."""
    wide = 8 + 5.0 * math.log2(max(stage.channels, 1))
    return min(wide, COLUMN - 26), max(14.0, 52 - 7 * math.log2(stage.stride))


def _legend(parts: Sequence[str], colors: dict[str, str]) -> list[str]:
    lines, x = [], 16.0
    for part in parts:
        lines.append(
            f'<rect x="{x}" y="58" width="12" height="12" fill="{colors[part]}" stroke="{INK}" '
            f'stroke-width="0.5"/><text x="{x + 17}" y="68" font-size="12" fill="{INK}">'
            f"{escape(one_line(part))}</text>"
        )
        x += 34 + 7 * len(part)
    return lines


def _arrow(
    start: int,
    end: int,
    centers: Sequence[tuple[float, float]],
    boxes: Sequence[tuple[float, float]],
    both_ways: bool,
) -> str:
    """Draws a curve from the right of a box to the left of another, around boxes in between."""
    forward = end > start
    side = 1 if forward else -1
    x1, y1 = centers[start][0] + side * boxes[start][0] / 2, centers[start][1]
    x2, y2 = centers[end][0] - side * (boxes[end][0] / 2 + 2), centers[end][1]
    is_next = end == start + 1
    if not is_next:  # off center, so that arrows do not overlap
        off = 0.25 if forward else -0.25
        y1, y2 = y1 - off * boxes[start][1], y2 - off * boxes[end][1]
    bend = max(18.0, abs(x2 - x1) * 0.45)
    lift = 0.0 if is_next or y1 != y2 else min(40.0, 0.16 * abs(x2 - x1))
    path = (
        f"M{x1:.1f} {y1:.1f} C{x1 + side * bend:.1f} {y1 - lift:.1f} "
        f"{x2 - side * bend:.1f} {y2 - lift:.1f} {x2:.1f} {y2:.1f}"
    )
    dash = "" if is_next else ' stroke-dasharray="4 3"'
    dash += ' marker-start="url(#tip)"' if both_ways else ""
    return (
        f'<path d="{path}" fill="none" stroke="{INK}" stroke-opacity="0.75"{dash} '
        'marker-end="url(#tip)"/>'
    )


def _stage(
    stage: Stage, center: tuple[float, float], box: tuple[float, float], color: str
) -> list[str]:
    x, y = center
    below = y + box[1] / 2
    words = (f"{stage.channels} ch", _count(stage.params, "params"), _count(stage.macs, "MACs"))
    lines = [
        f'<rect x="{x - box[0] / 2:.1f}" y="{y - box[1] / 2:.1f}" width="{box[0]:.1f}" '
        f'height="{box[1]:.1f}" rx="2" fill="{color}" stroke="{INK}" stroke-width="0.8"/>'
    ]
    return lines + [
        f'<text x="{x:.1f}" y="{below + 11 + 11 * i:.1f}" font-size="10" text-anchor="middle" '
        f'fill="{INK}" stroke="white" stroke-width="2.5" paint-order="stroke">{word}</text>'
        for i, word in enumerate(word for word in words if word)
    ]


def _count(value: int, unit: str) -> str:
    if not value:
        return ""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter} {unit}"
    return f"{value} {unit}"


def _size(count: float, unit: float, letter: str) -> str:
    """A count in this unit, or in a smaller one where it would be 0.0."""
    return f"{count / unit:.2f} {letter}" if count >= unit / 10 else amount(count)
