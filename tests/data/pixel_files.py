"""Bytes of image files of every pixel type, and a check of what is read from them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segbench.data.decoding import decode_rgb
from segbench.errors import DataError
from segbench.inference.photos import read_photo

PATH = Path("a.file")
HEIGHT, WIDTH = 6, 9
INTEGERS = {"uint8": 255, "uint16": 65535}
REFUSED = {
    "uint16": "16-bit integers",
    "uint32": "32-bit integers", "int8": "8-bit signed integers", "int16": "16-bit signed integers",
    "int32": "32-bit signed integers", "float16": "16-bit floats", "float32": "32-bit floats",
    "float64": "64-bit floats",
}  # fmt: skip


def random_pixels(dtype: str, bands: int, top: int | None = None, seed: int = 0) -> np.ndarray:
    """`[6, 9]` or `[6, 9, bands]` that contains both ends of the range."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    shape = (HEIGHT, WIDTH) if bands == 1 else (HEIGHT, WIDTH, bands)
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if top is None else (0, top)
    pixels = rng.integers(low, high, shape, dtype=kind, endpoint=True)
    pixels[0, 0], pixels[0, 1] = low, high
    return pixels


def png(pixels: np.ndarray, depth: int, extra: bytes = b"") -> bytes:
    """PNG of gray, gray + alpha, RGB or RGBA, 1 to 16 bits; `extra` is put before the pixels."""
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = pixels.reshape(pixels.shape[0], -1)
    if depth >= 8:
        lines = [row.astype(f">u{depth // 8}").tobytes() for row in rows]
    else:
        texts = ["".join(f"{value:0{depth}b}" for value in row) for row in rows]
        padded = [text + "0" * (-len(text) % 8) for text in texts]
        lines = [int(text, 2).to_bytes(len(text) // 8, "big") for text in padded]
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    head = struct.pack(">IIBBBBB", rows.shape[1] // bands, len(rows), depth, color_type, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + line for line in lines))
    parts = chunk(b"IHDR", head) + extra + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """TIFF; the options are those of `tifffile.imwrite`."""
    file = io.BytesIO()
    if pixels.ndim == 3 and "photometric" not in options:
        options = {"photometric": "rgb", "planarconfig": "contig"} | options
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def pillow(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    """Any format that Pillow writes."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def netpbm(pixels: np.ndarray, top: int, plain: bool) -> bytes:
    """PGM or PPM, in bytes or as plain text."""
    color = pixels.ndim == 3
    head = f"P{(2 if plain else 5) + color}\n# a comment\n{WIDTH} {HEIGHT}\n{top}\n".encode()
    if plain:
        return head + b" ".join(b"%d" % value for value in pixels.ravel())
    return head + pixels.astype(">u2" if top > 255 else "u1").tobytes()


def npy(array: np.ndarray) -> bytes:
    """An array as NumPy saves it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(array: np.ndarray) -> bytes:
    """The same, in a compressed archive."""
    file = io.BytesIO()
    np.savez_compressed(file, array)
    return file.getvalue()


def palette_image(positions: np.ndarray, colors: np.ndarray) -> Image.Image:
    """A palette image of Pillow."""
    image = Image.fromarray(positions).convert("P")
    image.putpalette(colors.ravel().tolist())
    return image


def seen(pixels: np.ndarray, top: float, alpha: bool = False) -> np.ndarray:
    """What a model gets for stored pixels of up to 8 bits: RGB over the full range."""
    pixels = pixels[..., :-1] if alpha else pixels
    if top > 255:  # refused; exactly what is stored where the range is given
        return pixels
    gray = np.floor(pixels.astype(np.float64) * 255 / top + 0.5).astype(np.uint8)
    gray = gray[..., None] if gray.ndim == 2 else gray
    return np.broadcast_to(gray, (*gray.shape[:2], 3)) if gray.shape[2] == 1 else gray


def check(data: bytes, expected: np.ndarray | str, tmp_path: Path) -> None:
    """Checks that training and prediction read the expected pixels, or raise the same error."""
    (tmp_path / "a").write_bytes(data)
    if not isinstance(expected, str) and expected.dtype != np.uint8:
        expected = "16-bit integers"
    for read in (lambda: decode_rgb(data, PATH), lambda: read_photo(tmp_path / "a")):
        if isinstance(expected, str):
            with pytest.raises(DataError, match=expected):
                read()
        else:
            image = read()
            assert image.dtype == np.uint8
            assert image.flags.c_contiguous
            np.testing.assert_array_equal(image, expected)
