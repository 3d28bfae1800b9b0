"""Scores by image, group and category."""

import numpy as np
import pytest

from segbench.metrics.per_image import category_matrix, group_scores, image_scores


def matrix_of(right, wrong):
    """Two classes, both with IoU right / (right + 2 * wrong)."""
    return np.array([[right, wrong, 0], [wrong, right, 0]], np.int64)


def test_mean_and_worst_tenth_of_the_images():
    matrices = np.stack([matrix_of(8, 1)] * 9 + [matrix_of(2, 1)] + [matrix_of(0, 0)])
    scores = image_scores(matrices)
    assert scores["mean_image_mIoU"] == pytest.approx((9 * 0.8 + 0.5) / 10)
    assert scores["worst_tenth_mIoU"] == pytest.approx(0.5)
    assert image_scores(matrices[10:])["mean_image_mIoU"] is None


def test_the_worst_tenth_is_rounded_up():
    scores = image_scores(np.stack([matrix_of(8, 1)] * 10 + [matrix_of(2, 1)]))
    assert scores["worst_tenth_mIoU"] == pytest.approx((0.5 + 0.8) / 2)


def test_groups_are_summed_before_dividing():
    matrices = np.stack([matrix_of(8, 1), matrix_of(0, 4), matrix_of(1, 0)])
    assert group_scores(matrices, ["a", "a", "b"]) == {
        "a": pytest.approx(8 / (8 + 10)),
        "b": pytest.approx(1.0),
    }


def test_confusions_within_a_category_are_right():
    matrix = np.array([[5, 2, 1, 3], [1, 4, 0, 0], [0, 6, 7, 0]], np.int64)
    merged = category_matrix(matrix, ["car", "bus", "sky"], {"vehicle": ["car", "bus"]})
    assert merged.tolist() == [[12, 1 + 3]]
    both = category_matrix(matrix, ["car", "bus", "sky"], {"v": ["car", "bus"], "s": ["sky"]})
    assert both.tolist() == [[12, 1, 3], [6, 7, 0]]


def test_wrong_categories_are_refused():
    matrix = np.zeros((2, 3), np.int64)
    with pytest.raises(ValueError, match="unknown classes: tram"):
        category_matrix(matrix, ["car", "bus"], {"vehicle": ["tram"]})
    with pytest.raises(ValueError, match="two categories"):
        category_matrix(matrix, ["car", "bus"], {"a": ["car"], "b": ["car"]})
