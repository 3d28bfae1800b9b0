"""Sheets of inputs and predictions: image, mask, pred and error, with a color legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.lettering import draw_text
from segbench.inference.overlay import error_map, side_by_side, with_legend

PANEL_WIDTH = 320
GAP = 8
CAPTION_HEIGHT = 24
STRIP_EPOCHS = 12
FONT_SIZE = 13
MAX_PANEL_HEIGHT = 4 * PANEL_WIDTH  # taller images are squeezed
INK, PAPER = (32, 32, 32), 255


def sample_sheet(shown: Sequence[dict[str, Any]], classes: ClassSet, title: str) -> np.ndarray:
    """One row per image: image, mask, pred, error (red where the pred is wrong).

    Args:
        shown: dicts of `name`, `image` uint8 `[h, w, 3]`, `mask` and `pred` uint8 `[H, W]`.
        classes: gives the colors.
        title: heading of the sheet.

    Returns:
        uint8 `[height, width, 3]` RGB.
    """
    rows = []
    for entry in shown:
        mask, pred = entry["mask"], entry["pred"]
        size = (PANEL_WIDTH, panel_height(mask))
        image = cv2.resize(entry["image"], size, interpolation=cv2.INTER_AREA)
        mask, pred = (cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in (mask, pred))
        error = error_map(image, pred, mask, classes)
        rows.append(_caption(entry["name"]))
        rows.append(side_by_side([image, classes.decode(mask), classes.decode(pred), error], GAP))
    width = rows[-1].shape[1]
    heading = _caption(f"{title}     image | mask | pred | error (red)")
    sheet = np.concatenate([_widen(row, width) for row in (heading, *rows)], axis=0)
    return with_legend(sheet, classes, range(classes.num_classes))


def film_strip(sheets: Mapping[int, np.ndarray], height: int) -> np.ndarray:
    """The first image of the sheets over the epochs: one column of pred and error per epoch.

    Image and mask are at the left.

    Args:
        sheets: from `sample_sheet` after each epoch, by epoch.
        height: height of a panel, see `panel_height`.

    Returns:
        uint8 `[height, width, 3]` RGB.
    """
    epochs = sorted(sheets)
    top = 2 * CAPTION_HEIGHT  # below the heading and the name of the image
    columns = []
    for number, epoch in enumerate(epochs):
        row = sheets[epoch][top : top + height]
        image, mask, pred, error = (
            row[:, left : left + PANEL_WIDTH]
            for left in range(0, 4 * (PANEL_WIDTH + GAP), PANEL_WIDTH + GAP)
        )
        if number == 0:
            columns.append(_column("image, mask", image, mask))
        columns.append(_column(f"epoch {epoch}: pred, error", pred, error))
    return side_by_side(columns, GAP)


def strip_epochs(epochs: Sequence[int]) -> list[int]:
    """At most `STRIP_EPOCHS` of the epochs, evenly spaced from the first to the last."""
    shown = np.linspace(0, len(epochs) - 1, min(len(epochs), STRIP_EPOCHS))
    return [epochs[i] for i in shown.round().astype(int)]


def panel_height(mask: np.ndarray) -> int:
    """Height in pixels of the panels of an image with this mask."""
    height = round(PANEL_WIDTH * mask.shape[0] / mask.shape[1])
    return min(max(1, height), MAX_PANEL_HEIGHT)


def _column(title: str, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.concatenate([_caption(title)[:, :PANEL_WIDTH], upper, lower], axis=0)


def _caption(text: str) -> np.ndarray:
    strip = np.full((CAPTION_HEIGHT, 4 * PANEL_WIDTH, 3), PAPER, np.uint8)
    draw_text(strip, text, 6, CAPTION_HEIGHT // 2, FONT_SIZE, INK)
    return strip


def _widen(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=PAPER)
