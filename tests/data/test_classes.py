"""Colors to ids and back, for any palette; unknown and ambiguous colors are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.data.classes import ClassSet
from segbench.data.sources import camvid, camvid11, cityscapes
from segbench.errors import DataError

COLORS = st.tuples(*[st.integers(0, 255)] * 3)
PALETTES = st.lists(COLORS, min_size=2, max_size=40, unique=True).map(
    lambda colors: ClassSet(
        tuple(f"class {i}" for i in range(len(colors) - 1)), tuple(colors[1:]), void_color=colors[0]
    )
)


def random_ids(classes: ClassSet, seed: int) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(0, classes.num_classes + 1, (13, 17))
    return np.where(ids == classes.num_classes, 255, ids).astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(PALETTES, st.integers(0, 1000))
def test_encode_undoes_decode_for_every_palette(classes: ClassSet, seed: int) -> None:
    ids = random_ids(classes, seed)
    np.testing.assert_array_equal(classes.encode(classes.decode(ids)), ids)


@pytest.mark.parametrize(
    "classes",
    [
        camvid11.CLASSES,
        camvid.CLASSES_31,
        camvid.CLASSES_32,
        cityscapes.CLASSES,
        cityscapes.CATEGORIES,
    ],
)
def test_encode_undoes_decode_for_the_real_palettes(classes: ClassSet) -> None:
    ids = random_ids(classes, 0)
    np.testing.assert_array_equal(classes.encode(classes.decode(ids)), ids)


def test_encode_reads_masks_larger_than_a_band() -> None:
    ids = np.random.default_rng(0).integers(0, 11, (300, 400)).astype(np.uint8)
    rgb = camvid11.CLASSES.decode(ids)
    np.testing.assert_array_equal(camvid11.CLASSES.encode(rgb), ids)
    rgb[299, 399] = (1, 2, 3)
    with pytest.raises(DataError, match=r"0\.00% of the pixels"):
        camvid11.CLASSES.encode(rgb)


def test_an_unknown_color_is_refused_with_the_three_nearest_classes() -> None:
    rgb = np.full((4, 5, 3), (128, 64, 128), np.uint8)
    rgb[0, 0] = (130, 66, 126)
    with pytest.raises(DataError, match=r"drive_1\.png: 5\.00%.*Nearest classes: Road.*, .*, "):
        camvid11.CLASSES.encode(rgb, "drive_1.png")


@pytest.mark.parametrize(
    ("colors", "void"),
    [([(1, 1, 1), (1, 1, 1)], (0, 0, 0)), ([(0, 0, 0), (1, 1, 1)], (0, 0, 0))],
)
def test_ambiguous_colors_are_refused(colors: list, void: tuple) -> None:
    with pytest.raises(ValueError, match="same color twice"):
        ClassSet(("a", "b"), tuple(colors), void_color=void)


@given(PALETTES)
@settings(max_examples=10, deadline=None)
def test_a_class_set_survives_plain_types(classes: ClassSet) -> None:
    assert ClassSet.from_dict(classes.to_dict()) == classes
