"""Damage that decoders do not notice: files cut short, flipped bits, lengths that cannot be."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from segbench.errors import DataError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"
PNG_PALETTE = 3  # color type
# Within the compressed data of a JPEG, FF is followed by 00 or by a restart mark (D0 to D7).
_JPEG_MARK = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_whole(data: bytes, path: Path | None) -> None:
    """Refuses a damaged file before a decoder makes something of it.

    Decoders pad what is missing, Pillow does not compare the checksums of a PNG, and OpenCV takes
    memory for as many bytes as a PNG claims to have. What follows the end of an image (the video
    of a motion photo, the maker's notes of a camera) is no damage.

    Args:
        data: the bytes of the file.
        path: what to call it in an error.

    Raises:
        DataError: the file is empty, cut short, or its checksums do not fit.
    """
    if not data:
        raise _truncated(data, path)
    if data.startswith(PNG_MAGIC):
        _check_png(data, path)
    elif data.startswith(JPEG_MAGIC):
        _check_jpeg(data, path)
    elif data[:4] + data[8:12] == b"RIFFWEBP" and len(data) < 8 + _length(data[4:8]):
        raise _truncated(data, path)


def _check_png(data: bytes, path: Path | None) -> None:
    # Only pixels of whole bytes reach OpenCV, which compares their checksum itself.
    by_pillow = len(data) > 25 and (data[24] < 8 or data[25] == PNG_PALETTE)
    view, position = memoryview(data), len(PNG_MAGIC)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise _truncated(data, path)
        if kind != b"IDAT" or by_pillow:
            stored = int.from_bytes(data[end - 4 : end], "big")
            if zlib.crc32(view[position + 4 : end - 4]) != stored:
                name = kind.decode("latin-1")
                text = f"the checksum of its part {name!a} does not fit"
                raise DataError(
                    f"{path}: damaged: {text}. Copy or download it again.", "unreadable"
                )
        if kind == b"IEND":
            return
        position = end
    raise _truncated(data, path)


def _check_jpeg(data: bytes, path: Path | None) -> None:
    """Follows the segments from the beginning to the mark of the end."""
    position = 2
    while (found := _JPEG_MARK.search(data, position)) is not None:
        mark, position = data[found.end() - 1], found.end()
        if mark == 0xD9:
            return
        if mark == 0x01:  # stands alone
            continue
        if mark in _JPEG_FRAMES and data[position + 2 : position + 3] not in (b"\x08", b""):
            raise DataError(
                f"{path}: a JPEG of {data[position + 2]} bits, which is not read; save it with 8 "
                "bits, or as PNG or TIFF with 16.",
                "unreadable",
            )
        position += int.from_bytes(data[position : position + 2], "big")
    raise _truncated(data, path)


def _length(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _truncated(data: bytes, path: Path | None) -> DataError:
    message = f"{path}: truncated after {len(data)} bytes. Copy or download it again."
    return DataError(message, "unreadable")
