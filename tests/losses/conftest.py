"""Small batches with all the cases that break losses, and a common comparison."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

IGNORE = 255


@pytest.fixture
def batch() -> Callable[..., tuple[Tensor, Tensor]]:
    """Makes float64 logits and an int64 mask with ignored pixels.

    Class 1 is absent from the first image, class 2 from the batch, and the last of three or more
    images is ignored altogether.
    """

    def make(images=3, num_classes=5, height=7, width=9, seed=0, scale=2.0):
        generator = torch.Generator().manual_seed(seed)
        shape = (images, num_classes, height, width)
        logits = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        mask = torch.randint(0, num_classes, (images, height, width), generator=generator)
        if num_classes > 2:
            mask[0][mask[0] == 1] = 0
            mask[mask == 2] = 0
        mask[torch.rand(mask.shape, generator=generator) < 0.15] = IGNORE
        if images > 2:
            mask[-1] = IGNORE
        return logits, mask

    return make


@pytest.fixture
def agree() -> Callable[..., None]:
    """Checks value and gradient of a loss in float32 against a reference in float64."""

    def check(loss: nn.Module, reference: Callable, logits: Tensor, mask: Tensor, tol=1e-6):
        expected_logits = logits.clone().requires_grad_()
        expected = reference(expected_logits, mask)
        (expected_gradient,) = torch.autograd.grad(expected, expected_logits)

        actual_logits = logits.float().requires_grad_()
        actual = loss(actual_logits, mask)
        (gradient,) = torch.autograd.grad(actual, actual_logits)

        assert actual.dtype == gradient.dtype == torch.float32
        assert actual.shape == ()
        assert expected > 0.01  # a loss of zero would agree with anything
        torch.testing.assert_close(actual.double(), expected, rtol=tol, atol=tol)
        scale = expected_gradient.abs().max()
        torch.testing.assert_close(
            gradient.double() / scale, expected_gradient / scale, rtol=0, atol=5e-6
        )

    return check
