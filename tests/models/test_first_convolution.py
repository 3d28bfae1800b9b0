"""Every model accepts images of any number of channels; RGB weights are inflated as in timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from segbench.config.compose import compose_checked, register
from segbench.config.places import complete_models
from segbench.models import smp, torchvision_zoo
from segbench.models.first_convolution import inflated, widen_first_convolution
from segbench.models.unet import UNet
from segbench.models.weights import load_weights

MODELS = complete_models()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_yaml_takes_in_channels_from_the_data(name: str) -> None:
    import inspect

    from segbench.artifacts.build import locate

    register()
    node = compose_checked("train", [f"model={name}"]).model
    assert "in_channels" in inspect.signature(locate(node["_target_"])).parameters
    assert "in_channels" not in node


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_an_image_of_equal_channels_gives_what_gray_gave(channels: int) -> None:
    weight = torch.randn(8, 3, 3, 3)
    wide = inflated(weight, channels)
    assert wide.shape == (8, channels, 3, 3)
    gray = torch.rand(1, 1, 9, 9)
    expected = nn.functional.conv2d(gray.expand(1, 3, 9, 9), weight)
    found = nn.functional.conv2d(gray.expand(1, channels, 9, 9), wide)
    if channels in (1,):
        torch.testing.assert_close(found, expected)
    repeated = weight.repeat(1, 3, 1, 1)[:, :channels] * (3 / channels)
    if channels > 1:
        torch.testing.assert_close(wide, repeated)


def test_torchvision_and_smp_follow_the_same_rule() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    weight = network[0].weight.detach().clone()
    widen_first_convolution(network, 5, "imagenet")
    torch.testing.assert_close(network[0].weight.detach(), inflated(weight, 5))
    fresh = torchvision_zoo.lraspp_mobilenet_v3_large(2, in_channels=5).eval()
    with torch.inference_mode():
        assert fresh(torch.rand(1, 5, 40, 50)).shape == (1, 2, 40, 50)
        deep = smp.unet(2, encoder_name="resnet18", in_channels=6).eval()
        assert deep(torch.rand(1, 6, 40, 50)).shape == (1, 2, 40, 50)


def test_weights_for_rgb_are_inflated_and_reported(tmp_path: Path) -> None:
    rgb, wide = UNet(2, width=4, depth=1), UNet(2, width=4, depth=1, in_channels=4)
    torch.save(rgb.state_dict(), tmp_path / "rgb.pt")
    report = load_weights(wide, str(tmp_path / "rgb.pt"))
    key = next(key for key in rgb.state_dict() if rgb.state_dict()[key].ndim == 4)
    torch.testing.assert_close(wide.state_dict()[key], inflated(rgb.state_dict()[key], 4))
    assert report.inflated == (f"{key}: 3 -> 4 channels",)
    assert f"{key}: 3 -> 4 channels" in str(report)
    assert not load_weights(UNet(2, width=4, depth=1), str(tmp_path / "rgb.pt")).inflated
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ValueError, match="belong to another architecture"):
        load_weights(rgb, str(tmp_path / "wide.pt"))
