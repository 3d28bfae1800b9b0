"""Reads the pixels of a file exactly as stored, for every container and pixel type."""

from __future__ import annotations

import ast
import io
import re
import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from PIL import Image

from segbench.data import tiff
from segbench.data.bands import MOST_CHANNELS
from segbench.data.damage import PNG_MAGIC, has_exif, unreadable
from segbench.errors import DataError

_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 rotate by 90 degrees
_NPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"
_NETPBM = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"(?:#[^\n]*\n)?\s", re.S)
_MOST_UNPACKED = 1040  # maximum decompressed bytes per byte in a ZIP
_MASKS_OF_BMP = ("1", "L", "P", "RGB", "RGBA")


def silence(opencv: ModuleType) -> None:
    """Stops the raw C++ messages about damaged files, which our own errors report."""
    set_level = getattr(opencv, "setLogLevel", None)  # OpenCV 4.11
    (set_level or opencv.utils.logging.setLogLevel)(0)


silence(cv2)


@dataclass(frozen=True)
class Pixels:
    """The stored pixels of a file, in the orientation that viewers display.

    Args:
        values: `[H, W]` or `[H, W, bands]` of any numeric type, without the alpha channel.
        top: the full-scale value, 2^bits - 1; 0 if the type does not define it (floats).
        palette: uint8 `[N, 3]` RGB if the values are indices into it.
        alpha: opacity `[H, W]`, opaque at the maximum of its type; None without transparency.
        white_is_zero: whether 0 is white (a photometric interpretation of TIFF).
        frames: number of pages or frames in the file, of which the first is read.
    """

    values: np.ndarray
    top: int
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    white_is_zero: bool = False
    frames: int = 1

    @property
    def bands(self) -> int:
        """Number of bands, without the alpha channel."""
        return self.values.shape[2] if self.values.ndim == 3 else 1

    @property
    def type_name(self) -> str:
        """The numeric type in words, such as `16-bit integers` or `32-bit floats`."""
        kind, bits = self.values.dtype.kind, 8 * self.values.dtype.itemsize
        if kind == "f":
            return f"{bits}-bit floats"
        return f"{bits}-bit signed integers" if kind == "i" else f"{bits}-bit integers"


def read_pixels(data: bytes, path: Path | None) -> Pixels:
    """Decodes the first image of a file without interpreting its values.

    Args:
        data: all bytes of the file, see `damage.check_whole`.
        path: name of the file in errors.

    Raises:
        DataError: damaged, not an image, or an unsupported pixel type, which is named.
    """
    turn = 1
    try:
        if data.startswith(tiff.MAGICS):
            pixels, turn = _tiff(data, path)
        elif data.startswith(_NPY_MAGIC):
            pixels = _npy(data, path)
        elif data.startswith(_ZIP_MAGIC):
            pixels = _npy(_only_array(data, path), path)
        elif match := _NETPBM.match(data):
            pixels = _netpbm(data, match)
        elif data.startswith(PNG_MAGIC):
            pixels, turn = _png(data), orientation(data)
        elif data.startswith((b"GIF8", b"BM", b"P1", b"P4")):
            pixels = _by_pillow(data)
        else:  # JPEG, WebP and other formats that OpenCV reads
            pixels, turn = _by_opencv(data), orientation(data)
    except (DataError, ImportError):
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large ({error}); cut it into tiles.", "unreadable") from None
    except Exception as error:  # decoders raise almost anything for damaged files
        raise unreadable(data, path, "file") from error
    if pixels.values.size == 0:
        raise unreadable(data, path, "file")
    if turn == 1:
        return pixels
    alpha = None if pixels.alpha is None else displayed(pixels.alpha, turn)
    return replace(pixels, values=displayed(pixels.values, turn), alpha=alpha)


def orientation(data: bytes) -> int:
    """The EXIF orientation of a file, 1 to 8; 1 (upright) if it has none or cannot be read."""
    if not (has_exif(data) or data.startswith(tiff.MAGICS)):
        return 1  # Pillow would decode a whole PNG to search after the pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as opened:
                for key in ("xmp", "XML:com.adobe.xmp"):  # used by Pillow, but by no viewer
                    opened.info.pop(key, None)
                value = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises almost anything; ignore damaged metadata
        return 1
    return value if value in range(1, 9) else 1


def displayed(array: np.ndarray, turn: int) -> np.ndarray:
    """Pixels `[H, W, ...]` in the orientation that viewers display, by EXIF orientation `turn`."""
    if turn == 1:
        return array
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return np.ascontiguousarray((array.swapaxes(0, 1) if turn >= 5 else array)[::rows, ::columns])


def imdecode(data: bytes, flags: int) -> np.ndarray | None:
    """Decodes a file with OpenCV, without EXIF rotation; None if it cannot be read."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # the header of a WebP
        return None


def _png(data: bytes) -> Pixels:
    depth, color_type = data[24], data[25]
    if depth < 8 or color_type == 3:
        # OpenCV expands palettes to colors and stretches 1, 2 and 4 bits to 0..255.
        pixels = _by_pillow(data)
        stretched = color_type == 0 and depth > 1  # Pillow does this, too
        top = (1 << depth) - 1 if color_type == 0 else 255
        values = pixels.values // np.uint8(255 // top) if stretched else pixels.values
        frames = 2 if b"acTL" in data[:200] else 1
        return replace(pixels, values=values, top=top, frames=frames)
    pixels = _by_opencv(data)
    if color_type == 4:  # gray and alpha, which OpenCV converts to color
        pixels = replace(pixels, values=np.ascontiguousarray(pixels.values[..., 0]))
    return replace(pixels, frames=2 if b"acTL" in data[:200] else 1)


def _by_opencv(data: bytes) -> Pixels:
    array = imdecode(data, cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("not an image")
    top = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 0
    frames = 2 if data.startswith(b"RIFF") and b"ANMF" in data else 1
    if array.ndim == 2:
        return Pixels(array, top, frames=frames)
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return Pixels(np.ascontiguousarray(array[..., 2::-1]), top, alpha=alpha, frames=frames)


def _by_pillow(data: bytes) -> Pixels:
    """Reads GIF, BMP, PBM, and PNG with a palette or fewer than 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            return _of_pillow(opened, named_palette=opened.format == "PNG")


