"""Sheets of samples with their masks, for inspection before training."""

from __future__ import annotations

import cv2
import numpy as np

from segbench.data.bands import RGB8, Bands
from segbench.data.classes import ClassSet
from segbench.data.dataset import Arrays, SegmentationDataset
from segbench.data.lettering import draw_text, text_width

_TILE = 320  # width of a tile in pixels
_MAX_HEIGHT = 4 * _TILE  # of an image in a tile; taller ones are squeezed
_LINE = 22  # height of a line of text in pixels
_FONT_SIZE = 12
_ENTRY = 180  # minimum width of a legend entry


def sheet(samples: list[tuple[str, Arrays]], classes: ClassSet, columns: int = 4) -> np.ndarray:
    """Tiles of image above painted mask, with a legend of the colors that occur.

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


def spread_samples(
    dataset: SegmentationDataset, count: int, bands: Bands = RGB8
) -> list[tuple[str, Arrays]]:
    """At most `count` samples of a data set, evenly spaced over it, in the format of `sheet`."""
    samples = []
    for index in range(0, len(dataset), max(1, len(dataset) // count))[:count]:
        sample = dataset[0, index]
        image = bands.displayed(sample["image"].permute(1, 2, 0).numpy())
        samples.append((sample["name"], (image, sample["mask"].numpy())))
    return samples


def legend(classes: ClassSet, present: np.ndarray, width: int) -> np.ndarray:
    """Color and name of each class marked in `present` (bool `[256]`); uint8 `[H, width, 3]`."""
    entries = [
        (f"{i} {name}", classes.colors[i]) for i, name in enumerate(classes.names) if present[i]
    ]
    entries.append((f"{classes.ignore_index} ignore", classes.void_color))
    entry = max(_ENTRY, *(text_width(text, _FONT_SIZE) + 32 for text, _ in entries))
    per_row = max(1, width // entry)
    lines = -(-len(entries) // per_row)
    canvas = np.full((lines * _LINE, width, 3), 255, np.uint8)
    for position, (text, color) in enumerate(entries):
        row, column = divmod(position, per_row)
        x, y = column * entry + 4, row * _LINE + 3
        cv2.rectangle(canvas, (x, y), (x + 16, y + 16), color, -1)
        cv2.rectangle(canvas, (x, y), (x + 16, y + 16), (120, 120, 120), 1)
        draw_text(canvas, text, x + 22, y + 8, _FONT_SIZE)
    return canvas


def _tile(title: str, image: np.ndarray, mask: np.ndarray, classes: ClassSet) -> np.ndarray:
    height = min(max(1, round(image.shape[0] * _TILE / image.shape[1])), _MAX_HEIGHT)
    small = cv2.resize(image, (_TILE, height), interpolation=cv2.INTER_AREA)
    painted = cv2.resize(classes.decode(mask), (_TILE, height), interpolation=cv2.INTER_NEAREST)
    head = np.full((_LINE, _TILE, 3), 255, np.uint8)
    draw_text(head, title, 4, _LINE // 2, _FONT_SIZE)
    return np.vstack([head, small, painted])


def _extended(array: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), 255, np.uint8)
    out[: array.shape[0], : array.shape[1]] = array
    return out
