"""Boundary scores against their definitions, implemented class by class."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from segbench.metrics.boundary import boundary_counts
from segbench.metrics.scores import overlap


def blobs(seed, shape=(90, 120), num_classes=4):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(num_classes, *shape)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(n, (0, 0), 9) for n in noise]).argmax(0).astype(np.uint8)


def f_score(counts):
    return overlap(*counts["boundary_F"])


def iou(counts):
    return overlap(*counts["boundary_IoU"])


def erode_as_in_the_paper(inside, distance):
    """`mask_to_boundary` of the boundary IoU paper: erosion of the zero-padded binary mask."""
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    return inside & (eroded[1:-1, 1:-1] == 0)


def test_boundary_iou_is_that_of_the_paper():
    mask, pred = blobs(0), blobs(1)
    mask[20:40, 30:60] = 255
    pred[5:9] = 255
    distance = round(0.02 * np.hypot(90, 120))
    counts = boundary_counts(pred, mask, 4)
    valid = mask != 255
    for label in range(4):
        true = erode_as_in_the_paper(mask == label, distance) & valid
        found = erode_as_in_the_paper(pred == label, distance) & valid
        assert counts["boundary_IoU"][0, label] == (true & found).sum()
        assert counts["boundary_IoU"][1, label] == (true | found).sum() > 0


def test_boundary_f_score_is_the_harmonic_mean_of_matched_boundary_pixels():
    mask, pred = blobs(0), blobs(2)
    counts = boundary_counts(pred, mask, 4)
    tolerance = 0.0075 * np.hypot(90, 120)
    for label in range(4):
        edges = []
        for labels in (mask, pred):
            inside = np.pad(labels == label, 1, mode="edge")
            neighbors = (inside[:-2, 1:-1] & inside[2:, 1:-1]
                          & inside[1:-1, :-2] & inside[1:-1, 2:])  # fmt: skip
            edges.append((labels == label) & ~neighbors)
        true, found = edges
        precision = (distance_transform_edt(~true)[found] <= tolerance).mean()
        recall = (distance_transform_edt(~found)[true] <= tolerance).mean()
        expected = 2 * precision * recall / (precision + recall)
        assert f_score(counts)[label] == pytest.approx(expected, abs=1e-6)


def test_a_perfect_prediction_scores_one_and_a_shift_within_tolerance_too():
    mask = np.zeros((100, 200), np.uint8)
    mask[30:70, 50:150] = 1
    perfect = boundary_counts(mask, mask, 2)
    assert f_score(perfect).tolist() == [1, 1]
    assert iou(perfect).tolist() == [1, 1]
    shifted = boundary_counts(np.roll(mask, 1, axis=1), mask, 2)
    assert f_score(shifted).tolist() == [1, 1]
    assert (iou(shifted) < 1).all()
    far = boundary_counts(np.roll(mask, 40, axis=1), mask, 2)
    assert (f_score(far) < 0.8).all()


def test_ignored_pixels_make_no_boundary():
    mask = np.zeros((50, 50), np.uint8)
    mask[20:30, 20:30] = 255
    counts = boundary_counts(np.zeros_like(mask), mask, 2)
    assert counts["boundary_F"][1].tolist() == [0, 0]
    assert np.isnan(f_score(counts)).all()


def test_a_class_predicted_but_absent_scores_zero():
    mask = np.zeros((50, 50), np.uint8)
    pred = mask.copy()
    pred[10:20, 10:20] = 1
    counts = boundary_counts(pred, mask, 3)
    assert f_score(counts)[:2].tolist() == [0, 0]
    assert np.isnan(f_score(counts)[2])
    assert np.isnan(iou(counts)[2])


def test_images_add_up():
    parts = [boundary_counts(blobs(i), blobs(i + 10), 4) for i in range(3)]
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    expected = np.mean([f_score(part) for part in parts], axis=0)
    np.testing.assert_allclose(f_score(total), expected)
    shares = [part["boundary_IoU"] for part in parts]
    assert np.array_equal(iou(total), overlap(*np.sum(shares, axis=0)))
