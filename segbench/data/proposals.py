"""Suggests YAML keys for a data set whose images are not 8-bit RGB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from segbench.data.bands import RGB, Bands, order_hint
from segbench.data.dataset import Record
from segbench.data.decoding import read_bytes
from segbench.data.pixels import Pixels, read_pixels
from segbench.data.volumes import read_slice
from segbench.errors import DataError

Unlike = tuple[Record, DataError]
BY_YAML = ("range", "bands")  # kinds of errors that can be fixed in YAML
_LOOKED_AT = 24  # images, spread over a split
_LEAST_SHARE = 0.25  # of the range; images that use less are probably scaled differently


def proposal(
    unlike: Mapping[str, Sequence[Unlike]], slice_axis: int = 2
) -> tuple[str, dict[str, str]]:
    """The keys for images that are not 8-bit RGB, from their number of bands and their values.

    Args:
        unlike: of each split, the images and the error of each; some of the first split's are
            looked at.
        slice_axis: of volumes.

    Returns:
        What the images contain, and the keys with their values as in YAML.
    """
    total = sum(map(len, unlike.values()))
    first = next(iter(unlike.values()))
    every = max(1, len(first) // _LOOKED_AT)
    found = [p for r, _ in first[::every] if (p := _pixels(r, slice_axis)) is not None]
    if not found:
        return f"{total} image(s): {first[0][1]}", {}
    (kind, bands), count = Counter((p.type_name, _bands(p)) for p in found).most_common(1)[0]
    alike = [p for p in found if (p.type_name, _bands(p)) == (kind, bands)]
    low = min(float(p.values.min()) for p in alike)
    high = max(float(p.values.max()) for p in alike)
    others = f" ({len(found) - count} of {len(found)} are of another type)" * (count < len(found))
    keys = {"channels": str(bands)} if bands not in (1, RGB) else {}
    if not all(0 < p.top <= 255 for p in alike):
        keys["value_range"] = _range(low, high)
    keys |= {"mean": "auto", "std": "auto"}
    if bands > RGB:
        keys["show"] = str(_shown(bands))
    text = f"{total} image(s) contain {bands} band(s) of {kind}, {low:g} to {high:g}{others}."
    text += order_hint(alike[0].values.shape)
    return f"{text} Add to the YAML of the data set:", keys


def unused_range(spans: Sequence[tuple[float, float]], bands: Bands) -> str | None:
    """A message if the values of images use little of their range, or are outside of it.

    Args:
        spans: minimum and maximum value of each image.
        bands: the bands, with the range.
    """
    if not spans or not bands.keeps_values or bands.value_range == "percentile":
        return None
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    black, white = bands.limits
    used = (min(high, white) - max(low, black)) / (white - black)
    beyond = max(black - low, high - white) / (white - black)
    if used >= _LEAST_SHARE and beyond <= 1:
        return None
    return (
        f"data.value_range is [{black:g}, {white:g}], but the values are in {low:g} to {high:g}. "
        f"Write value_range: {_range(low, high)}"
    )


def _pixels(record: Record, slice_axis: int) -> Pixels | None:
    path = record.image
    try:
        if path is not None and record.part is not None:
            return read_slice(path, record.part, slice_axis)
        return read_pixels(read_bytes(path), path)
    except DataError:
        return None


def _bands(pixels: Pixels) -> int:
    return RGB if pixels.palette is not None else pixels.bands


def _range(low: float, high: float) -> str:
    """Black and white for values between two numbers: black is 0 if they come close to it."""
    black = 0.0 if 0 <= low <= high / 4 else low
    white = high if high > black else black + 1
    return f"[{black:g}, {float(np.format_float_positional(white, 6, fractional=False)):g}]"


def _shown(bands: int) -> list[int]:
    """Three bands for display: the usual blue, green, red order of sensors, or evenly spaced."""
    return [2, 1, 0] if bands <= 16 else [bands * 3 // 4, bands // 2, bands // 4]
