"""Post-processing removes what it should and nothing else."""

import numpy as np
import pytest

from segbench.inference.refine import majority_filter, refine_edges, remove_small_regions


def test_small_regions_take_the_label_around_them():
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = 2
    labels[3:5, 3:5] = 1  # 4 pixels in label 0
    labels[12:14, 14:17] = 5  # 6 pixels in label 2
    cleaned = remove_small_regions(labels, min_pixels=6)
    assert (cleaned[3:5, 3:5] == 0).all()
    assert (cleaned[12:14, 14:17] == 5).all()
    assert (remove_small_regions(labels, 7)[12:14, 14:17] == 2).all()
    assert np.array_equal(remove_small_regions(labels, 1), labels)


def test_pixels_that_touch_at_a_corner_are_one_region():
    labels = np.zeros((9, 9), np.uint8)
    labels[np.arange(5), np.arange(5)] = 1
    assert np.array_equal(remove_small_regions(labels, 5), labels)


def test_the_largest_region_stays_even_if_all_are_small():
    labels = np.array([[0, 0, 1]], np.uint8)
    assert remove_small_regions(labels, 100).tolist() == [[0, 0, 0]]


def test_majority_filter_equals_counting():
    labels = np.random.default_rng(0).integers(0, 4, (9, 11)).astype(np.uint8)
    filtered = majority_filter(labels, 3)
    for y in range(9):
        for x in range(11):
            around = labels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            assert filtered[y, x] == np.bincount(around.ravel()).argmax()
    with pytest.raises(ValueError, match="odd"):
        majority_filter(labels, 4)


def test_outlines_move_onto_the_edges_of_the_image():
    pytest.importorskip("kornia")
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    probs = np.zeros((2, 40, 40), np.float32)
    probs[1, :, 23:] = 1  # the outline is 3 pixels off
    probs[0] = 1 - probs[1]
    right = (image[..., 0] > 0).astype(np.uint8)
    assert not np.array_equal(probs.argmax(0), right)
    assert np.array_equal(refine_edges(image, probs), right)
