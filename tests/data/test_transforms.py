"""Arguments do what they say; labels are never invented; draws depend only on the key."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from segbench.data.transforms import Augmentation
from tests.data.writers import street

IMAGE, MASK = street("train", 0)
EVERYTHING = {"hflip": 0.5, "color_jitter": 0.5, "blur": 0.5, "noise": 0.5, "cutout": 0.5}


def masks(augmentation: Augmentation, count: int = 40) -> list[np.ndarray]:
    return [augmentation(IMAGE, MASK, (0, 0, index))[1] for index in range(count)]


def test_geometry_never_invents_a_label() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    mask = np.full((40, 50), 2, np.uint8)
    mask[:, 25:] = 9  # interpolation would create labels between 2 and 9
    augmentation = Augmentation((64, 64), (0.3, 2.5), class_uniform=0.3, **EVERYTHING)
    for index in range(60):
        assert set(np.unique(augmentation(image, mask, (0, 0, index))[1])) <= {2, 9, 255}


def test_padding_is_filled_and_ignored() -> None:
    augmentation = Augmentation((96, 128), (0.5, 0.5), hflip=0, image_fill=(1, 2, 3))
    image, mask = augmentation(
        np.full((48, 64, 3), 200, np.uint8), np.zeros((48, 64), np.uint8), (0, 0, 0)
    )
    assert (mask == 0).sum() == 24 * 32
    assert (image[mask == 255] == (1, 2, 3)).all()
    assert (image[mask == 0] == 200).all()


def test_cutouts_are_ignored_and_filled() -> None:
    augmentation = Augmentation(None, (1.0, 1.0), hflip=0, cutout=1.0, image_fill=(1, 2, 3))
    image, mask = augmentation(
        np.full((48, 64, 3), 200, np.uint8), np.zeros((48, 64), np.uint8), (0, 0, 0)
    )
    assert 0 < (mask == 255).mean() < 0.5
    np.testing.assert_array_equal(mask == 255, (image == (1, 2, 3)).all(-1))


def test_draws_depend_only_on_the_key() -> None:
    first, second = (Augmentation((32, 40), (0.5, 2.0), **EVERYTHING) for _ in range(2))
    for _ in range(3):
        second(IMAGE, MASK, (9, 9, 9))  # another history
    for key in [(0, 0, 5), (0, 1, 5), (1, 0, 5)]:
        for a, b in zip(first(IMAGE, MASK, key), second(IMAGE, MASK, key), strict=True):
            np.testing.assert_array_equal(a, b)
    drawn = {
        first(IMAGE, MASK, key)[0].tobytes() for key in [(0, 0, 5), (0, 1, 5), (1, 0, 5), (0, 0, 6)]
    }
    assert len(drawn) == 4


def test_hflip_mirrors_image_and_mask() -> None:
    image, mask = Augmentation(None, (1.0, 1.0), hflip=1.0)(IMAGE, MASK, (0, 0, 0))
    np.testing.assert_array_equal(image, IMAGE[:, ::-1])
    np.testing.assert_array_equal(mask, MASK[:, ::-1])


def test_color_jitter_changes_the_image_and_not_the_mask() -> None:
    image, mask = Augmentation(None, (1.0, 1.0), hflip=0, color_jitter=0.5)(IMAGE, MASK, (0, 0, 1))
    assert not np.array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, MASK)


def test_cat_max_ratio_avoids_crops_of_one_class() -> None:
    def worst(ratio: float) -> float:
        found = masks(Augmentation((12, 12), (1.0, 1.0), cat_max_ratio=ratio, hflip=0))
        shares = [
            np.bincount(m[m != 255], minlength=11).max() / max(1, (m != 255).sum()) for m in found
        ]
        return float(np.mean(shares))

    assert worst(0.5) < worst(1.0) - 0.1


def test_class_uniform_shows_rare_classes_more_often() -> None:
    pixels = np.bincount(MASK.ravel(), minlength=256)[:11]
    rare = int(np.argmin(np.where(pixels > 0, pixels, MASK.size)))

    def seen(share: float) -> int:
        found = masks(Augmentation((12, 12), (1.0, 1.0), class_uniform=share, hflip=0), 200)
        return sum((m == rare).any() for m in found)

    assert seen(1.0) > 1.5 * seen(0.0)


def test_arguments_are_not_modified_and_it_can_be_pickled() -> None:
    augmentation = pickle.loads(pickle.dumps(Augmentation((32, 40), **EVERYTHING)))
    image, mask = IMAGE.copy(), MASK.copy()
    image.flags.writeable = mask.flags.writeable = False
    augmentation(image, mask, (0, 0, 0))


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"hflip": 1.5}, "hflip is 1.5; expected 0 to 1"),
        ({"color_jitter": -0.1}, "color_jitter is -0.1"),
        ({"scale_range": (2.0, 0.5)}, "scale_range is"),
        ({"cat_max_ratio": 0.0}, "cat_max_ratio is 0.0"),
        ({"crop_size": (0, 5)}, "crop_size is"),
    ],
)
def test_an_argument_out_of_range_is_refused(knobs: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Augmentation(**{"crop_size": (8, 8), **knobs})
