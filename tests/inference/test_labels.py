"""Labels are bit-identical to those of the straightforward, slow implementation."""

import pytest
import torch
from torch.nn import functional as F

from segbench.errors import NonFiniteLogitsError
from segbench.inference import labels

BAD = {"nan": [torch.nan], "inf": [torch.inf], "only -inf": [-torch.inf] * 3}


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


@pytest.mark.parametrize("size", [None, (160, 24)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_images_with_logits_that_are_not_finite_are_identified(size, memory_format, bad):
    logits = torch.randn(3, 3, 130, 20)
    logits[1, : len(bad), 77, 5] = torch.tensor(bad)
    found, finite = labels.checked_argmax(logits.contiguous(memory_format=memory_format), size)
    assert finite.tolist() == [True, False, True]
    expected = logits if size is None else F.interpolate(logits, size, mode="bilinear")
    assert torch.equal(found, expected.argmax(1).byte())


def test_a_class_may_be_excluded_by_minus_infinity():
    logits = torch.randn(1, 3, 70, 9)
    logits[:, 1] = -torch.inf
    assert labels.checked_argmax(logits)[1].all()


def test_many_batches_are_checked_together_and_the_images_are_named():
    watch = labels.FiniteLogits()
    for start in range(0, 12, 2):
        watch.add(torch.tensor([True, start < 4]), [f"i{start}", f"i{start + 1}"])
    with pytest.raises(NonFiniteLogitsError, match=r"not finite on i5, i7, i9, i11 \(4 of 12"):
        watch.check()
    watch.check()  # reported once
