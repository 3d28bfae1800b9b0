"""What is printed before the first step."""

import pytest
import torch

from segbench.training.description import has_fast_bf16


@pytest.mark.parametrize(
    ("device", "capability", "expected"),
    [
        ("cpu", "AVX2", False),
        ("cpu", "DEFAULT", False),
        ("cpu", "AVX512", True),
        ("NVIDIA H100", "AVX2", True),
    ],
)
def test_bf16_is_slow_on_a_cpu_without_its_instructions(monkeypatch, device, capability, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert has_fast_bf16(device) is expected
