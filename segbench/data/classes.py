"""The classes of a data set: names, colors, and the conversions between colors and ids.

A `ClassSet` is the only source of `num_classes` and `ignore_index`: no model, loss or
metric config repeats them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypedDict

import cv2
import numpy as np

from segbench.errors import DataError

RGB = tuple[int, int, int]
LONGEST_NAME = 200  # bytes of a class name; file systems allow 255
_BAND = 1 << 15  # pixels encoded at a time, so that temporaries stay in the CPU cache


class PlainClasses(TypedDict):
    """A `ClassSet` as checkpoints and result files contain it."""

    names: list[str]
    colors: list[list[int]]
    ignore_index: int
    void_color: list[int]


@dataclass(frozen=True)
class ClassSet:
    """The classes of a segmentation task, in id order.

    Args:
        names: class names; position = class id, `0..num_classes-1`.
        colors: one RGB triple (0-255) per class, all different.
        ignore_index: the id of unlabeled pixels in memory, 0..255; never predicted or scored.
        void_color: RGB of unlabeled pixels, different from every class color.

    Raises:
        ValueError: names or colors repeat, differ in number, are out of range, or there are
            more classes than ids below `ignore_index`.
    """

    names: tuple[str, ...]
    colors: tuple[RGB, ...]
    ignore_index: int = 255
    void_color: RGB = (0, 0, 0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "colors", tuple(parse_color(color) for color in self.colors))
        object.__setattr__(self, "void_color", parse_color(self.void_color))
        problems = []
        if not self.names:
            problems.append("there are no classes")
        problems += name_problems(self.names)
        if len(self.names) != len(self.colors):
            problems.append(f"{len(self.names)} names but {len(self.colors)} colors")
        for kind, values in (("name", self.names), ("color", (*self.colors, self.void_color))):
            repeated = sorted({v for v in values if values.count(v) > 1})
            if repeated:
                problems.append(f"the same {kind} twice: {', '.join(map(str, repeated))}")
        if not len(self.names) <= self.ignore_index <= 255:
            problems.append(
                f"ignore_index {self.ignore_index} must lie between the number of classes "
                f"({len(self.names)}) and 255"
            )
        if problems:
            raise ValueError("not a valid class set: " + "; ".join(problems))

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignored one."""
        return len(self.names)

    def encode(self, rgb: np.ndarray, where: str = "mask") -> np.ndarray:
        """Converts a color mask to class ids.

        Args:
            rgb: uint8 `[H, W, 3]`.
            where: name of the mask in errors, usually its path.

        Returns:
            uint8 `[H, W]`; `void_color` becomes `ignore_index`.

        Raises:
            DataError: a color belongs to no class; the message names the three closest classes.
        """
        table = _id_of_color(self)
        flat = np.ascontiguousarray(rgb, np.uint8).reshape(-1, 3)
        ids = np.empty(len(flat), np.uint8)
        for start in range(0, len(flat), _BAND):
            band = table.take(pack(flat[start : start + _BAND]))
            if band.min() < 0:
                unknown = flat[table.take(pack(flat)) < 0]
                raise DataError(self._unknown_colors(unknown, len(flat), where), "color")
            ids[start : start + _BAND] = band
        return ids.reshape(rgb.shape[:-1])

    def _unknown_colors(self, pixels: np.ndarray, total: int, where: str) -> str:
        colors, counts = np.unique(pixels, axis=0, return_counts=True)
        color = colors[counts.argmax()]
        distance = np.linalg.norm(np.array(self.colors, float) - color, axis=1)
        nearest = ", ".join(
            f"{self.names[i]} {self.colors[i]}" for i in distance.argsort(kind="stable")[:3]
        )
        return (
            f"{where}: {len(pixels) / total:.2%} of the pixels have a color that belongs to no "
            f"class ({len(colors)} such colors, most often {tuple(int(v) for v in color)}). "
            f"Nearest classes: {nearest}. {self._remedy(color)}"
        )

    def _remedy(self, color: np.ndarray) -> str:
        """What to do about an unknown color, in terms of the config."""
        swapped = tuple(int(v) for v in color[::-1])
        if swapped in self.colors:
            name = self.names[self.colors.index(swapped)]
            return f"In BGR order it is '{name}': swap red and blue in data.colors."
        return (
            "Save masks without anti-aliasing or JPEG compression, or add the color: to "
            "data.colors as a separate class, or as data.void_color."
        )

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """Converts class ids to colors.

        Args:
            ids: integer `[..., H, W]`; ids outside the class set get `void_color`.

        Returns:
            uint8 `[..., H, W, 3]`.
        """
        palette = np.full((256, 3), self.void_color, np.uint8)
        palette[: self.num_classes] = self.colors
        return palette[np.where((ids < 0) | (ids > 255), 255, ids).astype(np.uint8)]

    def check(self, ids: np.ndarray, where: str = "mask") -> None:
        """Raises `DataError` with `where` and the values if `ids` contains an unknown label."""
        present = np.unique(ids)
        bad = present[
            ((present < 0) | (present >= self.num_classes)) & (present != self.ignore_index)
        ]
        if bad.size:
            raise DataError(
                f"{where}: label {', '.join(map(str, bad[:8].tolist()))} is outside the class set "
                f"(0..{self.num_classes - 1}, {self.ignore_index} = ignore). Map it to a class or "
                "to ignore in the data config.",
                "label",
            )

    def to_dict(self) -> PlainClasses:
        """Converts to plain types, for checkpoints and result files."""
        return {
            "names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "ignore_index": self.ignore_index,
            "void_color": list(self.void_color),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> ClassSet:
        """Inverse of `to_dict`."""
        return cls(**state)


def name_problems(names: Sequence[str]) -> list[str]:
    """Problems with class names, which are used as names of files, columns and legends."""
    return [
        f"the class name {str(name)[:40]!r} is empty, contains control characters or takes more "
        f"than {LONGEST_NAME} bytes"
        for name in names
        if not str(name).strip()
        or len(str(name).encode(errors="replace")) > LONGEST_NAME
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in str(name))
    ]


def parse_color(color: Any) -> RGB:
    """Parses a color in a config; raises ValueError unless it is three integers in 0..255."""
    channels = tuple(color) if isinstance(color, Sequence) and not isinstance(color, str) else ()
    whole = all(isinstance(c, int | np.integer) and 0 <= c <= 255 for c in channels)
    if len(channels) != 3 or not whole:
        raise ValueError(f"{color} is not a color; expected [R, G, B] of whole numbers, 0 to 255")
    return int(channels[0]), int(channels[1]), int(channels[2])


@lru_cache(maxsize=4)
def _id_of_color(classes: ClassSet) -> np.ndarray:
    """Lookup table over all 2^24 colors: class id, `ignore_index`, or -1 for an unknown color."""
    table = np.full(1 << 24, -1, np.int16)
    table[pack(np.array(classes.void_color))] = classes.ignore_index
    for class_id, color in enumerate(classes.colors):
        table[pack(np.array(color))] = class_id
    return table


def pack(rgb: np.ndarray) -> np.ndarray:
    """Index of uint8 `[..., 3]` colors in a table of 2^24, R + 2^8 G + 2^16 B; uint32 `[N]`."""
    flat = np.ascontiguousarray(rgb, np.uint8).reshape(1, -1, 3)
    return (cv2.cvtColor(flat, cv2.COLOR_RGB2RGBA).view("<u4") & 0xFFFFFF).ravel()
