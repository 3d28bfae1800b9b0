"""Sheets of samples with their masks, to look at before training on them."""

from __future__ import annotations

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Arrays

_TILE = 320  # width of a tile in pixels
_LINE = 22  # height of a line of text in pixels


def sheet(samples: list[tuple[str, Arrays]], classes: ClassSet, columns: int = 4) -> np.ndarray:
    """Tiles of image over painted mask, with a legend of the colours that occur.

    Args:
        samples: title, image uint8 `[H, W, 3]`, mask uint8 `[h, w]`.
        classes: the class set.
        columns: tiles in a row.

    Returns:
        uint8 `[H, W, 3]`.
    """
    tiles = [_tile(title, image, mask, classes) for title, (image, mask) in samples]
    height = max(tile.shape[0] for tile in tiles)
    tiles = [_extended(tile, height, _TILE) for tile in tiles]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    width = max(row.shape[1] for row in rows)
    present = np.zeros(256, bool)
    for _, (_, mask) in samples:
        present[np.unique(mask)] = True
    return np.vstack(
        [*(_extended(r, r.shape[0], width) for r in rows), legend(classes, present, width)]
    )


def legend(classes: ClassSet, present: np.ndarray, width: int) -> np.ndarray:
    """Colour and name of each class marked in `present` (bool `[256]`); uint8 `[H, width, 3]`."""
    entries = [
        (f"{i} {name}", classes.colors[i]) for i, name in enumerate(classes.names) if present[i]
    ]
    entries.append((f"{classes.ignore_index} ignore", classes.void_color))
    per_row = max(1, width // 180)
    lines = -(-len(entries) // per_row)
    canvas = np.full((lines * _LINE, width, 3), 255, np.uint8)
    for position, (text, color) in enumerate(entries):
        row, column = divmod(position, per_row)
        x, y = column * 180 + 4, row * _LINE + 3
        cv2.rectangle(canvas, (x, y), (x + 16, y + 16), color, -1)
        cv2.rectangle(canvas, (x, y), (x + 16, y + 16), (120, 120, 120), 1)
        _write(canvas, text, (x + 22, y + 13))
    return canvas


def _tile(title: str, image: np.ndarray, mask: np.ndarray, classes: ClassSet) -> np.ndarray:
    height = max(1, round(image.shape[0] * _TILE / image.shape[1]))
    small = cv2.resize(image, (_TILE, height), interpolation=cv2.INTER_AREA)
    painted = cv2.resize(classes.decode(mask), (_TILE, height), interpolation=cv2.INTER_NEAREST)
    head = np.full((_LINE, _TILE, 3), 255, np.uint8)
    _write(head, title[:44], (4, 15))
    return np.vstack([head, small, painted])


def _extended(array: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), 255, np.uint8)
    out[: array.shape[0], : array.shape[1]] = array
    return out


def _write(canvas: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
