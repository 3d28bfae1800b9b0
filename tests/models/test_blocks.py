"""Building blocks shared by several models."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

import segbench.models.blocks  # noqa: F401  # it sets the rule


@pytest.mark.parametrize(("mode", "dtype"), [("nearest", "bfloat16"), ("bilinear", "float32")])
def test_autocast_on_a_gpu_widens_only_what_it_must(
    mode: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If an earlier test left this on, torch would resize with other operators.
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: False)
    with FakeTensorMode():  # dtypes are known without a GPU
        features = torch.empty(1, 2, 4, 4, dtype=torch.bfloat16, device="cuda")
        before = torch.is_autocast_enabled("cuda")
        torch.set_autocast_enabled("cuda", True)
        try:
            large = F.interpolate(features, scale_factor=2, mode=mode)
        finally:
            torch.set_autocast_enabled("cuda", before)
    assert large.dtype == getattr(torch, dtype)
