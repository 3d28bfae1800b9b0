"""Counting per image: the same matrices for any batch size, and unknown labels are detected."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segbench.data.classes import ClassSet
from segbench.errors import DataError
from segbench.metrics import confusion
from segbench.metrics.confusion import ConfusionPerImage

CLASSES = ClassSet(names=("a", "b", "c"), colors=((1, 0, 0), (2, 0, 0), (3, 0, 0)))
NAMES = [f"image{i}" for i in range(7)]


def _maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pred = torch.randint(0, 3, (7, 9, 8), generator=generator).byte()
    mask = torch.randint(0, 4, (7, 9, 8), generator=generator).byte()
    mask[mask == 3] = 255
    return pred, mask


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    pred, mask = _maps()
    metric = ConfusionPerImage(CLASSES, NAMES)
    for start in range(0, 7, batch_size):
        part = slice(start, start + batch_size)
        metric.update(pred[part], mask[part], torch.arange(7)[part])
    index, matrices = metric.compute()
    assert index.tolist() == list(range(7))
    for image in range(7):
        for true in range(3):
            for found in range(3):
                both = (mask[image] == true) & (pred[image] == found)
                assert matrices[image, true, found] == both.sum()
    assert not matrices[:, :, 3].any()


def test_the_order_of_the_images_is_that_of_the_data_set_and_each_counts_once() -> None:
    pred, mask = _maps()
    metric = ConfusionPerImage(CLASSES, NAMES)
    order = torch.tensor([4, 2, 4, 0])  # an image that pads the last batch of another rank
    metric.update(pred[order], mask[order], order)
    index, matrices = metric.compute()
    assert index.tolist() == [0, 2, 4]
    assert matrices.sum((1, 2)).tolist() == [(mask[i] != 255).sum().item() for i in (0, 2, 4)]


def test_a_label_outside_the_class_set_is_an_error_that_names_the_image() -> None:
    pred, mask = _maps()
    mask[3, 0, 0] = 7
    metric = ConfusionPerImage(CLASSES, NAMES)
    metric.update(pred, mask, torch.arange(7))
    with pytest.raises(
        DataError, match=r"image3 contain labels outside the class set \(0\.\.2, 255"
    ):
        metric.compute()


def test_a_prediction_outside_the_class_set_is_void() -> None:
    metric = ConfusionPerImage(CLASSES, NAMES)
    mask = torch.zeros(1, 2, 2, dtype=torch.uint8)
    metric.update(mask + 9, mask, torch.tensor([0]))
    assert metric.compute()[1].tolist() == [[[0, 0, 0, 4], [0] * 4, [0] * 4]]


def test_reset_clears_the_counts() -> None:
    pred, mask = _maps()
    metric = ConfusionPerImage(CLASSES, NAMES)
    metric.update(pred, mask, torch.arange(7))
    metric.compute()
    metric.reset()
    metric.update(pred[:1], mask[:1], torch.tensor([5]))
    index, matrices = metric.compute()
    assert index.tolist() == [5]
    assert matrices.dtype == np.int64


def count_by_loop(
    pred: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int
) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes + 1), np.int64)
    for p, m in zip(pred.ravel(), mask.ravel(), strict=True):
        if m != ignore_index:
            matrix[m, min(p, num_classes)] += 1
    return matrix


@pytest.mark.parametrize("ignore_index", [255, 5, 7])
def test_confusion_matrix_equals_a_loop_over_pixels(ignore_index: int) -> None:
    rng = np.random.default_rng(0)
    pred = rng.choice([0, 1, 2, 3, 4, 5, 99, 255], (13, 17)).astype(np.uint8)
    mask = rng.choice([0, 1, 2, 3, 4, ignore_index], (13, 17)).astype(np.uint8)
    expected = count_by_loop(pred, mask, 5, ignore_index)
    assert np.array_equal(confusion.confusion_matrix(pred, mask, 5, ignore_index), expected)
    assert expected.sum() == (mask != ignore_index).sum() > 0


def test_the_device_counts_the_same_as_the_host() -> None:
    pred = torch.randint(0, 8, (3, 21, 10), dtype=torch.uint8)
    mask = torch.randint(0, 8, (3, 21, 10), dtype=torch.uint8)
    for ignore_index in (5, 7, 255):
        host = confusion._count_on_host(pred, mask, 5, ignore_index)
        device = confusion._count_on_device(pred, mask, 5, ignore_index)
        assert torch.equal(host[0], device[0])
        assert torch.equal(host[1], device[1])
        assert torch.equal(host[1], ((mask >= 5) & (mask != ignore_index)).sum((1, 2)))


def test_counts_are_exact_beyond_the_reach_of_float32() -> None:
    pixels = (1 << 24) + 3  # float32 counters stop at 2^24
    mask = np.zeros((1, pixels), np.uint8)
    assert confusion.confusion_matrix(mask, mask, 2)[0, 0] == pixels


def test_a_label_outside_the_class_set_is_refused() -> None:
    mask = np.array([[0, 1, 9, 255]], np.uint8)
    with pytest.raises(ValueError, match=r"label 9 on 1 mask pixels .*0\.\.1, 255 = ignore"):
        confusion.confusion_matrix(np.zeros_like(mask), mask, 2)


def test_no_image_gives_no_matrix() -> None:
    empty = torch.zeros(0, 4, 4, dtype=torch.uint8)
    matrices, unknown = confusion.confusion_matrices(empty, empty, 3)
    assert matrices.shape == (0, 3, 4)
    assert unknown.shape == (0,)


def test_shapes_and_types_are_checked() -> None:
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion.confusion_matrices(mask[:, :2], mask, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        confusion.confusion_matrices(mask.long(), mask, 3)
