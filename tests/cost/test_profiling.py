"""Costs are counted exactly if possible, otherwise measured with their spread."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from segbench.cost import profiling
from segbench.cost.profiling import (
    Mode,
    count_macs,
    count_params,
    measure_rate,
    measure_times,
    peak_memory,
)

CPU = torch.device("cpu")


def test_the_cost_of_a_convolution_follows_the_formula() -> None:
    conv = nn.Conv2d(3, 8, kernel_size=5, stride=2, padding=2, bias=False)
    assert count_params(conv) == 8 * 3 * 5 * 5
    assert count_macs(conv, (32, 48)) == (16 * 24) * 8 * 3 * 5 * 5


def test_groups_and_transposed_convolutions_too() -> None:
    depthwise = nn.Conv2d(3, 3, kernel_size=3, padding=1, groups=3)
    assert count_macs(depthwise, (16, 16)) == 16 * 16 * 3 * 9
    up = nn.ConvTranspose2d(3, 4, kernel_size=2, stride=2)  # every input pixel meets every weight
    assert count_macs(up, (8, 8)) == 8 * 8 * 3 * 4 * 4


def test_torchvision_publishes_the_same_number() -> None:
    from torchvision.models import resnet18
    from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights as Weights
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    assert round(count_macs(resnet18(), (224, 224)) / 1e9, 3) == 1.814
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    published = Weights.COCO_WITH_VOC_LABELS_V1.meta
    assert count_params(network) == published["num_params"]
    assert count_macs(network, (520, 520)) / 1e9 == pytest.approx(published["_ops"], abs=1e-3)


def test_attention_is_counted_on_every_device() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            tokens = image.flatten(2).transpose(1, 2)
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    assert count_macs(Attention(), (4, 4)) == 2 * 16 * 16 * 3


def test_counting_does_not_change_the_training_mode() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    count_macs(model, (1, 1))
    assert model.training


def test_latency_is_the_time_of_a_call() -> None:
    times = measure_times(lambda: time.sleep(0.02), CPU, seconds=0.3, rounds=3)
    assert 0.02 <= times.median < 0.04
    assert times.median <= times.p95
    assert times.calls >= 9


def test_waiting_takes_no_cpu_time() -> None:
    times = measure_times(lambda: time.sleep(0.02), CPU, seconds=0.2, rounds=2)
    assert times.cpu < 0.01 < times.median


@pytest.mark.slow  # on a busy machine the ratio is meaningless
def test_twice_the_depth_takes_about_twice_as_long() -> None:
    def stack(depth: int) -> nn.Module:
        return nn.Sequential(*(nn.Conv2d(3, 3, 9, padding=4) for _ in range(depth))).eval()

    image = torch.randn(1, 3, 128, 128)
    models = stack(6), stack(12)
    with torch.inference_mode():
        # CPU time, minimum of three interleaved tries: other programs can only increase it.
        tries = [
            [measure_times(lambda m=m: m(image), CPU, 0.3, 2).cpu for m in models] for _ in range(3)
        ]
    once, twice = (min(times) for times in zip(*tries, strict=True))
    assert 1.4 < twice / once < 2.8


def test_two_measurements_agree_within_the_spread_they_print() -> None:
    first, second = (
        measure_times(lambda: time.sleep(0.01), CPU, seconds=0.3, rounds=5) for _ in range(2)
    )
    printed = max(first.spread, second.spread) + 0.05
    assert abs(first.median - second.median) / first.median < printed


def test_peak_memory_counts_what_a_call_allocates_and_the_weights() -> None:
    model = nn.Linear(1 << 10, 1 << 10)  # 4 MiB
    small = peak_memory(lambda: None, model, CPU)
    large = peak_memory(lambda: torch.ones(1 << 24), model, CPU)  # 64 MiB
    assert small is not None
    assert large is not None
    assert 4 <= small < 8
    assert 62 <= large - small < 68


def test_modes_are_put_together_with_plus() -> None:
    assert Mode.parse("eager") == Mode()
    assert Mode.parse("channels_last+bf16") == Mode(channels_last=True, dtype=torch.bfloat16)
    assert Mode.parse("compile").compiled


@pytest.mark.parametrize("text", ["chanels_last", "bf16+fp16", "eager+bf16", ""])
def test_an_unknown_mode_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match="modes: "):
        Mode.parse(text)


def test_a_rate_waits_for_the_device_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(profiling, "_synchronize", lambda device: events.append("wait"))

    def call() -> None:
        events.append("call")
        time.sleep(0.001)

    rate = measure_rate(call, CPU, seconds=0.05, rounds=2)
    assert 300 < rate <= 1000
    assert events.count("wait") == 4
    assert events.count("call") > 20


def test_a_view_of_a_parameter_passes_through_a_layer() -> None:
    """Learned queries do; the counter of torch alone fails on them."""

    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))
            self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.last(self.norm(self.weight.expand(len(image), -1, -1)))

    model = Learned()
    assert count_macs(model, (8, 8)) == 3 * 4 * 2
    assert all(parameter.requires_grad for parameter in model.parameters())
