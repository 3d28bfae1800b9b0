"""Pictures of what a network sees and says: image, mask, pred and error, with a colour legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.inference.overlay import error_map, side_by_side, with_legend

PANEL_WIDTH = 320
INK, PAPER = (32, 32, 32), 255


def sample_sheet(shown: Sequence[dict[str, Any]], classes: ClassSet, title: str) -> np.ndarray:
    """One row per image: image, mask, pred, error (red where the pred is wrong).

    Args:
        shown: dicts of `name`, `image` uint8 `[h, w, 3]`, `mask` and `pred` uint8 `[H, W]`.
        classes: gives the colours.
        title: stands on top.

    Returns:
        uint8 `[height, width, 3]` RGB.
    """
    rows = []
    for entry in shown:
        mask, pred = entry["mask"], entry["pred"]
        size = (PANEL_WIDTH, max(1, round(PANEL_WIDTH * mask.shape[0] / mask.shape[1])))
        image = cv2.resize(entry["image"], size, interpolation=cv2.INTER_AREA)
        mask, pred = (cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in (mask, pred))
        error = error_map(image, pred, mask, classes)
        rows.append(_caption(entry["name"]))
        rows.append(side_by_side([image, classes.decode(mask), classes.decode(pred), error]))
    width = rows[-1].shape[1]
    heading = _caption(f"{title}     image | mask | pred | error (red)")
    sheet = np.concatenate([_widen(row, width) for row in (heading, *rows)], axis=0)
    return with_legend(sheet, classes, range(classes.num_classes))


def _caption(text: str) -> np.ndarray:
    strip = np.full((24, 4 * PANEL_WIDTH, 3), PAPER, np.uint8)
    cv2.putText(strip, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.48, INK, 1, cv2.LINE_AA)
    return strip


def _widen(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=PAPER)
