"""Images of every kind are read in their displayed orientation, or refused with a reason."""

import numpy as np
import pytest
from PIL import Image

from segbench.data.bands import Bands
from segbench.data.files import read_rgb
from segbench.errors import DataError
from segbench.inference.photos import read_photo

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def test_rgb_and_a_single_pixel_come_back_unchanged(tmp_path):
    for pixels in (RGB, RGB[:1, :1]):
        file = save(tmp_path / "a.png", Image.fromarray(pixels))
        assert np.array_equal(read_photo(file), pixels)


def test_a_photo_taken_sideways_is_rotated_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was rotated: rotate by 90 degrees clockwise to view
    file = save(tmp_path / "a.png", Image.fromarray(RGB), exif=exif)
    assert np.array_equal(read_photo(file), np.rot90(RGB, -1))


def test_gray_of_16_bits_keeps_its_values_or_is_refused(tmp_path):
    gray = np.array([[0, 257, 65535]], np.uint16)
    file = save(tmp_path / "a.png", Image.fromarray(gray))
    assert read_photo(file, Bands(1, (0.0, 9.0)))[0, :, 0].tolist() == [0, 257, 65535]
    with pytest.raises(
        DataError,
        match=r"a\.png: contains 16-bit integers, and the values of black and white are unknown",
    ):
        read_photo(file)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_other_color_models_become_rgb(tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    pixels = read_photo(save(tmp_path / f"a{suffix}", Image.fromarray(RGB).convert(mode)))
    assert pixels.shape == RGB.shape
    assert pixels.dtype == np.uint8
    if mode in ("RGBA", "CMYK"):
        assert np.abs(pixels.astype(int) - RGB).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_dropped_as_in_training(tmp_path, suffix):
    alpha = np.random.default_rng(1).integers(0, 256, RGB.shape[:2], np.uint8)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    file = save(tmp_path / f"a{suffix}", Image.fromarray(np.dstack([RGB, alpha])), **options)
    np.testing.assert_array_equal(read_photo(file), RGB)
    np.testing.assert_array_equal(read_rgb(file), RGB)


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    floats = save(tmp_path / "f.tif", Image.fromarray(np.zeros((2, 2), np.float32)))
    with pytest.raises(
        DataError,
        match=r"f\.tif: contains 32-bit floats, and the values of black and white are unknown",
    ):
        read_photo(floats)
    whole = save(
        tmp_path / "a.png",
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)),
    )
    with pytest.raises(
        DataError, match=r"scan\.nii\.gz: is a volume; `python -m segbench\.predict`"
    ):
        read_photo(tmp_path / "scan.nii.gz")
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"cut\.png: truncated after"):
        read_photo(tmp_path / "cut.png")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match=r"text\.jpg: a text file, not an image"):
        read_photo(tmp_path / "text.jpg")
    with pytest.raises(DataError, match=r"none\.png: cannot be read"):
        read_photo(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "a HEIC or AVIF photo"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b'<?xml version="1.0"?><svg/>', "SVG or XML"),
    ],
)
def test_files_that_are_no_image_are_named_by_their_format(tmp_path, content, words):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.jpg: {words}"):
        read_photo(tmp_path / "a.jpg")


def odd_exif(text_tag: bytes, number_tag: bytes) -> bytes:
    """EXIF data with text `abc` and number 1.5 in the wrong fields; orientation 6."""
    head = b"Exif\0\0MM\0*\0\0\0\x08\0\x03"
    text = text_tag + b"\0\x02\0\0\0\x04abc\0"
    turn = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    number = number_tag + b"\0\x0c\0\0\0\x01\0\0\0\x32"
    return head + text + turn + number + b"\0\0\0\0?\xf8\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        (odd_exif(b"\x01\x50", b"\x82\x9a"), True),
        (odd_exif(b"\x01\x0f", b"\x82\x98"), True),
        (b"Exif\0\0nonsense", False),
    ],
)
def test_odd_metadata_do_not_hide_a_photo(tmp_path, exif, turned):
    file = save(tmp_path / "a.jpg", Image.fromarray(RGB), exif=exif)
    photo = read_photo(file)
    assert photo.shape == ((7, 5, 3) if turned else RGB.shape)
    assert read_rgb(file).shape == photo.shape  # training does the same
