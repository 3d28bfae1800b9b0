"""Reads pictures as people have them: any orientation, bit depth and colour model."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from segbench.errors import DataError

_ORIENTATION = 0x0112  # of EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_photo(path: Path) -> np.ndarray:
    """Reads a picture the right way up.

    The EXIF orientation is applied, as in training; one that cannot be read turns nothing. 16-bit
    grey becomes 8-bit; grey, palette and CMYK become RGB; transparent parts are laid over white, as
    picture viewers do. Of an animation, the first frame is read.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: the file is missing, damaged, no picture, has more than 178 million pixels, or
            holds floats or 32-bit integers, whose range is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                return np.array(_to_rgb(_upright(opened), path))
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large ({error}); cut it into parts") from error
    except DataError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged pixels or metadata
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason})") from error


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as displayed. Not by Pillow's `exif_transpose`: it also writes the EXIF data
    anew, and fails if any of them is odd."""
    picture.load()  # this turns a TIFF
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata turn nothing
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _to_rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode.startswith("I;16"):
        # 65535 / 255 = 257: the brightest 16-bit value is the brightest 8-bit value.
        return Image.fromarray(np.array(picture).astype(np.uint16) // 257).convert("RGB")
    if picture.mode in ("I", "F"):
        raise DataError(
            f"{path}: holds {'floats' if picture.mode == 'F' else '32-bit integers'}, whose range "
            "is unknown; save it with 8 or 16 bits per channel"
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(
            "RGB"
        )
    return picture.convert("RGB")
