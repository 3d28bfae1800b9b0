"""From the bytes of a file to pixels: the way up that viewers show, true label values, or an error.

Images and masks are read as they are displayed: an EXIF orientation is applied. People draw masks
on the photo that their program shows them, and `predict` turns photos the same way.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segbench.errors import DataError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_TIFF_MAGIC = (b"II*\0", b"MM\0*")
_PNG_GREY, _PNG_PALETTE = 0, 3  # colour types
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 turn by a quarter
_LARGEST_LABEL = (1 << 16) - 1


def decode_rgb(data: bytes, path: Path | None) -> np.ndarray:
    """Decodes an image.

    Args:
        data: the bytes of the file.
        path: what to call it in an error.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: damaged or no image.
    """
    image = _by_opencv(data, cv2.IMREAD_COLOR, path, "image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def decode_mask(data: bytes, path: Path | None) -> np.ndarray:
    """Decodes a mask without interpreting it.

    Args:
        data: the bytes of the file.
        path: what to call it in an error.

    Returns:
        uint8 or uint16 `[H, W]` raw label values (palette PNG: palette positions), or uint8
        `[H, W, 3]` RGB for a colour mask.

    Raises:
        DataError: damaged or no image, or values that are no labels.
    """
    if data.startswith(PNG_MAGIC) and len(data) > 25:
        depth, color_type = data[24], data[25]
        if depth < 8 or color_type == _PNG_PALETTE:
            # OpenCV expands palettes to colours and stretches 1, 2 and 4 bits to 0..255.
            values = _by_pillow(data, path, as_rgb=False)
            stretched = color_type == _PNG_GREY and depth > 1  # by Pillow too
            return values // np.uint8(255 // ((1 << depth) - 1)) if stretched else values
    # Unlike IMREAD_UNCHANGED this applies the orientation; it drops the alpha channel.
    mask = _by_opencv(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, path, "mask")
    if mask.ndim == 3:
        mask = np.ascontiguousarray(mask[..., ::-1])
    elif data.startswith(_TIFF_MAGIC) and _is_one_bit(data):
        mask //= 255  # to which OpenCV stretches the bit
    return _as_labels(mask, path)


def decode_palette(data: bytes, path: Path | None) -> np.ndarray | None:
    """The colours of a palette PNG, uint8 `[H, W, 3]` RGB; None for any other file."""
    if not data.startswith(PNG_MAGIC) or data[25:26] != bytes([_PNG_PALETTE]):
        return None
    return _by_pillow(data, path, as_rgb=True)


def orientation(path: Path | None) -> int:
    """The EXIF orientation of an image file, 1 to 8; 1 (upright) if it has none."""
    try:
        return _orientation(path.read_bytes()) if path is not None else 1
    except OSError:
        return 1  # told by whoever decodes the file


def _orientation(data: bytes) -> int:
    if data.startswith(PNG_MAGIC) and not (b"eXIf" in data or b"type exif" in data):
        return 1  # Pillow would decode all of it to find none behind the pixels
    try:
        with Image.open(io.BytesIO(data)) as opened:
            value = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises almost anything; damaged metadata turn nothing
        return 1
    return value if value in range(1, 9) else 1


def _is_one_bit(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.mode == "1"
    except Exception:  # a kind of TIFF that Pillow does not know
        return False


def _displayed(array: np.ndarray, turn: int) -> np.ndarray:
    """Pixels `[H, W, ...]` as viewers show them by an EXIF orientation."""
    if turn == 1:
        return array
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return np.ascontiguousarray((array.swapaxes(0, 1) if turn >= 5 else array)[::rows, ::columns])


def _by_opencv(data: bytes, flags: int, path: Path | None, what: str) -> np.ndarray:
    webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    if webp:  # only the latest versions of OpenCV turn WebP
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # the header of a TIFF or WebP
        array = None
    if array is None:
        raise _unreadable(data, path, what)
    return _displayed(array, _orientation(data)) if webp and b"EXIF" in data else array


def _by_pillow(data: bytes, path: Path | None, as_rgb: bool) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            values = np.array(opened.convert("RGB") if as_rgb else opened)
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise _unreadable(data, path, "mask") from error
    return _displayed(values.astype(np.uint8, copy=False), _orientation(data))


def _unreadable(data: bytes, path: Path | None, what: str) -> DataError:
    text = f"{path}: not a readable {what} ({len(data)} bytes). Replace the file."
    return DataError(text, "unreadable")


def _as_labels(mask: np.ndarray, path: Path | None) -> np.ndarray:
    """Whole numbers of any type as uint8 or uint16; DataError for what cannot be a label."""
    if mask.dtype == np.uint8 or (mask.dtype == np.uint16 and mask.ndim == 2):
        return mask
    if mask.ndim == 3:
        raise DataError(
            f"{path}: a colour mask of {mask.dtype} values; expected 8 bits a channel. Export it "
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
