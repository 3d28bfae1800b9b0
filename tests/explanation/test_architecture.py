"""A drawing shows every parameter once, and an arrow only where a tensor was passed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from segbench.cost.profiling import count_macs, count_params
from segbench.explanation.architecture import trace
from segbench.explanation.drawing import _size, as_svg
from segbench.models.hrnet import HRNet
from segbench.models.smp_transformers import segformer
from segbench.models.unet import UNet


class WithoutSkip(nn.Module):
    """Two parts in sequence, and a third that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1))
        self.unused = nn.Sequential(nn.Conv2d(3, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.interpolate(self.head(self.encoder(image)), scale_factor=2)


def test_the_stages_of_a_small_network() -> None:
    found = trace(WithoutSkip())
    assert [(s.part, s.stride, s.channels) for s in found.stages] == [
        ("encoder", 2, 4),
        ("head", 2, 2),
    ]
    assert found.arrows == [(0, 1)]
    assert found.stages[0].params == 3 * 4 * 9 + 4
    assert found.stages[0].macs == 128 * 160 * 3 * 4 * 9


def test_a_unet_has_a_skip_on_every_level() -> None:
    found = trace(UNet(5, width=4, depth=2))
    kinds = [(stage.part, stage.stride) for stage in found.stages]
    skips = {(kinds[a], kinds[b]) for a, b in found.arrows if b != a + 1}
    assert skips == {(("down", 1), ("merge", 1)), (("down", 2), ("merge", 2))}


@pytest.mark.parametrize(
    "build",
    [
        lambda: UNet(5, width=4, depth=2),
        lambda: HRNet(5, width=4),
        lambda: segformer(5, decoder_segmentation_channels=8),
    ],
)
def test_every_parameter_and_every_product_is_in_one_stage(build: object) -> None:
    torch.manual_seed(0)
    model = build().eval()  # type: ignore[operator]
    found = trace(model)
    assert sum(stage.params for stage in found.stages) == found.params == count_params(model)
    assert found.macs == count_macs(model, found.size)


def test_the_drawing_is_svg_with_a_box_per_stage() -> None:
    found = trace(UNet(5, width=4, depth=2))
    root = ElementTree.fromstring(as_svg(found, "a <name>"))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [box for box in root.iter(f"{space}rect") if box.get("rx")]
    lines = [line for line in root.iter(f"{space}path") if line.get("marker-end")]
    assert len(boxes) == len(found.stages)
    assert len(lines) == len(found.arrows)
    assert root.find(f"{space}title").text == "a <name>"  # type: ignore[union-attr]


def test_small_networks_do_not_have_zero_parameters() -> None:
    assert _size(1_967, 1e6, "M") == "1.97 K"
    assert _size(1_420_000, 1e6, "M") == "1.42 M"
    assert _size(134_460_000, 1e6, "M") == "134.46 M"
    assert _size(850_000, 1e9, "G") == "850 K"
