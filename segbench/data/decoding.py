"""Decodes the bytes of a file to what the model sees: 8-bit RGB, or raw label values.

Training, evaluation, prediction, explanation and export all decode files here. The rules:

- Images and masks are read as they are displayed: an EXIF orientation is applied, because masks are
  drawn on the displayed photo.
- An alpha channel is dropped, and colors are used as stored, also where they are transparent.
  `segbench.check_data` reports images in which this makes a difference.
- Grayscale becomes RGB with three equal channels; palettes, CMYK and YCbCr become RGB.
- Unsigned integers of other than 8 bits keep their range: the maximum becomes 255, and values in
  between are rounded.
- Floats, signed integers, integers of more than 16 bits, and two or more than three bands are
  errors that name the pixel type: their range or their colors would be guesses.
- Of several pages or frames, the first is read; `segbench.check_data` reports these files.
- A label is the stored number, or the palette index; in GIF and BMP, whose palettes are also used
  for grayscale, it is the gray level if all colors in use are gray.
"""

from __future__ import annotations

import stat
from pathlib import Path

import cv2
import numpy as np

from segbench.data.damage import JPEG_MAGIC, PNG_MAGIC, check_whole
from segbench.data.pixels import Pixels, displayed, imdecode, orientation, read_pixels, unreadable
from segbench.errors import DataError

# Extensions of image files. `.npy` is read only if named: many folders contain other arrays.
SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
_LARGEST_LABEL = (1 << 16) - 1


def read_bytes(path: Path | None) -> bytes:
    """The bytes of an image or mask file; DataError if it cannot be read."""
    if path is None:
        raise DataError("a record without a file cannot be read from disk")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block forever
            raise DataError(f"{path}: is a folder, a pipe or a device, not a file", "unreadable")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).", "unreadable") from error


def decode_rgb(data: bytes, path: Path | None) -> np.ndarray:
    """Decodes an image.

    Args:
        data: the bytes of the file.
        path: name of the file in errors.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: damaged, not an image, or an unsupported pixel type, which is named.
    """
    check_whole(data, path)
    if not _is_plain(data):
        return _as_rgb(read_pixels(data, path), path)
    image = imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise unreadable(data, path, "image")
    return displayed(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), orientation(data))


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
            f"{path}: white is zero in this TIFF (photometric type 0), so its labels may be meant "
            "upside down. Export it with black as zero.",
            "label",
        )
    return _as_labels(pixels, path)


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
    return _as_labels(pixels, path)


def _is_plain(data: bytes) -> bool:
    """Whether OpenCV decodes this file according to the rules: true for nearly all images."""
    if data.startswith(PNG_MAGIC):
        return data[24:25] <= b"\x08"  # bit depth
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    return data.startswith((JPEG_MAGIC, b"BM")) or webp


def _as_rgb(pixels: Pixels, path: Path | None) -> np.ndarray:
    values, top = pixels.values, pixels.top
    if pixels.palette is not None:
        values, top = pixels.palette[values], 255
    bands = values.shape[2] if values.ndim == 3 else 1
    if bands not in (1, 3):
        raise DataError(
            f"{path}: contains {bands} bands of {pixels.type_name}, and no alpha channel; only "
            "gray and RGB are read. Save the three bands that the model is to see.",
            "unreadable",
        )
    if not 0 < top <= _LARGEST_LABEL:
        raise DataError(
            f"{path}: contains {pixels.type_name}, whose range is unknown. Save it as whole "
            "numbers of 8 or 16 bits, black as 0.",
            "unreadable",
        )
    if top != 255 or pixels.white_is_zero:
        table = (np.arange(top + 1, dtype=np.uint32) * 255 + top // 2) // top
        values = table.astype(np.uint8)[:: -1 if pixels.white_is_zero else 1].take(values)
    return cv2.cvtColor(values, cv2.COLOR_GRAY2RGB) if bands == 1 else values


def _as_labels(pixels: Pixels, path: Path | None) -> np.ndarray:
    """Integers of any type as uint8 or uint16; DataError for values that cannot be labels."""
    mask = pixels.values
    if pixels.bands not in (1, 3):
        raise DataError(
            f"{path}: {pixels.bands} bands of {pixels.type_name} where a mask has one label per "
            "pixel, or RGB. Export the labels alone.",
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
            f"{path}: value {fractions.flat[0]:g} is no label; expected whole numbers. Export the "
            "labels themselves, without interpolation, as PNG.",
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
