"""Labels are equal, bit for bit, to the slow and obvious way of getting them."""

import pytest
import torch
from torch.nn import functional as F

from segbench.inference import labels


def upsample_then_argmax(logits, size):
    return F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1).byte()


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
