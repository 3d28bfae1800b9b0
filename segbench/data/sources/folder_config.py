"""Checks a config of `data=folder` for contradictions, and builds its class set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segbench.data.annotations import KINDS
from segbench.data.classes import ClassSet, name_problems, parse_color
from segbench.data.sources.label_map import declared_map, distinct_colors, raw_value
from segbench.data.volumes import AXES
from segbench.errors import DataError

if TYPE_CHECKING:
    from segbench.data.sources.folder import Folder

# Tried in turn for ignored pixels. There are more grays than classes, so one is always free.
MASK_TYPES = ("ids", "rgb", "binary", *KINDS)
_VOID_COLORS = ((0, 0, 0), (255, 255, 255), (255, 0, 255), *((gray,) * 3 for gray in range(256)))


def check_arguments(folder: Folder) -> None:
    """Raises ValueError if arguments contradict each other, or define no labels."""
    if problems := _contradictions(folder):
        raise ValueError("; ".join(problems))
    if isinstance(folder.declared, dict):
        declared_map(folder.declared, folder.names or [], folder.mask_type == "rgb")
    if folder.declared != "auto":
        class_set(folder.names or [], folder.colors, folder.void_color)
    for value in folder.ignore_values:
        raw_value(value, folder.mask_type == "rgb")


def _contradictions(folder: Folder) -> list[str]:
    """A phrase for each pair of arguments that contradict each other."""
    ways = {
        "{split} in images": "{split}" in (folder.images or ""),
        "lists": folder.lists is not None,
        "table": folder.table is not None,
        "ratio": folder.ratio is not None,
    }
    chosen = [way for way, used in ways.items() if used]
    problems = name_problems(folder.names or ())
    if len(chosen) != 1:
        problems.append(f"choose exactly one of {', '.join(ways)}; got {chosen or 'none'}")
    if folder.table is None and not (folder.images and folder.masks):
        problems.append("images and masks are needed without a table")
    if folder.mask_type not in MASK_TYPES:
        problems.append(f"mask_type is {folder.mask_type}; expected {', '.join(MASK_TYPES)}")
    if folder.outlines is not None and folder.declared is not None:
        problems.append(f"mask_type {folder.mask_type} takes classes by name, without a label_map")
    if folder.merge_masks and folder.mask_type != "binary":
        problems.append("merge_masks is for mask_type binary")
    if not all(type(start) is int and start >= 0 for start in folder.group_starts):
        problems.append(f"group_starts is {folder.group_starts}; expected numbers of frames")
    if folder.group_starts and folder.group_regex is not None:
        problems.append("set only one of group_regex and group_starts")
    if folder.slice_axis not in AXES:
        problems.append(f"slice_axis is {folder.slice_axis}; expected 0, 1 or 2")
    if isinstance(folder.declared, str) and folder.declared != "auto":
        problems.append(f"label_map is '{folder.declared}'; expected auto or a mapping")
    if folder.declared != "auto" and not folder.names:
        problems.append("classes are needed unless label_map is auto")
    if folder.mask_type == "rgb" and folder.declared is None and not folder.colors:
        problems.append("mask_type rgb needs colors or a label_map")
    if folder.mask_type == "binary" and folder.declared is None and len(folder.names or "") != 2:
        problems.append("mask_type binary needs two classes (for 0 and for 255)")
    if folder.threshold is not None and (
        folder.mask_type != "binary" or folder.declared is not None
    ):
        problems.append("threshold is for mask_type binary, without a label_map")
    if folder.ratio is not None and (len(folder.ratio) != 3 or abs(sum(folder.ratio) - 1) > 1e-6):
        problems.append(f"ratio is {folder.ratio}; expected three shares that sum to 1")
    if folder.ratio is not None and min(folder.ratio, default=0) < 0:
        problems.append(f"ratio is {folder.ratio}; expected shares of 0 or more")
    if "ignore" in (folder.names or ()):
        problems.append(
            "a class cannot be called 'ignore', which stands for pixels without a label"
        )
    return problems


def started(name: str, starts: Sequence[int]) -> int:
    """The last of the ascending `starts` that does not exceed the number at the end of a name.

    Raises:
        DataError: the name ends in no number, or in one below all of them.
    """
    digits = re.search(r"\d+$", name)
    before = [start for start in starts if digits and start <= int(digits[0])]
    if not before:
        raise DataError(
            f"'{name}' does not end in a number from {min(starts)} on, which data.group_starts "
            "needs."
        )
    return max(before)


def class_set(
    names: Sequence[str], colors: Sequence[Any] | None, void_color: Sequence[int] | None
) -> ClassSet:
    """The classes of a config; ValueError if they contradict each other."""
    avoided = None if void_color is None else parse_color(void_color)
    picked = distinct_colors(names, avoided) if colors is None else colors
    rgb = tuple(parse_color(color) for color in picked)
    void = void_color or next(color for color in _VOID_COLORS if color not in rgb)
    return ClassSet(tuple(names), rgb, void_color=parse_color(void))
