"""What is read without an error, but should be known: alpha channels and further pages."""

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
    """Of one file.

    Args:
        frames: pages or frames in it, of which the first is read.
        alpha: whether it has transparent pixels, whose colors count nevertheless.
    """

    frames: int = 1
    alpha: bool = False


def oddities_of(path: Path | None) -> Oddities:
    """Looks into a file; what cannot be read is reported by whoever decodes it."""
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
    """JPEG, and PNG of 8 bits without transparency or animation: nothing to look for."""
    if data.startswith(JPEG_MAGIC):
        return True
    head = data[:1024]  # the parts before the pixels, unless there is a profile
    fine = data[25:26] in (b"\x00", b"\x02") and data[24:25] <= b"\x08"
    return data.startswith(PNG_MAGIC) and fine and b"tRNS" not in head and b"acTL" not in head


def _is_full(alpha: np.ndarray) -> bool:
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    return bool((alpha == full).all())
