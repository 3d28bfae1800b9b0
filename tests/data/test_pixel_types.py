"""Every pixel type in every container: the exact values, or an error that names the type."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segbench.data.decoding import decode_rgb
from segbench.data.labels import decode_colors, decode_mask
from segbench.data.pixels import read_pixels
from segbench.errors import DataError
from segbench.inference.photos import read_photo
from tests.data.pixel_files import (
    chunk,
    netpbm,
    npy,
    palette_image,
    pillow,
    png,
    random_pixels,
    tiff,
)

PATH = Path("a.file")


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


INTEGERS = {"uint8": 255, "uint16": 65535}
REFUSED = {
    "uint16": "16-bit integers",
    "uint32": "32-bit integers", "int8": "8-bit signed integers", "int16": "16-bit signed integers",
    "int32": "32-bit signed integers", "float16": "16-bit floats", "float32": "32-bit floats",
    "float64": "64-bit floats",
}  # fmt: skip
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


@pytest.mark.parametrize("photometric", ["cielab", "cfa", "separated"])
def test_tiff_of_other_colors_is_refused_by_name(tmp_path: Path, photometric: str) -> None:
    bands = {"cielab": 3, "cfa": 1, "separated": 4}[photometric]
    data = tiff(random_pixels("uint16", bands), photometric=photometric)
    name = {"cielab": "CIELAB", "cfa": "CFA", "separated": "CMYK of 16 bits"}[photometric]
    check(data, f"contains .*{name}", tmp_path)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_of_every_depth_and_number_of_bands(tmp_path: Path, depth: int, bands: int) -> None:
    if depth < 8 and bands > 1:
        return  # there are none
    top = (1 << depth) - 1
    pixels = random_pixels("uint16" if depth == 16 else "uint8", bands, top)
    data = png(pixels, depth)
    check(data, seen(pixels, top, alpha=bands in (2, 4)), tmp_path)
    stored = {1: pixels, 2: pixels[..., 0]}.get(bands, pixels[..., :3])
    if depth == 16 and bands > 2:
        with pytest.raises(DataError, match="a color mask of uint16"):
            decode_mask(data, PATH)
    else:
        np.testing.assert_array_equal(decode_mask(data, PATH), stored)


@pytest.mark.parametrize("depth", [8, 16])
def test_png_with_a_transparent_color_keeps_it(tmp_path: Path, depth: int) -> None:
    top = (1 << depth) - 1
    for bands in (1, 3):
        pixels = random_pixels(f"uint{depth}", bands)
        color = pixels[2, 2].astype(">u2").tobytes()
        data = png(pixels, depth, chunk(b"tRNS", color))
        check(data, seen(pixels, top), tmp_path)
        if bands == 1:
            np.testing.assert_array_equal(decode_mask(data, PATH), pixels)


COLORS = np.random.default_rng(5).integers(0, 256, (16, 3), np.uint8)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes(tmp_path: Path, kind: str, transparent: bool) -> None:
    positions = random_pixels("uint8", 1, top=15)
    options = {"transparency": 3} if transparent and kind in ("PNG", "GIF") else {}
    data = pillow(palette_image(positions, COLORS), kind, **options)
    check(data, COLORS[positions], tmp_path)
    np.testing.assert_array_equal(decode_colors(data, PATH), COLORS[positions])
    if kind != "GIF":  # whose writer sorts the palette
        np.testing.assert_array_equal(decode_mask(data, PATH), positions)
    if options:
        alpha = read_pixels(data, PATH).alpha
        np.testing.assert_array_equal(alpha == 0, positions == 3)


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 3), (7, 200)])
def test_gray_in_containers_without_gray(tmp_path: Path, kind: str, values: tuple) -> None:
    labels = np.array(values, np.uint8)[random_pixels("uint8", 1, top=len(values) - 1)]
    data = pillow(labels, kind)
    np.testing.assert_array_equal(decode_mask(data, PATH), labels)
    check(data, seen(labels, 255), tmp_path)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("top", [1, 3, 100, 255, 300, 65535])
@pytest.mark.parametrize("bands", [1, 3])
def test_netpbm_of_every_range(tmp_path: Path, bands: int, top: int, plain: bool) -> None:
    pixels = random_pixels("uint16" if top > 255 else "uint8", bands, top)
    data = netpbm(pixels, top, plain)
    check(data, seen(pixels, top), tmp_path)
    if bands == 1:
        np.testing.assert_array_equal(decode_mask(data, PATH), pixels)
    for cut in (data[:-2] if not plain else data[:-20], data[:12]):
        with pytest.raises(DataError, match=r"a\.file: "):
            decode_rgb(cut, PATH)


@pytest.mark.parametrize("kind", ["PPM", "BMP", "TIFF", "PNG"])
def test_one_bit(tmp_path: Path, kind: str) -> None:
    bits = random_pixels("uint8", 1, top=1)
    data = pillow(Image.fromarray(bits == 1), kind)
    check(data, seen(bits, 1), tmp_path)
    np.testing.assert_array_equal(decode_mask(data, PATH), bits)


@pytest.mark.parametrize("dtype", ["bool", "uint8", *REFUSED, "complex64", "O"])
def test_numpy_of_every_type(tmp_path: Path, dtype: str) -> None:
    for bands in (1, 3):
        if dtype == "O":
            data = npy(np.array([[1, 2]], object))
            check(data, "an array of object", tmp_path)
        elif dtype == "complex64":
            check(npy(np.zeros((2, 2), dtype)), "an array of complex64", tmp_path)
        elif dtype == "bool":
            bits = random_pixels("uint8", bands, top=1)
            check(npy(bits == 1), seen(bits, 1), tmp_path)
        else:
            pixels = random_pixels(dtype, bands)
            expected = seen(pixels, 255) if dtype == "uint8" else REFUSED[dtype]
            check(npy(pixels), expected, tmp_path)
            check(npy(np.asfortranarray(pixels)), expected, tmp_path)
            check(npy(pixels.astype(pixels.dtype.newbyteorder(">"))), expected, tmp_path)


def test_numpy_of_other_shapes_or_of_false_claims(tmp_path: Path) -> None:
    check(npy(np.zeros((3, 4, 5), np.uint8)), r"5 bands .*set data\.channels=5", tmp_path)
    for shape in ((2, 4, 5, 3), (7,), (0, 4), (2, 2, 513)):
        check(npy(np.zeros(shape, np.uint8)), "an array of shape", tmp_path)
    data = npy(np.zeros((4, 5), np.uint8))
    huge = data.replace(b"(4, 5), }  ", b"(9999999, 99999), }"[: len(b"(4, 5), }  ")])
    for damaged in (data[:-1], data[:20], huge):
        with pytest.raises(DataError, match=r"not a readable|shape"):
            decode_rgb(damaged, PATH)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
def test_lossy_containers_agree_with_pillow(tmp_path: Path, kind: str, mode: str) -> None:
    if (kind, mode) in (("JPEG", "RGBA"), ("WEBP", "CMYK")):
        return  # there are none
    bands = {"L": 1, "CMYK": 4, "RGBA": 4}.get(mode, 3)
    smooth = np.array(
        Image.fromarray(random_pixels("uint8", bands)).resize((90, 60), Image.Resampling.BICUBIC)
    )
    image = Image.frombytes(mode, (90, 60), smooth.tobytes())
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {"quality": 95}
    data = pillow(image, kind, **options)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.array(opened)[..., :3] if mode == "RGBA" else np.array(opened.convert("RGB"))
    difference = np.abs(decode_rgb(data, PATH).astype(int) - expected)
    assert difference.max() <= 2


def test_the_number_of_frames_is_known() -> None:
    pages = [Image.fromarray(random_pixels("uint8", 3, seed=seed)) for seed in range(3)]
    for kind in ("TIFF", "GIF", "PNG", "WEBP"):
        options = {"save_all": True, "append_images": pages[1:]}
        assert read_pixels(pillow(pages[0], kind, **options), PATH).frames > 1, kind
        assert read_pixels(pillow(pages[0], kind), PATH).frames == 1, kind
