"""Every pixel type in every container: the exact values, or an error that names the type."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segbench.data.decoding import decode_rgb
from segbench.data.labels import decode_colors, decode_mask
from segbench.data.pixels import read_pixels, silence
from segbench.errors import DataError
from tests.data.pixel_files import (
    PATH,
    REFUSED,
    check,
    chunk,
    netpbm,
    npy,
    palette_image,
    pillow,
    png,
    random_pixels,
    seen,
)


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


def test_older_and_newer_versions_of_opencv_are_silenced() -> None:
    levels: list[int] = []
    older, newer = ModuleType("cv2"), ModuleType("cv2")
    older.setLogLevel, older.utils = levels.append, SimpleNamespace()  # type: ignore[attr-defined]
    logging = SimpleNamespace(setLogLevel=levels.append)
    newer.utils = SimpleNamespace(logging=logging)  # type: ignore[attr-defined]
    silence(older)
    silence(newer)
    assert levels == [0, 0]
