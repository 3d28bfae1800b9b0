"""Every pixel type and layout of TIFF: the exact values, or an error that names the type."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segbench.data.decoding import decode_rgb
from segbench.data.labels import decode_mask
from segbench.data.pixels import read_pixels
from segbench.errors import DataError
from tests.data.pixel_files import (
    INTEGERS,
    PATH,
    REFUSED,
    check,
    pillow,
    random_pixels,
    seen,
    tiff,
)

LAYOUTS = {
    "strips": {},
    "tiles": {"tile": (16, 16)},
    "big-endian": {"byteorder": ">"},
    "planar": {"planarconfig": "separate"},
    "BigTIFF": {"bigtiff": True},
    "deflate": {"compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": True},
}


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", *REFUSED])
def test_tiff_of_every_type_and_number_of_bands(tmp_path: Path, dtype: str, bands: int) -> None:
    pixels = random_pixels(dtype, bands)
    options = {"extrasamples": ["unspecified"] * (bands - 3)} if bands > 3 else {}
    if bands == 2:
        options = {"photometric": "minisblack", "planarconfig": "contig"}
    data = tiff(pixels, **options)
    kind = REFUSED.get(dtype, f"{8 * pixels.itemsize}-bit integers")
    fine = dtype == "uint8" and bands in (1, 3)
    words = rf"a\.file: contains {kind}, and (only|the values)|contains {bands} bands of {kind}"
    if fine:
        check(data, seen(pixels, INTEGERS[dtype]), tmp_path)
    else:
        with pytest.raises(DataError, match=words):
            decode_rgb(data, PATH)
    np.testing.assert_array_equal(read_pixels(data, PATH).values, pixels)  # nothing is lost


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_tiff_of_every_layout(tmp_path: Path, dtype: str, bands: int, layout: str) -> None:
    options = LAYOUTS[layout]
    if bands == 1 and layout == "planar":
        options = {}
    pixels = random_pixels(dtype, bands)
    written = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    photometric = "rgb" if bands == 3 else "minisblack"
    data = tiff(np.ascontiguousarray(written), photometric=photometric, **options)
    check(data, seen(pixels, INTEGERS[dtype]), tmp_path)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_tiff_with_alpha_gives_the_stored_colors(
    tmp_path: Path, dtype: str, bands: int, kind: str
) -> None:
    pixels = random_pixels(dtype, bands)
    photometric = "rgb" if bands == 4 else "minisblack"
    data = tiff(pixels, photometric=photometric, extrasamples=[kind], planarconfig="contig")
    check(data, seen(pixels, INTEGERS[dtype], alpha=True), tmp_path)
    alpha = read_pixels(data, PATH).alpha
    np.testing.assert_array_equal(alpha, pixels[..., -1])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_compressed_and_rotated(tmp_path: Path, compression: str | None, turn: int) -> None:
    pixels = random_pixels("uint8", 3)
    data = pillow(pixels, "TIFF", compression=compression, tiffinfo={274: turn})
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()  # turns it
        expected = np.array(opened)
    check(data, expected, tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "LA", "RGBA", "P", "CMYK"])
def test_tiff_compressed_by_lzw(tmp_path: Path, mode: str) -> None:
    pixels = random_pixels("uint16" if mode == "I;16" else "uint8", 1 if mode != "CMYK" else 4)
    image = Image.fromarray(pixels, "CMYK") if mode == "CMYK" else Image.fromarray(pixels)
    image = image if mode in ("CMYK", "I;16") else image.convert(mode)
    plain, packed = (pillow(image, "TIFF", compression=c) for c in (None, "tiff_lzw"))
    if mode == "I;16":
        check(packed, "16-bit integers", tmp_path)
        np.testing.assert_array_equal(read_pixels(packed, PATH).values, pixels)
        return
    expected = decode_rgb(plain, PATH)
    check(packed, expected, tmp_path)
    if mode not in ("LA", "RGBA"):
        np.testing.assert_array_equal(expected, np.array(image.convert("RGB")))


def test_tiff_of_few_bits_and_of_12(tmp_path: Path) -> None:
    bits = random_pixels("uint8", 1, top=1)
    check(tiff(bits == 1, photometric="minisblack"), seen(bits, 1), tmp_path)
    twelve = tiff(random_pixels("uint16", 1)[:, :8])
    with tifffile.TiffFile(io.BytesIO(twelve)) as file:
        tag = file.pages[0].tags["BitsPerSample"].valueoffset
    packed = twelve[:tag] + (12).to_bytes(2, "little") + twelve[tag + 2 :]
    with pytest.raises(DataError, match=r"12 bits|12-bit|not a readable"):
        decode_rgb(packed, PATH)


def test_tiff_upside_down_is_shown_as_viewers_do(tmp_path: Path) -> None:
    for dtype, top in {"bool": 1, "uint8": 255}.items():
        pixels = random_pixels("uint8" if dtype == "bool" else dtype, 1, top)
        data = tiff(pixels.astype(dtype), photometric="miniswhite")
        check(data, seen(top - pixels, top), tmp_path)
        with pytest.raises(DataError, match="white is zero"):
            decode_mask(data, PATH)


def test_overviews_and_masks_are_not_pages() -> None:
    rgb = random_pixels("uint8", 3)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(rgb, photometric="rgb", subifds=0)
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(rgb[..., 0] > 9, photometric="mask", subfiletype=4)
    assert read_pixels(file.getvalue(), PATH).frames == 1
    stack = tiff(np.stack([rgb[..., 0]] * 40), photometric="minisblack", metadata=None)
    assert read_pixels(stack, PATH).frames == 40


@pytest.mark.parametrize("photometric", ["cielab", "cfa", "separated"])
def test_tiff_of_other_colors_is_refused_by_name(tmp_path: Path, photometric: str) -> None:
    bands = {"cielab": 3, "cfa": 1, "separated": 4}[photometric]
    data = tiff(random_pixels("uint16", bands), photometric=photometric)
    name = {"cielab": "CIELAB", "cfa": "CFA", "separated": "CMYK of 16 bits"}[photometric]
    check(data, f"contains .*{name}", tmp_path)
