"""Peculiarities of files that are read without an error: alpha channels and further pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.data.damage import JPEG_MAGIC, PNG_MAGIC
from segbench.data.decoding import read_bytes
from segbench.data.pixels import read_pixels
from segbench.data.volumes import is_volume
from segbench.errors import DataError


@dataclass(frozen=True)
class Oddities:
    """Peculiarities of one file.

    Args:
        frames: number of pages or frames, of which the first is read.
        alpha: whether it has transparent pixels, whose colors are used as stored.
    """

    frames: int = 1
    alpha: bool = False


def oddities_of(path: Path | None) -> Oddities:
    """Inspects a file; a file that cannot be read is reported when it is decoded."""
    try:
        data = b"" if path is None or is_volume(path) else read_bytes(path)
        if not data or _is_plain(data):
            return Oddities()
        pixels = read_pixels(data, path)
    except DataError:
        return Oddities()
    opaque = pixels.alpha is None or _is_full(pixels.alpha)
    return Oddities(pixels.frames, not opaque)


def _is_plain(data: bytes) -> bool:
    """Whether a file is a JPEG, or an 8-bit PNG without transparency or animation."""
    if data.startswith(JPEG_MAGIC):
        return True
    head = data[:1024]  # the chunks before the pixels, unless there is a color profile
    fine = data[25:26] in (b"\x00", b"\x02") and data[24:25] <= b"\x08"
    return data.startswith(PNG_MAGIC) and fine and b"tRNS" not in head and b"acTL" not in head


def _is_full(alpha: np.ndarray) -> bool:
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    return bool((alpha == full).all())
