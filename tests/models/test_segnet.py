"""SegNet's unpooling: the same values as torch, and deterministic on request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from segbench.models.segnet import SegNet, unpool


@pytest.fixture
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("deterministic")
def test_learns_with_deterministic_algorithms() -> None:
    """Torch has no deterministic MaxUnpool2d, not even on CPUs."""
    gradients = []
    for _ in range(2):
        torch.manual_seed(0)
        model = SegNet(3)
        model(torch.randn(1, 3, 37, 53)).square().mean().backward()
        gradients.append(model.encoder[0][0][0].weight.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpool_equals_torch(dtype: torch.dtype, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 14, dtype=dtype).to(memory_format=layout)
    maxima, where = nn.MaxPool2d(2, return_indices=True)(x)
    gradient = torch.randn(2, 5, 6, 14, dtype=dtype)
    results = []
    for function in (unpool, nn.MaxUnpool2d(2)):
        leaf = maxima.clone().requires_grad_()
        y = function(leaf, where)
        y.backward(gradient)
        results.append((y.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
