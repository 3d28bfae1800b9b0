"""Decodes the bytes of a file to what training and prediction get: true colors and values.

Training, evaluation, prediction, explanation and export all decode files here. The rules:

- Images, and masks (`data.labels`), are read as they are displayed: an EXIF orientation is
  applied, because masks are drawn on the displayed photo.
- An alpha channel is dropped, and colors are used as stored, also where they are transparent.
  `segbench.check_data` reports images in which this makes a difference.
- Grayscale becomes RGB with three equal channels; palettes, CMYK and YCbCr become RGB.
- Integers of fewer than 8 bits become 8 bits with maximum 255, which is lossless.
- Anything else (more bits, floats, signed integers, two or more than three bands) is an error that
  names the pixel type, unless the data set defines the bands and the range of values: `data.bands`.
- Of several pages or frames, the first is read; `segbench.check_data` reports these files.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from segbench.data.bands import RGB, Bands, order_hint
from segbench.data.damage import JPEG_MAGIC, PNG_MAGIC, check_whole, unreadable
from segbench.data.pixels import Pixels, displayed, imdecode, orientation, read_pixels
from segbench.errors import DataError

# Extensions of image files; arrays are read only if named: many folders contain other arrays.
SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
ARRAYS = (".npy", ".npz")
_LARGEST_16 = (1 << 16) - 1
_LARGEST_EXACT = 1 << 24  # float32 is exact for integers up to this


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


def decode_image(data: bytes, path: Path | None, bands: Bands) -> np.ndarray:
    """Decodes the bands of an image that a model sees.

    Args:
        data: the bytes of the file.
        path: name of the file in errors.
        bands: the bands, and the meaning of their values.

    Returns:
        `[H, W, bands.count]`: uint8 for `value_range: auto`, else uint16 or float32.

    Raises:
        DataError: damaged, not an image, or bands or values that the data set does not define.
    """
    if bands.is_rgb8:
        return decode_rgb(data, path)
    check_whole(data, path)
    return image_of(read_pixels(data, path), bands, path)


def image_of(pixels: Pixels, bands: Bands, path: Path | None) -> np.ndarray:
    """The output of `decode_image` for pixels from any origin."""
    if bands.is_rgb8:
        return _as_rgb(pixels, path)
    if not bands.keeps_values:
        pixels = _in_8_bits(pixels, path)
    values = _chosen(_all_bands(pixels, bands, path), bands, pixels.frames, path)
    return np.ascontiguousarray(_exact(values, path) if bands.keeps_values else values)


def _is_plain(data: bytes) -> bool:
    """Whether OpenCV decodes this file according to the rules: true for nearly all images."""
    if data.startswith(PNG_MAGIC):
        return data[24:25] <= b"\x08"  # bit depth
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    return data.startswith((JPEG_MAGIC, b"BM")) or webp


def _as_rgb(pixels: Pixels, path: Path | None) -> np.ndarray:
    pixels = _in_8_bits(pixels, path)
    if pixels.bands not in (1, 3):
        raise DataError(
            f"{path}: contains {pixels.bands} bands of {pixels.type_name}, and no alpha channel; "
            f"set data.channels={pixels.bands}, or a list of the three bands that the model "
            f"should see (data.channels=[0,1,2]).{order_hint(pixels.values.shape)}",
            "unreadable",
        )
    values = pixels.values
    return cv2.cvtColor(values, cv2.COLOR_GRAY2RGB) if pixels.bands == 1 else values


def _in_8_bits(pixels: Pixels, path: Path | None) -> Pixels:
    """Colors of palettes, and integers of up to 8 bits as 0..255; DataError for all others."""
    if pixels.palette is not None:
        return replace(pixels, values=pixels.palette[pixels.values], palette=None)
    top = pixels.top
    if not 0 < top <= 255:
        bits = f" ({top.bit_length()} bits used)" if 0 < top < _LARGEST_16 else ""
        raise DataError(
            f"{path}: contains {pixels.type_name}{bits}, and the values of black and white are "
            "unknown: for training, set data.value_range=[lo,hi] (segbench.check_data proposes "
            "it); for a model of 8-bit images, save it with 8 bits.",
            "range",
        )
    if top == 255 and not pixels.white_is_zero:
        return pixels
    steps = (np.arange(top + 1, dtype=np.uint32) * 255 + top // 2) // top
    table = steps.astype(np.uint8)[:: -1 if pixels.white_is_zero else 1]
    return replace(pixels, values=table.take(pixels.values), top=255, white_is_zero=False)


def _all_bands(pixels: Pixels, bands: Bands, path: Path | None) -> np.ndarray:
    """`[H, W, bands]`, with the alpha channel as the last band if requested."""
    values = pixels.values if pixels.palette is None else pixels.palette[pixels.values]
    if pixels.white_is_zero:
        if values.dtype.kind != "u":
            raise DataError(
                f"{path}: {pixels.type_name} where white is zero (photometric type 0 of TIFF); "
                "export it with black as zero.",
                "unreadable",
            )
        values = pixels.top - values
    values = values.reshape(*values.shape[:2], -1)
    stored = values.shape[2]
    wanted = bands.channels
    needed = wanted if isinstance(wanted, int) else max(wanted) + 1
    if pixels.alpha is not None and needed == stored + 1:
        alpha = pixels.alpha.astype(values.dtype)
        return np.concatenate([values, alpha[..., None]], axis=2)
    return values


def _chosen(values: np.ndarray, bands: Bands, pages: int, path: Path | None) -> np.ndarray:
    wanted, stored = bands.channels, values.shape[2]
    of_page = f" on the first of its {pages} pages (only that one is read)" if pages > 1 else ""
    if isinstance(wanted, int):
        if wanted == RGB and stored == 1:
            return np.repeat(values, RGB, axis=2)
        if wanted != stored:
            raise DataError(
                f"{path}: contains {stored} band(s){of_page}, but data.channels is {wanted}. Set "
                f"data.channels={stored}, or list the bands to use, counted from 0."
                f"{order_hint(values.shape)}",
                "bands",
            )
        return values
    if max(wanted) >= stored:
        raise DataError(
            f"{path}: contains {stored} band(s){of_page}, counted from 0, but data.channels "
            f"includes band {max(wanted)}.",
            "bands",
        )
    return values[..., list(wanted)]


def _exact(values: np.ndarray, path: Path | None) -> np.ndarray:
    """Values as uint16 or float32, unchanged; 64-bit floats are rounded, as models compute."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "u" and size <= 2:
        return values.astype(np.uint16, copy=False)
    if kind == "f":
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise DataError(
                f"{path}: {wrong.mean():.2%} of its values are not finite (NaN or infinite); "
                "replace them with a number.",
                "unreadable",
            )
        found = values.astype(np.float32)
        if not np.isfinite(found).all():
            raise DataError(
                f"{path}: contains values that 32-bit floats cannot represent; rescale them.",
                "unreadable",
            )
        return found
    if max(abs(int(values.min(initial=0))), int(values.max(initial=0))) > _LARGEST_EXACT:
        raise DataError(
            f"{path}: contains integers beyond {_LARGEST_EXACT}, which the 32-bit floats of "
            "models cannot distinguish; save it with 16 bits.",
            "unreadable",
        )
    return values.astype(np.float32)
