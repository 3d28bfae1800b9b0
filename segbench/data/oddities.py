"""Peculiarities of files that are read without an error: alpha channels, pages, dark ranges."""

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
_LOOKED_AT = 8  # training images whose range of values is checked
_LEAST_SHARE = 0.25  # of the range; images that use less are probably scaled differently


@dataclass(frozen=True)
class Oddities:
    """Peculiarities of one file.

    Args:
        frames: number of pages or frames, of which the first is read.
        alpha: whether it has transparent pixels, whose colors are used as stored.
        span: minimum, maximum and full-scale value, for more than 8 bits.
    """

    frames: int = 1
    alpha: bool = False
    span: tuple[int, int, int] | None = None


def oddities_of(path: Path | None) -> Oddities:
    """Inspects a file; a file that cannot be read is reported when it is decoded."""
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
    """A message if images of more than 8 bits use too little of their range."""
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
    """Whether a file is a JPEG, or an 8-bit PNG without transparency or animation."""
    if data.startswith(JPEG_MAGIC):
        return True
    head = data[:1024]  # the chunks before the pixels, unless there is a color profile
    fine = data[25:26] in (b"\x00", b"\x02") and data[24:25] <= b"\x08"
    return data.startswith(PNG_MAGIC) and fine and b"tRNS" not in head and b"acTL" not in head


def warn_of_dark(protocol: str, records: Sequence[Record]) -> None:
    """Logs a warning if the first training images use too little of the range of their pixels."""
    if dark := dark_range([oddities_of(record.image).span for record in records[:_LOOKED_AT]]):
        _log.warning("%s/train: %s", protocol, dark)
