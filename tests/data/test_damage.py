"""A damaged file is refused, whatever a decoder would return for it."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segbench.data.dataset import Record
from segbench.data.decoding import decode_rgb, read_bytes
from segbench.data.fingerprint import fingerprint
from segbench.data.labels import decode_colors, decode_mask
from segbench.data.sources.streets import Streets
from segbench.errors import DataError
from tests.data.image_files import MASKS, SMOOTH, WHOLE
from tests.data.pixel_files import chunk, netpbm, pillow, tiff

PATH = Path("a.file")


@pytest.mark.parametrize("kind", MASKS)
def test_no_flipped_bit_changes_a_label(kind: str) -> None:
    data = MASKS[kind]
    rng = np.random.default_rng(0)
    read = [decode_mask] + [decode_rgb] * (kind != "16 bits")
    read += [decode_colors] * kind.startswith(("palette", "RGB"))
    true = [function(data, PATH) for function in read]
    refused = 0
    for position in rng.integers(8, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        for function, expected in zip(read, true, strict=True):
            try:
                got = function(bytes(damaged), PATH)
            except DataError:
                refused += 1
            else:
                np.testing.assert_array_equal(got, expected)
    assert refused >= 100 * len(read)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused(kind: str) -> None:
    data = WHOLE[kind]
    decode_rgb(data, PATH)
    for cut in {0, 1, 8, 30, len(data) // 3, len(data) // 2, len(data) * 9 // 10, len(data) - 40}:
        for decode in (decode_rgb, decode_mask, decode_colors):
            with pytest.raises(DataError, match=r"a\.file: "):
                decode(data[:cut], PATH)


@pytest.mark.parametrize("kind", ["PNG", "palette PNG", "JPEG", "progressive JPEG", "WebP", "BMP"])
@pytest.mark.parametrize("length", [1, 50_000])
def test_data_after_the_end_of_an_image_is_not_damage(kind: str, length: int) -> None:
    trailer = np.random.default_rng(0).bytes(length)
    expected = decode_rgb(WHOLE[kind], PATH)
    np.testing.assert_array_equal(decode_rgb(WHOLE[kind] + trailer, PATH), expected)
    decode_mask(WHOLE[kind] + bytes(length), PATH)


def test_a_jpeg_cut_before_its_end_is_not_saved_by_its_thumbnail() -> None:
    thumbnail = pillow(SMOOTH[:40, :40], "JPEG")
    data = WHOLE["JPEG"]
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    with_thumbnail = data[:2] + segment + data[2:]
    np.testing.assert_array_equal(decode_rgb(with_thumbnail, PATH), decode_rgb(data, PATH))
    with pytest.raises(DataError, match="truncated"):
        decode_rgb(with_thumbnail[:-100], PATH)


def test_a_jpeg_of_12_bits_is_refused_by_name() -> None:
    data = bytearray(WHOLE["JPEG"])
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    with pytest.raises(DataError, match="a JPEG with 12 bits"):
        decode_rgb(bytes(data), PATH)


def test_a_length_beyond_the_file_takes_no_memory() -> None:
    for data in (WHOLE["PNG"], MASKS["palette"], MASKS["1 bit"]):
        claimed = bytearray(data)
        start = claimed.index(b"IDAT") - 4
        claimed[start : start + 4] = struct.pack(">I", 3_914_989_721)
        tracemalloc.start()
        began = time.perf_counter()
        for decode in (decode_rgb, decode_mask):
            with pytest.raises(DataError, match="truncated"):
                decode(bytes(claimed), PATH)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()
        assert time.perf_counter() - began < 1


def test_more_pixels_than_the_bytes_can_contain_take_no_memory() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", b"x" * 100) + chunk(b"IEND", b"")
    bmp = bytearray(WHOLE["BMP"])
    struct.pack_into("<ii", bmp, 18, 30_000, 30_000)
    jpeg = bytearray(WHOLE["JPEG"])
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 30_000, 30_000)
    sparse = tiff(np.zeros((4, 4, 3), np.uint8))
    for tag in (256, 257):  # width and height
        place = sparse.index(struct.pack("<HHI", tag, 4, 1))
        sparse = sparse[: place + 8] + struct.pack("<I", 30_000) + sparse[place + 12 :]
    for data in (b"\x89PNG\r\n\x1a\n" + content, bytes(bmp), bytes(jpeg), sparse):
        began = time.perf_counter()
        for decode in (decode_rgb, decode_mask):
            with pytest.raises(DataError, match=r"truncated|cannot contain"):
                decode(data, PATH)
        assert time.perf_counter() - began < 2


def test_damage_raises_only_data_errors(capfd: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(1)
    small = [pillow(SMOOTH[:9, :9], kind) for kind in ("TIFF", "GIF", "BMP", "WEBP", "JPEG", "PNG")]
    for data in (*small, netpbm(SMOOTH[:6, :9], 255, False), b"P5 0 3 255\n", tiff(SMOOTH[:9, :9])):
        for _ in range(40):
            damaged = bytearray(data)
            for position in rng.integers(len(damaged), size=3):
                damaged[position] = rng.integers(256)
            for decode in (decode_rgb, decode_mask, decode_colors):
                with suppress(DataError):
                    decode(bytes(damaged), PATH)
    assert "tifffile" not in capfd.readouterr().err  # its log is too detailed for users


def test_a_tiff_without_pixels_is_damaged() -> None:
    data = bytearray(tiff(SMOOTH))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] = bytes(tag.valuebytecount)
    with pytest.raises(DataError, match=r"a\.file: "):
        decode_rgb(bytes(data), PATH)


def test_a_pipe_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", tmp_path):
        with pytest.raises(DataError, match="a pipe or a device"):
            read_bytes(path)
    with pytest.raises(DataError, match="a pipe or a device"):
        fingerprint(Streets((32, 32), 1, 1, 1), [Record("a", "a", tmp_path / "a.png")])
