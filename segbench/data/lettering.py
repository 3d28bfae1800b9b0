"""Text in images in any script: class names, captions, legends."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
_NO_CHARACTER = "\U0010ffff"  # a font draws its missing-character glyph for this


def text_width(text: str, size: int) -> int:
    """Width of a text in pixels at a font size in pixels."""
    return lettering(text, size).shape[1]


def can_draw(text: str) -> bool:
    """Whether there is a glyph for every character of a text, so that none becomes a code."""
    return all(char.isprintable() and (_in_dejavu(char) or _in_opencv(char)) for char in text)


def draw_text(
    canvas: np.ndarray, text: str, left: int, middle: int, size: int, color: RGB = (0, 0, 0)
) -> None:
    """Draws a line of text, cut off at the edge of the canvas.

    Args:
        canvas: uint8 `[H, W, 3]`, modified in place.
        text: characters of any script. The font is DejaVu Sans; characters that it lacks use the
            font in OpenCV 5 (Chinese, Japanese, Korean), or else are written as codes like U+9053.
        left: left edge of the text in pixels.
        middle: vertical center of the line in pixels.
        size: font size in pixels.
        color: RGB.
    """
    ink = lettering(text, size)
    top = middle - ink.shape[0] // 2
    rows = slice(max(top, 0), top + ink.shape[0])
    place = canvas[rows, left:][:, : ink.shape[1]]
    strength = ink[rows.start - top :][: place.shape[0], : place.shape[1], None] / np.float32(255)
    place[:] = np.rint(place * (1 - strength) + np.array(color, np.float32) * strength)


@lru_cache(maxsize=512)
def lettering(text: str, size: int) -> np.ndarray:
    """Opacity of the text, uint8 `[1.5 size, width]`."""
    letters = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    readable = "".join(c if _in_dejavu(c) or _in_opencv(c) else f"U+{ord(c):04X}" for c in letters)
    runs = [("".join(run), known) for known, run in groupby(readable, _in_dejavu)]
    parts = [_by_pillow(run, size) if known else _by_opencv(run, size) for run, known in runs]
    return np.concatenate(parts, axis=1) if parts else np.zeros((_height(size), 0), np.uint8)


def _by_pillow(text: str, size: int) -> np.ndarray:
    font = _dejavu(size)
    image = Image.new("L", (int(np.ceil(font.getlength(text))), _height(size)))
    ImageDraw.Draw(image).text((0, _baseline(size)), text, 255, font=font, anchor="ls")
    return np.array(image)


def _by_opencv(text: str, size: int) -> np.ndarray:
    canvas = np.zeros((_height(size), 2 * size * (len(text) + 1), 3), np.uint8)
    font, white = cv2.FontFace("uni"), (255, 255, 255)
    end, drawn = cv2.putText(canvas, text, (0, _baseline(size)), white, font, size)
    return np.asarray(drawn, np.uint8)[:, : int(end[0]), 0]


@lru_cache(maxsize=64)
def _dejavu(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def _font_file() -> Path:
    """DejaVu Sans from matplotlib, located without importing matplotlib, which is slow."""
    place = Path("fonts", "ttf", "DejaVuSans.ttf")
    spec = find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (file := Path(folder, "mpl-data") / place).is_file():
            return file
    import matplotlib  # split into several folders, as in Linux distributions

    return Path(matplotlib.get_data_path()) / place


@lru_cache(maxsize=4096)
def _in_dejavu(character: str) -> bool:
    font = _dejavu(20)
    return bytes(font.getmask(character)) != bytes(font.getmask(_NO_CHARACTER))


@lru_cache(maxsize=4096)
def _in_opencv(character: str) -> bool:
    if not hasattr(cv2, "FontFace"):  # before OpenCV 5
        return False
    return not np.array_equal(_by_opencv(character, 20), _by_opencv("?", 20))


def _height(size: int) -> int:
    return round(1.5 * size)


def _baseline(size: int) -> int:
    return round(1.1 * size)
