"""Flips, rotations and albumentations transforms: labels are preserved, draws are repeatable."""

from __future__ import annotations

import random
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest

from segbench.artifacts.build import build_datamodule
from segbench.data.bands import Bands
from segbench.data.further_transforms import admitted
from segbench.data.sources.streets import Streets
from segbench.data.transforms import Augmentation
from segbench.errors import ConfigError

MASK = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((10, 10), np.uint8))
IMAGE = np.repeat(MASK[..., None] * 20, 3, axis=2)
STILL: dict[str, Any] = {"scale_range": (1.0, 1.0), "hflip": 0.0}


@pytest.mark.parametrize("crop", [None, (30, 40), (20, 20), (17, 33)])
def test_turns_and_flips_move_image_and_mask_alike(crop: tuple[int, int] | None) -> None:
    augment = Augmentation(crop, vflip=0.5, rot90=0.8, **STILL)
    shapes, seen = set(), set()
    for index in range(40):
        image, mask = augment(IMAGE, MASK, (0, 0, index))
        inside = mask != 255
        np.testing.assert_array_equal(image[..., 0][inside], mask[inside] * 20)
        shapes.add(mask.shape)
        seen.add(mask.tobytes())
        again, _ = augment(IMAGE, MASK, (0, 0, index))
        np.testing.assert_array_equal(image, again)
    assert shapes == {crop or (30, 40)}  # a batch needs a single size
    assert len(seen) >= (4 if crop is None else 8)


def test_all_eight_positions_of_a_square_occur() -> None:
    square, image = MASK[:, :30], IMAGE[:, :30]
    augment = Augmentation(None, vflip=0.5, rot90=0.75, **STILL)
    found = {augment(image, square, (0, 0, i))[1].tobytes() for i in range(80)}
    turned = [np.rot90(side, k) for side in (square, square[::-1]) for k in range(4)]
    assert found == {np.ascontiguousarray(t).tobytes() for t in turned}


def test_a_rotation_uncovers_what_is_ignored_and_mixes_no_labels() -> None:
    augment = Augmentation(None, rotate=45.0, image_fill=(9, 9, 9), **STILL)
    image, mask = augment(IMAGE, MASK, (0, 0, 1))
    assert (mask == 255).any()
    assert set(np.unique(mask).tolist()) <= {*range(12), 255}
    assert (image[0, 0] == 9).all()


def test_without_these_options_draws_are_unchanged() -> None:
    options: dict[str, Any] = {"scale_range": (0.5, 2.0), "color_jitter": 0.2, "blur": 0.5}
    plain = Augmentation((20, 24), **options)
    turning = Augmentation((20, 24), vflip=1.0, **options)
    options["blur"] = 0.0
    for index in range(5):
        image, mask = plain(IMAGE, MASK, (3, 1, index))
        other, labels = turning(IMAGE, MASK, (3, 1, index))
        np.testing.assert_array_equal(labels[::-1], mask)
        assert image.shape == other.shape


@pytest.mark.parametrize("bands", [Bands(), Bands(4), Bands(4, (0.0, 9.0)), Bands(1, (0.0, 9.0))])
@pytest.mark.parametrize(
    "transform",
    [
        A.RandomGamma(p=0.5),
        A.ElasticTransform(p=0.5),
        A.GridDistortion(p=0.5),
        A.RandomBrightnessContrast(p=0.5),
        A.OneOf([A.GaussianBlur(p=1.0), A.Sequential([A.VerticalFlip(p=0.5)])], p=0.5),
        A.CoarseDropout(fill_mask=255, p=0.5),
        A.Affine(rotate=(-20, 20), p=0.5),
    ],
)
def test_good_transforms_are_let_in_for_all_images(transform: Any, bands: Bands) -> None:
    assert admitted({"mine": transform}, bands, 255) == [transform]


class Moody(A.ImageOnlyTransform):
    """Draws from the global random state of the process."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return np.clip(img + random.randrange(1, 90), 0, 255).astype(img.dtype)


class Counting(A.ImageOnlyTransform):
    """Counts how often it was called."""

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.calls = 0

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        self.calls += 1
        return np.full_like(img, self.calls)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (A.Rotate(mask_interpolation=cv2.INTER_LINEAR), "would mix labels"),
        (A.OneOf([A.Affine(mask_interpolation=cv2.INTER_CUBIC)]), "would mix labels"),
        (A.RandomCrop(20, 20), "changes the size"),
        (A.Normalize(), "it must keep uint8"),
        (A.ToFloat(), "it must keep uint8"),
        (A.ToGray(num_output_channels=1), "changes the size or the bands"),
        (A.HueSaturationValue(), None),
        (Moody(p=1.0), "does not depend only on seed"),
        (Counting(), "does not depend only on seed"),
        (A.Lambda(mask=lambda mask, **_: mask + 100, p=1.0), "creates labels that"),
        (len, "is not a transform"),
    ],
)
def test_transforms_that_would_break_a_training_are_refused(transform: Any, words: str) -> None:
    if words is None:
        assert admitted({"mine": transform}, Bands(), 255)
        with pytest.raises(ValueError, match=r"augment\.mine: .*fails on images of 4 channel"):
            admitted({"mine": transform}, Bands(4), 255)
    else:
        with pytest.raises(ValueError, match=rf"augment\.mine: .*{words}"):
            admitted({"mine": transform}, Bands(), 255)


def test_padding_of_any_transform_is_ignored() -> None:
    (affine,) = admitted({"a": A.Affine(translate_percent=0.4, p=1.0)}, Bands(), 255)
    augment = Augmentation(None, further=[affine], **STILL)
    found = [augment(IMAGE, MASK, (0, 0, i)) for i in range(6)]
    uncovered = [mask[image.sum(2) == 0] for image, mask in found]
    assert any(len(labels) for labels in uncovered)
    assert all(set(np.unique(labels).tolist()) <= {0, 255} for labels in uncovered)
    assert any((labels == 255).any() for labels in uncovered)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "albumentations.RandomGama"}, "has no 'RandomGama'.*RandomGamma"),
        ({"_target_": "albumentations.RandomGamma", "gama_limit": [80, 120]}, "gama_limit"),
        ({"_target_": "albumentations.RandomGamma", "gamma_limit": [-5, 3]}, "augment.mine"),
        (
            {"_target_": "albumentations.OneOf",
             "transforms": [{"_target_": "albumentations.Blur", "blurlimit": 3}]},
            "blurlimit",
        ),
        ({"_target_": "albumentations.RandomCrop", "height": 8, "width": 8}, "changes the size"),
    ],
)  # fmt: skip
def test_arguments_are_checked_also_of_nested_ones(node: dict[str, Any], words: str) -> None:
    source = Streets((16, 24), train=2, val=1, test=1)
    with pytest.raises(ConfigError, match=words):
        build_datamodule({"cache": "none"}, source, 0, {"mine": node})


def test_what_a_config_names_is_applied_and_repeated() -> None:
    source = Streets((16, 24), train=4, val=1, test=1)
    node = {"_target_": "albumentations.RandomGamma", "gamma_limit": [50, 60], "p": 1.0}
    plain, ours, again = (
        build_datamodule({"cache": "none", "num_workers": 0}, source, 0, augment).dataset("train")
        for augment in (None, {"mine": node}, {"mine": node})
    )
    for index in range(4):
        first, second = ours[0, index]["image"], again[0, index]["image"]
        assert (first == second).all()
        assert first.float().mean() > plain[0, index]["image"].float().mean()
