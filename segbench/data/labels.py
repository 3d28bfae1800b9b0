"""Decodes the bytes of a mask file to the labels that it stores.

A label is the stored number, or the palette index; in GIF and BMP, whose palettes are also used for
grayscale, it is the gray level if all colors in use are gray.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segbench.data.damage import PNG_MAGIC, check_whole, unreadable
from segbench.data.pixels import Pixels, displayed, imdecode, orientation, read_pixels
from segbench.errors import DataError

_LARGEST_LABEL = (1 << 16) - 1


def decode_mask(data: bytes, path: Path | None) -> np.ndarray:
    """Decodes a mask without interpreting it.

    Args:
        data: the bytes of the file.
        path: name of the file in errors.

    Returns:
        uint8 or uint16 `[H, W]` raw label values (for a palette, indices), or uint8 `[H, W, 3]`
        RGB for a color mask.

    Raises:
        DataError: damaged or not an image, or values that cannot be labels.
    """
    check_whole(data, path)
    if data.startswith(PNG_MAGIC) and data[24:26] == b"\x08\0":  # 8-bit gray, the usual case
        mask = imdecode(data, cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise unreadable(data, path, "mask")
        return displayed(mask, orientation(data))
    pixels = read_pixels(data, path)
    if pixels.white_is_zero:
        raise DataError(
            f"{path}: white is zero in this TIFF (photometric type 0), so its labels may be "
            "inverted. Export it with black as zero.",
            "label",
        )
    return labels_of(pixels, path)


def decode_colors(data: bytes, path: Path | None) -> np.ndarray:
    """Decodes a color mask, or a palette image to its colors; grayscale is an error.

    Returns:
        uint8 `[H, W, 3]` RGB.
    """
    check_whole(data, path)
    pixels = read_pixels(data, path)
    if pixels.palette is not None:
        return pixels.palette[pixels.values]
    if pixels.bands == 1:
        raise DataError(f"{path}: a gray mask where RGB was expected; use mask_type: ids.")
    return labels_of(pixels, path)


def labels_of(pixels: Pixels, path: Path | None) -> np.ndarray:
    """Integers of any type as uint8 or uint16; DataError for values that cannot be labels."""
    mask = pixels.values
    if pixels.bands not in (1, 3):
        raise DataError(
            f"{path}: {pixels.bands} bands of {pixels.type_name}, but a mask has one label per "
            "pixel, or RGB. Export only the labels.",
            "color",
        )
    if mask.dtype == np.uint8 or (mask.dtype == np.uint16 and mask.ndim == 2):
        return mask
    if mask.ndim == 3:
        raise DataError(
            f"{path}: a color mask of {mask.dtype} values; expected 8 bits a channel. Export it "
            "again with 8 bits.",
            "color",
        )
    fractions = mask[mask != np.floor(mask)] if mask.dtype.kind == "f" else mask[:0]
    if fractions.size:
        raise DataError(
            f"{path}: value {fractions.flat[0]:g} is not a label; expected integers. Export the "
            "labels themselves as PNG, without interpolation.",
            "label",
        )
    low, high = mask.min(), mask.max()
    if low < 0 or high > _LARGEST_LABEL:
        raise DataError(
            f"{path}: label {low if low < 0 else high:.0f} is outside 0..{_LARGEST_LABEL}. Export "
            "the mask again with other label values.",
            "label",
        )
    return mask.astype(np.uint16)
