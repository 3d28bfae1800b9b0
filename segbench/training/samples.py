"""Pictures of what a network sees and says: image, mask, pred, error, with a colour legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from segbench.data.classes import ClassSet

PANEL_WIDTH = 320
BACKGROUND = 255
INK = (32, 32, 32)
RIGHT, WRONG = (225, 225, 225), (208, 28, 28)


def sample_sheet(shown: Sequence[dict[str, Any]], classes: ClassSet, title: str) -> np.ndarray:
    """One row per image: image, mask, pred, error (red where the pred is wrong).

    Args:
        shown: dicts of `name`, `image` uint8 `[h, w, 3]`, `mask` and `pred` uint8 `[H, W]`.
        classes: gives the colours.
        title: stands on top.

    Returns:
        uint8 `[height, width, 3]` RGB.
    """
    rows = [_text_strip("image", "mask", "pred", "error", title=title)]
    for entry in shown:
        mask, pred = entry["mask"], entry["pred"]
        labelled = mask != classes.ignore_index
        error = np.full((*mask.shape, 3), BACKGROUND, np.uint8)
        error[labelled & (mask == pred)] = RIGHT
        error[labelled & (mask != pred)] = WRONG
        panels = [
            _fit(entry["image"], mask.shape, cv2.INTER_AREA),
            _fit(classes.decode(mask), mask.shape, cv2.INTER_NEAREST),
            _fit(classes.decode(pred), mask.shape, cv2.INTER_NEAREST),
            _fit(error, mask.shape, cv2.INTER_AREA),
        ]
        rows.append(np.concatenate(panels, axis=1))
        accuracy = (mask == pred)[labelled].mean() if labelled.any() else float("nan")
        rows.append(_text_strip(f"{entry['name']}: pixel_acc {accuracy:.3f}"))
    rows.append(legend(classes, rows[0].shape[1]))
    return np.concatenate(rows, axis=0)


def legend(classes: ClassSet, width: int) -> np.ndarray:
    """The colours and names of the classes in as many lines as they need, `[h, width, 3]`."""
    line_height, x, lines = 24, 8, [[]]
    for name, color in [*zip(classes.names, classes.colors, strict=True),
                        ("void", classes.void_color)]:
        needed = 30 + cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]
        if x + needed > width:
            lines.append([])
            x = 8
        lines[-1].append((x, name, color))
        x += needed
    picture = np.full((line_height * len(lines) + 8, width, 3), BACKGROUND, np.uint8)
    for number, line in enumerate(lines):
        top = 4 + number * line_height
        for left, name, color in line:
            cv2.rectangle(picture, (left, top + 4), (left + 14, top + 18), color, -1)
            cv2.rectangle(picture, (left, top + 4), (left + 14, top + 18), INK, 1)
            _write(picture, name, left + 19, top + 16)
    return picture


def _text_strip(*texts: str, title: str = "") -> np.ndarray:
    strip = np.full((44 if title else 22, 4 * PANEL_WIDTH, 3), BACKGROUND, np.uint8)
    if title:
        _write(strip, title, 8, 17)
    for column, text in enumerate(texts):
        _write(strip, text, 8 + column * PANEL_WIDTH, strip.shape[0] - 7)
    return strip


def _fit(picture: np.ndarray, shape: tuple[int, ...], interpolation: int) -> np.ndarray:
    height = max(1, round(PANEL_WIDTH * shape[0] / shape[1]))
    return cv2.resize(picture, (PANEL_WIDTH, height), interpolation=interpolation)


def _write(picture: np.ndarray, text: str, left: int, baseline: int) -> None:
    cv2.putText(
        picture, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA
    )
