"""Parses the structure of PNG and JPEG files, finds damage that decoders do not notice, and names
files that no decoder reads.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from segbench.errors import DataError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"
PNG_PALETTE = 3  # color type
# In the compressed data of a JPEG, FF is followed by 00 or by a restart marker (D0 to D7).
_JPEG_MARK = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MOST_PACKED = 1040  # maximum decompressed bytes per byte in a PNG
_MOST_JPEG = 4096  # maximum pixels per byte: a uniform block of 64 takes a bit or more
_APP1, _SCAN, _END, _ALONE = 0xE1, 0xDA, 0xD9, 0x01
_PHOTOS = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif"))
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_whole(data: bytes, path: Path | None) -> None:
    """Refuses a damaged file before it is decoded.

    Decoders pad missing data, Pillow does not verify the checksums of a PNG, and OpenCV allocates
    as much memory as a PNG claims to need. Data after the end of an image (the video of a motion
    photo, the maker notes of a camera) is not damage.

    Args:
        data: the bytes of the file.
        path: name of the file in errors.

    Raises:
        DataError: the file is empty or truncated, or a checksum does not match.
    """
    if not data:
        raise _truncated(data, path)
    if data.startswith(PNG_MAGIC):
        _check_png(data, path)
    elif data.startswith(JPEG_MAGIC):
        _check_jpeg(data, path)
    elif data.startswith(b"BM") and len(data) > 34:
        _check_bmp(data, path)
    elif data[:4] + data[8:12] == b"RIFFWEBP" and len(data) < 8 + _length(data[4:8]):
        raise _truncated(data, path)


def has_exif(data: bytes) -> bool:
    """Whether a file may have an EXIF orientation, by looking where its container stores it."""
    if data.startswith(PNG_MAGIC):
        return any(
            kind == b"eXIf" or (kind in _PNG_TEXT and b"type exif" in data[start:end])
            for kind, start, end in _png_parts(data)
        )
    if data.startswith(JPEG_MAGIC):
        for mark, start in _jpeg_parts(data):
            if mark == _APP1 and data[start + 2 : start + 6] == b"Exif":
                return True
            if mark == _SCAN:  # pixel data follows
                return False
        return False
    return b"EXIF" in data or b"Exif" in data


def _png_parts(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk's content; the last one may extend beyond the file."""
    position, end_of_file = len(PNG_MAGIC), len(data)
    while position + 12 <= end_of_file:
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, position + 8 + length
        if kind == b"IEND":
            return
        position += 12 + length


def _jpeg_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and end offset of each segment, including the end of the image."""
    position = 2
    while (found := _JPEG_MARK.search(data, position)) is not None:
        mark, position = data[found.end() - 1], found.end()
        yield mark, position
        if mark == _END:
            return
        if mark != _ALONE:
            position += int.from_bytes(data[position : position + 2], "big")


def _check_bmp(data: bytes, path: Path | None) -> None:
    offset, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    stride = (abs(width) * bits + 31) // 32 * 4
    if compression == 0 and len(data) < offset + stride * abs(height):
        raise _truncated(data, path)


def _check_png(data: bytes, path: Path | None) -> None:
    # Only pixels with whole bytes are decoded by OpenCV, which verifies their checksum itself.
    by_pillow = len(data) > 25 and (data[24] < 8 or data[25] == PNG_PALETTE)
    if len(data) > 32:
        _check_claim(data, path)
    view, kind = memoryview(data), b""
    for kind, start, end in _png_parts(data):
        if end + 4 > len(data):
            raise _truncated(data, path)
        wanted = kind != b"IDAT" or by_pillow
        if wanted and zlib.crc32(view[start - 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            name = kind.decode("latin-1")
            raise DataError(
                f"{path}: damaged: the checksum of chunk {name!a} does not match. Copy or "
                "download it again.",
                "unreadable",
            )
    if kind != b"IEND":
        raise _truncated(data, path)


def _check_claim(data: bytes, path: Path | None) -> None:
    """Refuses a PNG that claims more pixels than its bytes can contain."""
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    bits = {2: 3, 4: 2, 6: 4}.get(color_type, 1) * depth * width
    if height * (bits // 8) > _MOST_PACKED * len(data):
        raise _impossible(data, path, width, height)


def _check_jpeg(data: bytes, path: Path | None) -> None:
    mark = 0
    for mark, start in _jpeg_parts(data):
        if mark in _JPEG_FRAMES and data[start + 2 : start + 3] not in (b"\x08", b""):
            raise DataError(
                f"{path}: a JPEG with {data[start + 2]} bits, which is not supported; save it "
                "with 8 bits, or as PNG or TIFF with 16.",
                "unreadable",
            )
        if mark in _JPEG_FRAMES and len(data) >= start + 7:
            height, width = struct.unpack_from(">HH", data, start + 3)
            if height * width > _MOST_JPEG * len(data):
                raise _impossible(data, path, width, height)
    if mark != _END:
        raise _truncated(data, path)


def _length(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _impossible(data: bytes, path: Path | None, width: int, height: int) -> DataError:
    text = f"damaged: {len(data)} bytes cannot contain {width}x{height} pixels"
    return DataError(f"{path}: {text}. Copy or download it again.", "unreadable")


def _truncated(data: bytes, path: Path | None) -> DataError:
    message = f"{path}: truncated after {len(data)} bytes. Copy or download it again."
    return DataError(message, "unreadable")


def _is_text(start: bytes) -> bool:
    return all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start)


def unreadable(data: bytes, path: Path | None, what: str) -> DataError:
    """The error for a file that no decoder reads."""
    if data.startswith(b"version https://git-lfs"):
        return DataError(f"{path}: is a pointer of Git LFS; run `git lfs pull`.", "unreadable")
    text = f"{path}: not a readable {what} ({len(data)} bytes). Replace the file."
    start = data[:256].lstrip().lower()
    if data[4:12] in _PHOTOS:
        text = f"{path}: a HEIC or AVIF photo, which is not read. Convert it to JPEG or PNG."
    elif start.startswith(b"%pdf"):
        text = f"{path}: a PDF document, not an image. Save its pages as PNG."
    elif start.startswith((b"<!doctype html", b"<html")):
        text = f"{path}: a web page, not an image: the download failed. Download it again."
    elif start.startswith((b"<svg", b"<?xml")):
        text = f"{path}: SVG or XML, not an image of pixels. Save it as PNG."
    elif start and _is_text(start):
        text = f"{path}: a text file, not an image."
    return DataError(text, "unreadable")
