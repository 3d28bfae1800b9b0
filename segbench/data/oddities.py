"""What is read without an error, but should be known: alpha channels, pages, dark ranges."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.data.damage import JPEG_MAGIC, PNG_MAGIC
from segbench.data.dataset import Record
from segbench.data.decoding import read_bytes
from segbench.data.pixels import read_pixels
from segbench.errors import DataError

_log = logging.getLogger(__name__)
_LOOKED_AT = 8  # training images whose range of values is looked at
_LEAST_SHARE = 0.25  # of the range; images that use less are taken to be meant otherwise


@dataclass(frozen=True)
class Oddities:
    """Of one file.

    Args:
        frames: pages or frames in it, of which the first is read.
        alpha: whether it has transparent pixels, whose colors count nevertheless.
        span: smallest and largest value and that of full brightness, with more than 8 bits.
    """

    frames: int = 1
    alpha: bool = False
    span: tuple[int, int, int] | None = None


def oddities_of(path: Path | None) -> Oddities:
    """Looks into a file; what cannot be read is reported by whoever decodes it."""
    try:
        data = read_bytes(path) if path is not None else b""
        if not data or _is_plain(data):
            return Oddities()
        pixels = read_pixels(data, path)
    except DataError:
        return Oddities()
    opaque = pixels.alpha is None or bool((pixels.alpha == np.iinfo(pixels.alpha.dtype).max).all())
    span = None
    if pixels.top > 255 and pixels.values.size:
        span = (int(pixels.values.min()), int(pixels.values.max()), pixels.top)
    return Oddities(pixels.frames, not opaque, span)


def dark_range(spans: Sequence[tuple[int, int, int] | None]) -> str | None:
    """A sentence if images of more than 8 bits use so little of their range that it is lost."""
    known = [span for span in spans if span is not None]
    if not known:
        return None
    top = max(span[2] for span in known)
    low, high = min(span[0] for span in known), max(span[1] for span in known)
    if high > _LEAST_SHARE * top:
        return None
    levels = round(high * 255 / top) - round(low * 255 / top) + 1
    return (
        f"the brightest pixel of {len(known)} image(s) of {top.bit_length()} bits is {high} of "
        f"{top}: they use {high / top:.1%} of the range, and the model sees {levels} gray "
        "level(s). Rescale them to the full range, all by one factor."
    )


def _is_plain(data: bytes) -> bool:
    """JPEG, and PNG of 8 bits without transparency or animation: nothing to look for."""
    if data.startswith(JPEG_MAGIC):
        return True
    head = data[:1024]  # the parts before the pixels, unless there is a profile
    fine = data[25:26] in (b"\x00", b"\x02") and data[24:25] <= b"\x08"
    return data.startswith(PNG_MAGIC) and fine and b"tRNS" not in head and b"acTL" not in head


def warn_of_dark(protocol: str, records: Sequence[Record]) -> None:
    """Logs a warning if the first training images use too little of the range of their pixels."""
    if dark := dark_range([oddities_of(record.image).span for record in records[:_LOOKED_AT]]):
        _log.warning("%s/train: %s", protocol, dark)
