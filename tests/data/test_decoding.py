"""Files are read as displayed, with true label values, or refused with their pixel type."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segbench.data.dataset import Record
from segbench.data.files import (
    orientation_of,
    read_colors,
    read_ids,
    read_raw_mask,
    read_rgb,
    same_size,
)
from segbench.data.sources.label_map import identity_map
from segbench.errors import DataError
from segbench.inference.photos import read_photo

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
IDS = (np.arange(48, dtype=np.uint8) // 5).reshape(6, 8) % 4
# The stored pixels as viewers show them, by the EXIF orientation.
DISPLAYED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def turned(path: Path, pixels: np.ndarray, turn: int, mode: str | None = None) -> Path:
    """Writes an image with an EXIF orientation, lossless."""
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture = picture.convert("P")
        picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    options = {"tiffinfo": exif} if path.suffix == ".tif" else {"exif": exif}
    picture.save(path, **options, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


def png(path: Path, values: np.ndarray, depth: int) -> Path:
    """Writes a gray PNG of 1, 2 or 4 bits, which Pillow does not support."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    rows = b""
    for row in values:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("turn", DISPLAYED)
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_images_are_read_as_displayed_and_as_predict_reads_them(
    tmp_path: Path, suffix: str, turn: int
) -> None:
    file = turned(tmp_path / f"a{suffix}", RGB, turn)
    np.testing.assert_array_equal(read_rgb(file), DISPLAYED[turn](RGB))
    np.testing.assert_array_equal(read_photo(file), DISPLAYED[turn](RGB))
    assert orientation_of(file) == turn


@pytest.mark.parametrize("turn", DISPLAYED)
def test_jpeg_photos_are_read_as_displayed(tmp_path: Path, turn: int) -> None:
    smooth = cv2.resize(RGB, (64, 48))
    file = turned(tmp_path / "a.jpg", smooth, turn)
    difference = read_rgb(file).astype(int) - DISPLAYED[turn](smooth)
    assert np.abs(difference).mean() < 10  # of JPEG
    assert orientation_of(file) == turn


@pytest.mark.parametrize("turn", DISPLAYED)
@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", ".png"), ("P", ".png"), ("RGB", ".png"), ("RGB", ".webp")]
)
def test_masks_are_read_as_displayed_too(tmp_path: Path, mode: str, suffix: str, turn: int) -> None:
    pixels = RGB if mode == "RGB" else IDS
    file = turned(tmp_path / f"a{suffix}", pixels, turn, mode)
    np.testing.assert_array_equal(read_raw_mask(file), DISPLAYED[turn](pixels))


def test_a_mask_of_the_stored_pixels_gives_an_error_that_names_exif(tmp_path: Path) -> None:
    image = turned(tmp_path / "a.jpg", RGB, 6)
    record = Record("a", "a", image, tmp_path / "m.png")
    same_size(read_rgb(image), np.zeros((8, 6), np.uint8), record)
    with pytest.raises(DataError, match=r"a\.jpg: .*EXIF orientation 6.*6x8.*8x6") as caught:
        same_size(read_rgb(image), IDS, record)
    assert caught.value.kind == "size"
    with pytest.raises(DataError, match="Export both at one size"):
        same_size(read_rgb(image), IDS[:3], record)


def test_a_rotated_mask_of_an_upright_image_is_reported_too(tmp_path: Path) -> None:
    record = Record("a", "a", tmp_path / "a.png", turned(tmp_path / "m.png", IDS, 8))
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"m\.png: .*EXIF orientation 8.*a\.png"):
        same_size(RGB, read_raw_mask(record.mask), record)


def test_files_without_exif_are_upright(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    for path in (tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "none", None):
        assert orientation_of(path) == 1


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_png_of_few_bits_keeps_its_true_values(tmp_path: Path, depth: int) -> None:
    values = np.arange(48).reshape(6, 8) % (1 << depth)
    np.testing.assert_array_equal(read_ids(png(tmp_path / "a.png", values, depth)), values)


@pytest.mark.parametrize("compression", [None, "group4", "tiff_deflate"])
def test_tiff_of_one_bit_contains_0_and_1(tmp_path: Path, compression: str | None) -> None:
    values = np.eye(6, 9, dtype=np.uint8)
    Image.fromarray(values == 1).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_ids(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
def test_integers_of_any_type_are_labels(tmp_path: Path, dtype: str) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), IDS.astype(dtype))
    read = read_ids(tmp_path / "a.tif")
    assert read.dtype in (np.uint8, np.uint16)
    np.testing.assert_array_equal(read, IDS)
    np.testing.assert_array_equal(identity_map("abcd").read(tmp_path / "a.tif"), IDS)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (70000, "int32", "label 70000 is outside"),
        (-1, "int16", "label -1 is outside"),
        (0.5, "float32", "value 0.5 is not a label"),
        (np.nan, "float32", "value nan is not a label"),
        (np.inf, "float32", "label inf is outside"),
    ],
)
def test_what_cannot_be_a_label_is_refused_by_name(
    tmp_path: Path, value: float, dtype: str, message: str
) -> None:
    pixels = IDS.astype(dtype)
    pixels[2, 3] = value
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    for read in (read_ids, identity_map("abcd").read):
        with pytest.raises(DataError, match=rf"a\.tif: {message}") as caught:
            read(tmp_path / "a.tif")
        assert caught.value.kind == "label"


def test_colors_of_16_bits_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), RGB.astype(np.uint16) * 257)
    with pytest.raises(DataError, match=r"a\.png: a color mask of uint16 values"):
        read_raw_mask(tmp_path / "a.png")


def test_colors_come_from_rgb_or_a_palette_but_not_from_gray(tmp_path: Path) -> None:
    for mode, expected in (("P", [200, 0, 0]), ("RGB", RGB[0, 0].tolist())):
        file = turned(tmp_path / f"{mode}.png", RGB if mode == "RGB" else IDS, 1, mode)
        assert read_colors(file)[0, 0].tolist() == expected
    cv2.imwrite(str(tmp_path / "a.tif"), IDS.astype(np.float64))  # not supported by Pillow
    with pytest.raises(DataError, match=r"a\.tif: a gray mask where RGB was expected"):
        read_colors(tmp_path / "a.tif")


def _damaged(suffix: str) -> bytes:
    """A file whose header claims more pixels than any image has."""
    if suffix == ".tif":
        tags = (256, 1 << 24), (257, 1 << 24), (258, 8), (259, 1), (262, 1), (273, 8), (279, 1)
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    if suffix == ".webp":
        return b"RIFF" + struct.pack("<I", 40) + b"WEBPVP8X" + bytes([10, 0, 0, 0]) + b"\xff" * 30
    return b"\x89PNG\r\n\x1a\nIEND"


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_damaged_headers_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(_damaged(suffix))
    for read in (read_rgb, read_raw_mask, read_photo):
        with pytest.raises(DataError, match=rf"a\{suffix}: "):
            read(file)
