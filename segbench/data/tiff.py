"""Reads the first page of a TIFF exactly as stored, for any bit depth, bands and layout."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segbench.errors import DataError

# tifffile logs how it interprets damaged tags; our own errors report what cannot be read.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF
MAX_PIXELS = 1 << 30  # of an image that is read, as in OpenCV
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha, among the extra samples
_SEPARATE = 2  # planar configuration
_ORIENTATION = 274
_MANY, _MOST_PACKED = 1 << 26, 2000  # samples; decompressed bytes per byte, for any compression
_MOST_COPIES = 16  # pages of a file that may be reduced copies (overviews) or masks of the first
_UNCHANGED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
# Modes of Pillow that change no value, with their bits; see below for associated alpha.
_EXACT_IN_PILLOW = {"1": 1, "L": 8, "P": 8, "LA": 8, "RGB": 8, "CMYK": 8, "I;16": 16, "F": 32}


@dataclass(frozen=True)
class Layout:
    """How a page stores its pixels.

    Args:
        bits: bits per value; may be fewer than those of the dtype.
        palette: uint8 `[N, 3]` RGB if the values are indices into it.
        has_alpha: whether the last band is an alpha channel.
        white_is_zero: whether 0 is white.
        orientation: 1 to 8, as in EXIF.
        is_converted: whether the colors are converted to RGB (CMYK, YCbCr).
    """

    bits: int
    palette: np.ndarray | None
    has_alpha: bool
    white_is_zero: bool
    orientation: int
    is_converted: bool

    @property
    def top(self) -> int:
        """The largest integer of these bits."""
        return (1 << self.bits) - 1


@dataclass(frozen=True)
class Page:
    """The pixels of a page.

    Args:
        values: `[H, W]` or `[H, W, bands]`, without the alpha channel.
        alpha: `[H, W]`, or None.
        layout: how the file stores them.
        pages: number of pages in the file, without reduced copies and masks of the first.
    """

    values: np.ndarray
    alpha: np.ndarray | None
    layout: Layout
    pages: int


def read_layout(path: Path) -> Layout:
    """How the first page of a file stores its pixels, without reading them.

    Raises:
        DataError: it is not a TIFF, or its pixel type is not supported, which is named.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            _check_type(page, path)
            return _layout_of(page)
    except (DataError, OSError):
        raise
    except Exception as error:  # tifffile raises almost anything for damaged files
        raise DataError(f"{path}: not a readable TIFF. Replace the file.", "unreadable") from error


def read_page(data: bytes, path: Path | None) -> Page:
    """Decodes the first page.

    Args:
        data: the bytes of the file.
        path: name of the file in errors.

    Raises:
        DataError: damaged, or an unsupported pixel type, which is named.
    """
    import tifffile  # slow to import, and only TIFF needs it

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        _check_header(page, len(data), path)
        layout = _layout_of(page)
        alpha = None
        if layout.is_converted:
            values = _as_rgb(page, data, path)
        else:
            alpha, values = _without_alpha(_stored(page, data, path), layout)
        pages = len(file.pages)
        if 1 < pages <= _MOST_COPIES:  # in a long stack, nobody adds overviews
            others: Any = file.pages[1:]
            pages = 1 + sum(not (other.is_reduced or other.is_mask) for other in others)
    return Page(np.ascontiguousarray(values, values.dtype.newbyteorder("=")), alpha, layout, pages)


def _layout_of(page: Any) -> Layout:
    photometric, palette = int(page.photometric), None
    if photometric == _PALETTE:
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    extra = [int(kind) for kind in page.extrasamples]
    has_alpha = bool(extra) and extra[-1] in (_ASSOCIATED, _UNASSOCIATED)
    turn = page.tags.valueof(_ORIENTATION, 1)
    return Layout(
        bits=int(page.bitspersample),
        palette=palette,
        has_alpha=has_alpha and page.samplesperpixel in (2, 4),
        white_is_zero=photometric == _WHITE_IS_ZERO,
        orientation=int(turn) if turn in range(1, 9) else 1,
        is_converted=photometric in (_CMYK, _YCBCR),
    )


def _check_header(page: Any, size: int, path: Path | None) -> None:
    """Refuses files that would take much memory or time before failing, or are not supported."""
    if page.imagelength * page.imagewidth * max(1, page.samplesperpixel) > 4 * MAX_PIXELS:
        raise DataError(
            f"{path}: {page.imagewidth}x{page.imagelength} pixels of {page.samplesperpixel} bands "
            "are too many; cut it into tiles.",
            "unreadable",
        )
    samples = page.imagelength * page.imagewidth * max(1, page.samplesperpixel)
    if samples > _MANY and samples * page.bitspersample > 8 * _MOST_PACKED * size:
        raise DataError(
            f"{path}: damaged: {size} bytes cannot contain {page.imagewidth}x{page.imagelength} "
            "pixels. Copy or download it again.",
            "unreadable",
        )
    ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    if max(ends, default=0) > size or not any(page.databytecounts):
        text = f"{path}: truncated after {size} bytes. Copy or download it again."
        raise DataError(text, "unreadable")
    _check_type(page, path)


