"""Images of any number of bands and any range: the exact values, or an error that names them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segbench.data.bands import RGB8, Bands, bands_from
from segbench.data.batch import collate
from segbench.data.cache import DiskFrames, cached_on_disk
from segbench.data.dataset import EpochSampler, Frames, SegmentationDataset
from segbench.data.decoding import decode_image, decode_rgb
from segbench.data.frames import resize_image
from segbench.data.normalization import Normalization, mean_and_std, percentiles_of
from segbench.data.sources.streets import Streets
from segbench.data.transforms import Augmentation
from segbench.data.window import Window
from segbench.errors import DataError
from tests.data.pixel_files import npy, palette_image, pillow, png, random_pixels, tiff

PATH = Path("a.file")
KINDS = {
    "uint8": np.uint16, "uint16": np.uint16, "int8": np.float32, "int16": np.float32,
    "float16": np.float32, "float32": np.float32, "float64": np.float32,
}  # fmt: skip


def many(dtype: str, bands: int) -> bytes:
    options = {"extrasamples": ["unspecified"] * (bands - 3)} if bands > 3 else {}
    if bands == 2:
        options = {"photometric": "minisblack", "planarconfig": "contig"}
    return tiff(random_pixels(dtype, bands), **options)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("dtype", KINDS)
def test_every_type_and_number_of_bands_comes_back_exactly(dtype: str, bands: int) -> None:
    for data in (many(dtype, bands), npy(random_pixels(dtype, bands))):
        found = decode_image(data, PATH, Bands(bands, (0.0, 1.0)))
        expected = random_pixels(dtype, bands).reshape(6, 9, bands)
        assert found.dtype == KINDS[dtype]
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected.astype(np.float32))
        chosen = decode_image(data, PATH, Bands((bands - 1, 0), (0.0, 1.0)))
        np.testing.assert_array_equal(chosen, found[..., [bands - 1, 0]])
        with pytest.raises(
            DataError, match=rf"contains {bands} band\(s\), counted from 0, but data"
        ):
            decode_image(data, PATH, Bands((bands,), (0.0, 1.0)))
        if bands not in (1, 7):
            with pytest.raises(DataError, match=rf"contains {bands} band.*data.channels={bands}"):
                decode_image(data, PATH, Bands(7, (0.0, 1.0)))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_eight_bits_need_no_range_and_all_others_do(bands: int) -> None:
    eight = decode_image(many("uint8", bands), PATH, Bands(bands))
    assert eight.dtype == np.uint8
    np.testing.assert_array_equal(eight, random_pixels("uint8", bands).reshape(6, 9, bands))
    for dtype in ("uint16", "int16", "float32"):
        with pytest.raises(DataError, match=r"set data\.value_range=\[lo,hi\]"):
            decode_image(many(dtype, bands), PATH, Bands(bands))


def test_bands_that_come_first_are_suspected() -> None:
    data = npy(np.zeros((4, 40, 50), np.uint16))
    hint = r"Its shape is \[4, 40, 50\]: if the bands are first, save them last"
    with pytest.raises(DataError, match=hint):
        decode_image(data, PATH, Bands(4, (0.0, 1.0)))
    with pytest.raises(DataError, match=hint):
        decode_rgb(npy(np.zeros((4, 40, 50), np.uint8)), PATH)
    with pytest.raises(DataError, match=r"from 0\.$"):
        decode_image(npy(np.zeros((40, 50, 30), np.uint16)), PATH, Bands(4, (0.0, 1.0)))


def test_numbers_that_floats_cannot_hold_are_refused() -> None:
    wide = Bands(1, (0.0, 1.0))
    fine = np.full((2, 2), 1 << 24, np.int64)
    np.testing.assert_array_equal(decode_image(npy(fine), PATH, wide)[..., 0], fine)
    for values, words in (
        (fine + 1, "beyond 16777216"),
        (np.array([[1, np.nan]], np.float32), r"50\.00% of its values are not finite"),
        (np.array([[1e300]]), "32-bit floats cannot represent"),
    ):
        with pytest.raises(DataError, match=words):
            decode_image(npy(values), PATH, wide)


def test_an_alpha_channel_is_a_band_if_requested() -> None:
    for data, kind in (
        (png(random_pixels("uint8", 4), 8), np.uint8),
        (png(random_pixels("uint16", 4), 16), np.uint16),
        (tiff(random_pixels("uint8", 4), photometric="rgb", extrasamples=["unassalpha"]), np.uint8),
    ):
        limits = "auto" if kind == np.uint8 else (0.0, 65535.0)
        pixels = random_pixels(np.dtype(kind).name, 4)
        np.testing.assert_array_equal(decode_image(data, PATH, Bands(4, limits)), pixels)
        np.testing.assert_array_equal(decode_image(data, PATH, Bands(3, limits)), pixels[..., :3])
        last = decode_image(data, PATH, Bands((3, 0), limits))
        np.testing.assert_array_equal(last, pixels[..., [3, 0]])


def test_few_bits_palettes_and_white_as_zero_keep_their_meaning() -> None:
    bits = random_pixels("uint8", 1, top=15)
    np.testing.assert_array_equal(decode_image(png(bits, 4), PATH, Bands(1))[..., 0], bits * 17)
    np.testing.assert_array_equal(
        decode_image(png(bits, 4), PATH, Bands(1, (0.0, 15.0)))[..., 0], bits
    )
    colors = np.random.default_rng(5).integers(0, 256, (16, 3), np.uint8)
    data = pillow(palette_image(bits, colors), "PNG")
    np.testing.assert_array_equal(
        decode_image(data, PATH, Bands((2, 1))), colors[bits][..., 2:0:-1]
    )
    deep = random_pixels("uint16", 1)
    data = tiff(deep, photometric="miniswhite")
    np.testing.assert_array_equal(
        decode_image(data, PATH, Bands(1, (0.0, 9.0)))[..., 0], 65535 - deep
    )


def test_gray_is_repeated_for_rgb_of_any_range() -> None:
    data = npy(random_pixels("uint16", 1))
    found = decode_image(data, PATH, Bands(3, (0.0, 9.0)))
    np.testing.assert_array_equal(found, np.repeat(random_pixels("uint16", 1)[..., None], 3, 2))


def test_the_default_uses_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(random_pixels("uint8", 3), 8)
    monkeypatch.setattr("segbench.data.decoding.read_pixels", None)  # must not be called
    np.testing.assert_array_equal(decode_image(data, PATH, RGB8), decode_rgb(data, PATH))


@pytest.mark.parametrize(
    ("channels", "limits", "show", "words"),
    [
        (0, "auto", None, "channels is 0"),
        ([], "auto", None, r"channels is \[\]"),
        ([1, -1], "auto", None, r"channels is \[1, -1\]"),
        (513, "auto", None, "a number of 1 to 512"),
        (3, "full", None, "value_range is full"),
        (3, [4, 4], None, "lo < hi"),
        (3, [0, float("nan")], None, "lo < hi"),
        (3, [1, 2, 3], None, "lo < hi"),
        (4, "auto", [0, 1, 4], "one or three of the channels 0 to 3"),
        (4, "auto", [0, 1], "one or three"),
    ],
)
def test_contradictions_are_named(channels, limits, show, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        bands_from(channels, limits, show)


def test_the_range_is_displayed_in_eight_bits() -> None:
    image = np.array([[[0, 100, 200, 400], [50, 300, 4, 0]]], np.uint16)
    shown = Bands(4, (0.0, 200.0), (3, 1, 0)).displayed(image)
    assert shown.tolist() == [[[255, 128, 0], [0, 255, 64]]]
    gray = Bands(2, (0.0, 200.0)).displayed(image[..., :2])
    assert gray.tolist() == [[[0, 0, 0], [64, 64, 64]]]
    rgb = random_pixels("uint8", 3)
    assert RGB8.displayed(rgb) is rgb
    assert Bands(4, "percentile").displayed(image).dtype == np.uint8


class Kept(Frames):
    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.images[index]
        return image, np.full(image.shape[:2], index, np.uint8)


def test_caches_keep_every_type_exactly_whatever_the_sizes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = Kept(
        [
            rng.integers(0, 256, (3, 5, 3), np.uint8),
            rng.integers(0, 65536, (3, 7, 4), np.uint16),
            rng.normal(size=(1, 5, 1)).astype(np.float32),
            rng.integers(0, 65536, (5, 3, 200), np.uint16),
        ]
    )
    kept = cached_on_disk(frames, "k", tmp_path, 10**9, "test")
    assert isinstance(kept, DiskFrames)
    for index in range(len(frames)):
        for found, expected in zip(kept.read(index), frames.read(index), strict=True):
            assert found.dtype == expected.dtype
            assert found.flags.aligned
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bands", [1, 2, 4, 5, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_windows_and_sizes_treat_each_band_as_one_image(bands: int, dtype: type) -> None:
    image = (np.random.default_rng(0).random((40, 60, bands)) * 200).astype(dtype)
    small = resize_image(image, (20, 30))
    for resized in ((40, 60), (64, 90), (333, 500)):
        window = Window((40, 60), resized, (3, 4), (30, 40), (33, 44), (1, 2), flip=True)
        crop = window.crop_image(image)
        fill = tuple(range(bands))
        padded = window.pad(crop, fill)
        assert padded.shape == (33, 44, bands)
        assert padded.dtype == dtype
        for band in {0, bands - 1}:
            alone = np.ascontiguousarray(image[..., band])
            expected = window.crop_image(alone)
            np.testing.assert_allclose(crop[..., band], expected, atol=1e-3)
            assert (padded[0, :, band] == band).all()
            np.testing.assert_array_equal(padded[1:31, 2:42, band], crop[..., band])
            area = cv2.resize(alone, (30, 20), interpolation=cv2.INTER_AREA)
            np.testing.assert_allclose(small[..., band], area, atol=1e-3)


@pytest.mark.parametrize("bands", [1, 4, 13])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_augmentation_keeps_type_bands_and_range(bands: int, dtype: type) -> None:
    image = (np.random.default_rng(0).random((40, 60, bands)) * 4000).astype(dtype)
    mask = np.zeros((40, 60), np.uint8)
    augment = Augmentation((32, 48), blur=1.0, noise=1.0, cutout=1.0,
                           image_fill=(7.0,) * bands, limits=(0.0, 4000.0))  # fmt: skip
    found, labels = augment(image, mask, (0, 1, 2))
    again, _ = augment(image, mask, (0, 1, 2))
    np.testing.assert_array_equal(found, again)
    assert (found.shape, found.dtype, labels.shape) == ((32, 48, bands), dtype, (32, 48))
    assert 500 < float(found[labels == 0].mean()) < 3500
    hidden = found[labels == 255]
    assert abs(float(np.median(hidden)) - 7) <= 1


def test_color_jitter_does_to_sixteen_bits_what_it_does_to_eight() -> None:
    rgb = np.random.default_rng(0).integers(60, 180, (8, 8, 3), np.uint8)
    deep = rgb.astype(np.uint16) * 16 + 1000
    options = {"scale_range": (1.0, 1.0), "hflip": 0.0, "color_jitter": 0.3}
    eight = Augmentation(None, image_fill=(100, 110, 120), **options)
    wide = Augmentation(
        None, image_fill=(2600.0, 2760.0, 2920.0), limits=(1000.0, 5080.0), **options
    )
    mask = np.zeros((8, 8), np.uint8)
    expected = eight(rgb, mask, (0, 0, 0))[0].astype(float)
    found = (wide(deep, mask, (0, 0, 0))[0].astype(float) - 1000) / 16
    assert not np.array_equal(expected, rgb)
    inside = (expected > 0) & (expected < 255)
    # half a step of 8 bits, of 16 bits, and of the rounded gray
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.5 + 1 / 32 + 0.15)


def test_batches_of_files_of_several_types_become_floats() -> None:
    frames = Kept([np.full((4, 4, 2), 60000, np.uint16), np.full((4, 4, 2), 0.5, np.float32)])
    records = Streets((8, 8), train=2, val=1, test=1).records("train")
    dataset = SegmentationDataset(records, frames, None, 0)
    batch = collate([dataset[key] for key in EpochSampler(2, 0, shuffle=False).keys(0)])
    assert batch["image"].dtype.is_floating_point  # type: ignore[attr-defined]
    assert sorted(batch["image"].flatten().unique().tolist()) == [0.5, 60000.0]  # type: ignore[attr-defined]


def test_mean_deviation_and_percentiles_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 4000, (30, 50, 4)).astype(np.uint16) for _ in range(3)]
    images[0][..., 3] = images[1][..., 3] = images[2][..., 3] = 17
    pixels = np.concatenate([image.reshape(-1, 4) for image in images]).astype(np.float64) / 4000
    mean, std = mean_and_std(images, (0.0, 4000.0))
    np.testing.assert_allclose(mean, pixels.mean(0))
    np.testing.assert_allclose(std[:3], pixels.std(0)[:3])
    assert std[3] == 1.0  # so that a constant band is not divided by zero
    low, high = percentiles_of(images)
    exact = np.percentile(pixels * 4000, (1, 99), method="inverted_cdf")
    np.testing.assert_allclose((low, high), exact, atol=1)
    floats = [image.astype(np.float32) / 7 - 100 for image in images]
    span = (max(f.max() for f in floats) - min(f.min() for f in floats)) / 65535
    np.testing.assert_allclose(percentiles_of(floats), exact / 7 - 100, atol=2 * span)
    assert percentiles_of([np.full((2, 2, 1), 3, np.uint16)]) == (3.0, 4.0)


def test_what_is_given_is_not_measured_and_wrong_numbers_are_named() -> None:
    def unread() -> list[np.ndarray]:
        raise AssertionError("nobody asked")

    given = Normalization(Bands(2, (0.0, 10.0)), (0.1, 0.2), (1, 1), unread)
    assert given.mean == (0.1, 0.2)
    assert given.fill == (1.0, 2.0)
    wrong = Normalization(Bands(4), (0.1, 0.2, 0.3), (1, 1, 0), unread)
    problems = "; ".join(wrong.problems())
    assert "mean has 3 value(s) for 4 channel(s)" in problems
    assert "data.mean=auto" in problems
    assert "std must be above 0" in problems
    with pytest.raises(ValueError, match="or auto, not full"):
        Normalization(Bands(), "full", "auto", unread)


def test_bands_on_pages_are_distinguished_from_bands_of_a_page() -> None:
    pages = tiff(np.moveaxis(random_pixels("uint16", 4), -1, 0), photometric="minisblack")
    with pytest.raises(DataError, match=r"1 band\(s\) on the first of its 4 pages"):
        decode_image(pages, PATH, Bands(4, (0.0, 9.0)))
