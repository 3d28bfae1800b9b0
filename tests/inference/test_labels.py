"""Labels and counts are equal, bit for bit, to the slow and obvious way of getting them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segbench.inference import labels


def upsample_then_argmax(logits, size):
    return F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1).byte()


def count_by_loop(pred, mask, num_classes, ignore_index):
    matrix = np.zeros((num_classes, num_classes + 1), np.int64)
    for p, m in zip(pred.ravel(), mask.ravel(), strict=True):
        if m != ignore_index:
            matrix[m, min(p, num_classes)] += 1
    return matrix


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 67, 3), (1, 19, 130, 70), (1, 256, 4, 4)])
def test_argmax_labels_equals_argmax(shape):
    logits = torch.randn(shape)
    assert torch.equal(labels.argmax_labels(logits), logits.argmax(1).byte())
    channels_last = logits.contiguous(memory_format=torch.channels_last)
    assert torch.equal(labels.argmax_labels(channels_last), logits.argmax(1).byte())


def test_ties_go_to_the_first_class_and_nan_wins_as_in_argmax():
    logits = torch.randint(0, 3, (2, 6, 70, 9)).float()
    assert torch.equal(labels.argmax_labels(logits), logits.argmax(1).byte())
    logits[logits == 1] = torch.nan
    logits[logits == 2] = torch.inf
    assert torch.equal(labels.argmax_labels(logits), logits.argmax(1).byte())
    expected = upsample_then_argmax(logits, (90, 20))
    assert torch.equal(labels.upsample_argmax(logits, (90, 20)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (33, 65), (31, 127), (7, 5)])
def test_upsample_argmax_equals_interpolate_then_argmax(size, dtype):
    logits = torch.randn(2, 7, 8, 16).to(dtype)
    expected = upsample_then_argmax(logits, size)
    assert torch.equal(labels.upsample_argmax(logits, size), expected)


@pytest.mark.parametrize("ignore_index", [255, 5, 7])
def test_confusion_matrix_equals_a_loop_over_pixels(ignore_index):
    rng = np.random.default_rng(0)
    pred = rng.choice([0, 1, 2, 3, 4, 5, 99, 255], (13, 17)).astype(np.uint8)
    mask = rng.choice([0, 1, 2, 3, 4, ignore_index], (13, 17)).astype(np.uint8)
    expected = count_by_loop(pred, mask, 5, ignore_index)
    assert np.array_equal(labels.confusion_matrix(pred, mask, 5, ignore_index), expected)
    assert expected.sum() == (mask != ignore_index).sum() > 0


def test_the_device_counts_the_same_as_the_host():
    pred = torch.randint(0, 8, (3, 21, 10), dtype=torch.uint8)
    mask = torch.randint(0, 8, (3, 21, 10), dtype=torch.uint8)
    for ignore_index in (5, 7, 255):
        host = labels._count_on_host(pred, mask, 5, ignore_index)
        device = labels._count_on_device(pred, mask, 5, ignore_index)
        assert torch.equal(host[0], device[0])
        assert torch.equal(host[1], device[1])
        assert torch.equal(host[1], ((mask >= 5) & (mask != ignore_index)).sum((1, 2)))


def test_counts_are_exact_beyond_the_reach_of_float32():
    pixels = (1 << 24) + 3  # float32 counters stop at 2^24
    mask = np.zeros((1, pixels), np.uint8)
    assert labels.confusion_matrix(mask, mask, 2)[0, 0] == pixels


def test_a_label_outside_the_class_set_is_refused():
    mask = np.array([[0, 1, 9, 255]], np.uint8)
    with pytest.raises(ValueError, match=r"label 9 on 1 mask pixels .*0\.\.1, 255 = ignore"):
        labels.confusion_matrix(np.zeros_like(mask), mask, 2)


def test_no_image_is_no_matrix():
    empty = torch.zeros(0, 4, 4, dtype=torch.uint8)
    matrices, strangers = labels.confusion_matrices(empty, empty, 3)
    assert matrices.shape == (0, 3, 4)
    assert strangers.shape == (0,)


def test_shapes_and_types_are_checked():
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="differ in shape"):
        labels.confusion_matrices(mask[:, :2], mask, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        labels.confusion_matrices(mask.long(), mask, 3)