def _check_type(page: Any, path: Path | None) -> None:
    """Refuses unsupported pixel types by name."""
    known = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR)
    name = getattr(page.photometric, "name", page.photometric)
    if page.dtype is None or page.dtype.kind not in "buif":
        raise _unread(path, f"{page.bitspersample}-bit values of sample format {page.sampleformat}")
    if int(page.photometric) not in known:
        raise _unread(path, f"pixels of the photometric type {name}")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise _unread(path, f"a stack of images in one page (axes {page.axes})")


def _unread(path: Path | None, what: str) -> DataError:
    return DataError(
        f"{path}: contains {what}, which is not supported; save it as gray or RGB with 8 or 16 "
        "bits.",
        "unreadable",
    )


def _without_alpha(values: np.ndarray, layout: Layout) -> tuple[np.ndarray | None, np.ndarray]:
    if values.ndim == 2:
        return None, values
    alpha = None
    if layout.has_alpha:
        alpha, values = np.ascontiguousarray(values[..., -1]), values[..., :-1]
    return alpha, values[..., 0] if values.shape[2] == 1 else values


def _stored(page: Any, data: bytes, path: Path | None) -> np.ndarray:
    """`[H, W]` or `[H, W, bands]`, alpha included."""
    try:
        values = page.asarray()
    except (ValueError, ImportError):  # a compression that tifffile delegates to other packages
        return _by_other_libraries(page, data, path)
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
    return values.astype(np.uint8) if values.dtype == bool else values


def _by_other_libraries(page: Any, data: bytes, path: Path | None) -> np.ndarray:
    """Decodes LZW and similar with Pillow and OpenCV, if these give the exact values."""
    values = _by_pillow(page, data)
    if values is not None:
        values = values.astype(np.uint8) if values.dtype == bool else values
        if int(page.photometric) == _WHITE_IS_ZERO and page.bitspersample <= 8:
            top = (1 << page.bitspersample) - 1  # Pillow inverts the values
            values = (top - values).astype(values.dtype)
        return values
    wide = page.bitspersample in (16, 32, 64) or page.dtype == np.int8
    if (
        wide
        and page.samplesperpixel in (1, 3, 4)
        and page.planarconfig != _SEPARATE
        and page.dtype != np.float16
    ):
        try:
            array = cv2.imdecode(np.frombuffer(data, np.uint8), _UNCHANGED)
        except cv2.error:
            array = None
        if array is not None and array.dtype == page.dtype:
            return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]
    compression = getattr(page.compression, "name", page.compression)
    raise DataError(
        f"{path}: {page.samplesperpixel} band(s) of {page.bitspersample} bits compressed by "
        f"{compression} cannot be read without the package imagecodecs; pip install imagecodecs, "
        "or save it without compression or with deflate.",
        "unreadable",
    )


def _by_pillow(page: Any, data: bytes) -> np.ndarray | None:
    """The stored pixels, or None if Pillow would change them."""
    try:
        with _opened(page, data) as opened:
            # Pillow divides the colors of associated alpha by the alpha.
            tile = opened.tile[0]  # type: ignore[attr-defined]
            alpha = opened.mode == "RGBA" and tile[3][0] == "RGBA"
            bits = 8 if alpha else _EXACT_IN_PILLOW.get(opened.mode)
            values = np.array(opened)
            bands = values.shape[2] if values.ndim == 3 else 1
            exact = bits == page.bitspersample and values.dtype == page.dtype
            return values if exact and bands == page.samplesperpixel else None
    except Exception:  # Pillow raises almost anything
        return None


@contextmanager
def _opened(page: Any, data: bytes) -> Iterator[Image.Image]:
    """The page in Pillow, which would rotate it unless its orientation is upright."""
    tag = page.tags.get(_ORIENTATION)
    if tag is not None:
        order: Any = "little" if page.parent.byteorder == "<" else "big"
        start, size = tag.valueoffset, tag.valuebytecount
        data = data[:start] + (1).to_bytes(size, order) + data[start + size :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as opened:
            opened.info.pop("xmp", None)  # may contain an orientation, too, which no viewer applies
            yield opened


def _as_rgb(page: Any, data: bytes, path: Path | None) -> np.ndarray:
    """Converts CMYK and YCbCr to RGB with Pillow."""
    try:
        with _opened(page, data) as opened:
            if opened.mode in ("CMYK", "RGB") and page.bitspersample == 8:
                return np.array(opened.convert("RGB"))
    except Exception:  # Pillow raises almost anything
        pass
    name = "CMYK" if int(page.photometric) == _CMYK else "YCbCr"
    raise _unread(path, f"{name} of {page.bitspersample} bits and {page.samplesperpixel} bands")
