"""Counting per image: whatever the batches, the same matrices, and no stranger goes unnoticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segbench.data.classes import ClassSet, DataError
from segbench.training.metrics import ConfusionPerImage

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
    with pytest.raises(DataError, match=r"image3 hold labels outside the class set \(0\.\.2, 255"):
        metric.compute()


def test_a_prediction_outside_the_class_set_is_void() -> None:
    metric = ConfusionPerImage(CLASSES, NAMES)
    mask = torch.zeros(1, 2, 2, dtype=torch.uint8)
    metric.update(mask + 9, mask, torch.tensor([0]))
    assert metric.compute()[1].tolist() == [[[0, 0, 0, 4], [0] * 4, [0] * 4]]


def test_reset_forgets() -> None:
    pred, mask = _maps()
    metric = ConfusionPerImage(CLASSES, NAMES)
    metric.update(pred, mask, torch.arange(7))
    metric.compute()
    metric.reset()
    metric.update(pred[:1], mask[:1], torch.tensor([5]))
    index, matrices = metric.compute()
    assert index.tolist() == [5]
    assert matrices.dtype == np.int64
