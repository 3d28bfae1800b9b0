"""Small fake copies of data sets, with the files that exist after following their steps.

The names of files, raw labels, class names and colors below are taken from the sources that each
YAML cites, not from the YAML, so that a mistake in one shows in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32
IGNORE = 255
RGB = tuple[int, int, int]


@dataclass
class Layout:
    """One data set.

    Args:
        files: split -> (image, mask) below the root.
        names: split -> names of the records, in order; the order of the files if left out.
        groups: split -> group of every record, if the set has groups.
        raw: mask values for the class ids 0, 1, ...: labels, or colors.
        ignored: mask value of ignored pixels; None if there are none.
        classes: number of classes.
        table: some class ids with their names and colors (None: chosen by segbench).
        named: text in the error about `fault` or `gone`.
        fault: changes a mask (class ids, 255 ignored) by a common mistake.
        gone: a file or folder that is often missing.
        lists: other files of the set.
        palette: masks are palette PNG files.
        absent: splits that the set does not have.
        config: keys of the data config that differ here: `lists` of fewer names.
    """

    files: dict[str, list[tuple[str, str]]]
    raw: Sequence[int] | Sequence[RGB]
    ignored: int | RGB | None
    classes: int
    table: dict[int, tuple[str, RGB | None]]
    named: str
    fault: Callable[[np.ndarray], np.ndarray] | None = None
    gone: str = ""
    names: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    palette: bool = False
    absent: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, root: Path) -> dict[str, np.ndarray]:
        """Writes all files; returns the class ids of every mask by its path below the root."""
        truth: dict[str, np.ndarray] = {}
        for pairs in self.files.values():
            for image, mask in pairs:
                if mask in truth:
                    continue
                rng = np.random.default_rng(len(truth))
                save(root / image, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
                truth[mask] = self.draw(rng)
                save(root / mask, self.paint(truth[mask]), self.palette)
        for path, text in self.lists.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return truth

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Class ids in blocks of 4 pixels, 255 in some where the set ignores anything."""
        ids = rng.integers(0, self.classes, (HEIGHT // 4, WIDTH // 4))
        ids[0, 0], ids[0, 1] = 0, self.classes - 1
        if self.ignored is not None:
            ids[-1, :2] = IGNORE
        return ids.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)

    def paint(self, ids: np.ndarray) -> np.ndarray:
        """The content of a mask file."""
        raw = np.array(self.raw, np.uint8)
        painted = raw[np.minimum(ids, self.classes - 1)]
        if self.ignored is not None:
            painted[ids == IGNORE] = self.ignored
        return painted


def save(path: Path, array: np.ndarray, palette: bool = False) -> None:
    """Writes an image or a mask; JPEG for `.jpg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def pairs(image: str, mask: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Image and mask of each name, by two patterns with `{}`."""
    return [(image.format(name), mask.format(name)) for name in names]


def shifted(ids: np.ndarray) -> np.ndarray:
    """Labels from which 1 has already been subtracted: 0 became 255."""
    return ids
