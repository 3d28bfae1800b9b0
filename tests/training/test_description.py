"""What is printed before the first step."""

from unittest.mock import MagicMock

import pytest
import torch

from segbench.training.description import has_fast_bf16, print_description


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


def test_a_small_model_does_not_have_zero_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    result = MagicMock(params=1_967, seed=0)
    result.name, result.data_info.num_images = "tiny-mine", {"train": 1}
    result.data_info.fingerprint = {"val": "a"}
    print_description(result)
    assert "tiny-mine seed 0: 1.97 K parameters, 1 training image, " in capsys.readouterr().out
    print_description(result, frozen=1_200)
    assert "1.97 K parameters (1.20 K frozen), 1 training image, " in capsys.readouterr().out