def _of_pillow(opened: Image.Image, named_palette: bool) -> Pixels:
    if opened.mode not in _MASKS_OF_BMP:
        raise ValueError(f"mode {opened.mode}")
    values = np.array(opened)
    frames = int(getattr(opened, "n_frames", 1)) if opened.format == "GIF" else 1
    if opened.mode == "1":
        return Pixels(values.astype(np.uint8), 1, frames=frames)
    if opened.mode == "RGBA":
        return Pixels(np.ascontiguousarray(values[..., :3]), 255, alpha=values[..., 3])
    if opened.mode != "P":
        return Pixels(values, 255, frames=frames)
    palette = np.zeros((256, 3), np.uint8)
    colors = np.array(opened.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(colors)] = colors[:256]
    used = palette[np.unique(values)]
    alpha = _palette_alpha(opened, values)
    if not named_palette and (used == used[:, :1]).all():
        # GIF has no grayscale, and writers of gray GIF and BMP order their palettes arbitrarily.
        return Pixels(palette[values, 0], 255, alpha=alpha, frames=frames)
    return Pixels(values, 255, palette, alpha, frames=frames)


def _palette_alpha(opened: Image.Image, values: np.ndarray) -> np.ndarray | None:
    transparency = opened.info.get("transparency")
    if transparency is None:
        return None
    opacity = np.full(256, 255, np.uint8)
    if isinstance(transparency, bytes):
        opacity[: len(transparency)] = np.frombuffer(transparency, np.uint8)[:256]
    else:
        opacity[int(transparency)] = 0
    return opacity[values]


def _netpbm(data: bytes, match: re.Match[bytes]) -> Pixels:
    """Reads PGM and PPM. OpenCV scales the values of some, and Pillow fails on others."""
    kind, width, height, top = (int(group) for group in match.groups())
    if not 0 < top < 1 << 16:
        raise ValueError("the largest value")
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    count = int(np.prod(shape, dtype=object))
    if kind >= 5:
        dtype = np.dtype(">u2" if top > 255 else "u1")
        values = np.frombuffer(data, dtype, count, match.end())
    else:
        values = np.array(data[match.end() :].split()[:count], np.int64)
        if len(values) < count:
            raise ValueError("truncated")
    if values.min(initial=0) < 0 or values.max(initial=0) > top:
        raise ValueError("a value above the maximum")
    return Pixels(values.astype(np.uint16 if top > 255 else np.uint8).reshape(shape), top)


def _only_array(data: bytes, path: Path | None) -> bytes:
    """The bytes of the only array of a .npz file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(arrays) != 1:
            names = ", ".join(info.filename.removesuffix(".npy") for info in arrays[:5]) or "none"
            raise DataError(
                f"{path}: contains {len(arrays)} arrays ({names}); expected one. Save each image "
                "in a separate file.",
                "unreadable",
            )
        if arrays[0].file_size > _MOST_UNPACKED * len(data):
            raise ValueError("its unpacked size is impossible for a file of its size")
        return archive.read(arrays[0])


def _npy(data: bytes, path: Path | None) -> Pixels:
    header_end = 10 + int.from_bytes(data[8:10], "little")
    start = 10
    if data[6] > 1:
        header_end, start = 12 + int.from_bytes(data[8:12], "little"), 12
    header = ast.literal_eval(data[start:header_end].decode("latin-1"))
    dtype, shape = np.dtype(header["descr"]), tuple(header["shape"])
    if dtype.kind not in "buif":
        raise DataError(
            f"{path}: an array of {dtype}, which are not pixels; save 8-bit or 16-bit integers.",
            "unreadable",
        )
    if len(shape) not in (2, 3) or 0 in shape or shape[2:] > (MOST_CHANNELS,):
        raise DataError(
            f"{path}: an array of shape {list(shape)}; expected [H, W] or [H, W, bands]. Save "
            "each image in a separate file, with the bands last.",
            "unreadable",
        )
    # Not with np.load, which allocates as much memory as the header claims.
    flat = np.frombuffer(data, dtype, int(np.prod(shape, dtype=object)), header_end)
    values = flat.reshape(shape, order="F" if header["fortran_order"] else "C")
    values = np.ascontiguousarray(values, dtype.newbyteorder("="))
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if dtype.kind == "b":
        return Pixels(values.astype(np.uint8), 1)
    return Pixels(values, np.iinfo(dtype).max if dtype.kind == "u" else 0)


def _tiff(data: bytes, path: Path | None) -> tuple[Pixels, int]:
    page = tiff.read_page(data, path)
    layout = page.layout
    top = layout.top if page.values.dtype.kind == "u" else 0
    pixels = Pixels(
        page.values, top, layout.palette, page.alpha, layout.white_is_zero, frames=page.pages
    )
    return pixels, layout.orientation
