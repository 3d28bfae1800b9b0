"""Heat maps highlight what the model uses, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segbench.explanation.features import (
    chosen_pixels,
    coarsest_layer,
    entropy,
    heat_map,
    run_with_features,
)
from segbench.models.unet import UNet

PLACE = (slice(8, 12), slice(20, 26))


class OnlyOnePlace(nn.Module):
    """Class 1 wherever the red of one pixel is bright; class 0 depends on nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.features.weight)

    def forward(self, image: Tensor) -> Tensor:
        red = self.features(image)[:, :1]
        seen = red[..., PLACE[0], PLACE[1]].mean((2, 3), keepdim=True)
        return torch.cat([torch.zeros_like(red), seen.expand_as(red)], dim=1)


@pytest.fixture
def noise() -> Tensor:
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0)) + 0.1


def test_the_heat_map_peaks_at_the_pixels_the_model_uses(noise: Tensor) -> None:
    heat = heat_map(OnlyOnePlace().eval(), noise, label=1, layer="features", method="hirescam")
    assert heat.shape == (32, 40)
    assert heat[PLACE].min() > 0
    assert heat.max() == 1
    elsewhere = heat.clone()
    elsewhere[PLACE] = 0
    assert elsewhere.max() == 0


def test_gradcam_weighs_the_channel_that_the_class_uses(noise: Tensor) -> None:
    heat = heat_map(OnlyOnePlace().eval(), noise, label=1, layer="features", method="gradcam")
    red = noise[0, 0] / noise[0, 0].max()
    torch.testing.assert_close(heat, red)


def test_a_class_that_ignores_the_features_has_no_evidence(noise: Tensor) -> None:
    heat = heat_map(OnlyOnePlace().eval(), noise, label=0, layer="features")
    assert heat.max() == 0


def test_one_pixel_is_explained_by_its_receptive_field(noise: Tensor) -> None:
    torch.manual_seed(0)
    local = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)).eval()
    where = chosen_pixels((32, 40), pixel=[5, 6], region=None)
    heat = heat_map(local, noise, label=0, where=where, layer="0", method="hirescam")
    reach = torch.zeros(32, 40, dtype=torch.bool)
    reach[4:7, 5:8] = True
    assert heat[~reach].max() == 0


def test_frozen_weights_and_no_grad_are_supported(noise: Tensor) -> None:
    model = OnlyOnePlace().eval().requires_grad_(False)
    with torch.no_grad():
        assert heat_map(model, noise, label=1, layer="features").max() == 1


def test_the_default_layer_is_the_deepest_map(noise: Tensor) -> None:
    model = UNet(5, width=4, depth=3).eval()
    layer = coarsest_layer(model, noise)
    assert layer == "dropout"  # the last layer of the deepest level
    found = run_with_features(model, noise)
    assert found.layer == layer
    assert found.features.shape == (1, 32, 4, 5)


def test_features_in_front_of_the_head(noise: Tensor) -> None:
    model = UNet(5, width=4, depth=2).eval()
    found = run_with_features(model, noise, "head.input")
    torch.testing.assert_close(model.head(found.features), found.logits)


def test_a_wrong_layer_is_explained(noise: Tensor) -> None:
    with pytest.raises(ValueError, match=r"no layer 'down.9'; did you mean 'down\.\d"):
        run_with_features(UNet(5, width=4, depth=2).eval(), noise, "down.9")


def test_entropy_is_one_for_uniform_and_zero_for_certain_probabilities() -> None:
    probs = torch.tensor([[[0.25, 1.0]], [[0.25, 0.0]], [[0.25, 0.0]], [[0.25, 0.0]]])
    torch.testing.assert_close(entropy(probs), torch.tensor([[1.0, 0.0]]))


@pytest.mark.parametrize(
    ("pixel", "region", "expected"),
    [
        ([32, 0], None, "outside the image"),
        (None, [0, 0, 5, 41], "outside the image"),
        (None, [5, 5, 5, 9], "outside the image"),
        ([0, 0], [0, 0, 1, 1], "set either pixel or region"),
    ],
)
def test_wrong_positions_are_refused(
    pixel: list[int] | None, region: list[int] | None, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        chosen_pixels((32, 40), pixel, region)


class Tokens(nn.Module):
    """Patches as a sequence, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 8, stride=8)

    def forward(self, image: Tensor) -> Tensor:
        return self.patches(image).flatten(2).transpose(1, 2)


class OnTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Tokens()
        self.grid = nn.Unflatten(2, (4, 5))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.grid(self.encoder(image).transpose(1, 2))
        return nn.functional.interpolate(self.head(maps), image.shape[2:])


def test_an_encoder_without_maps_is_left_for_the_coarsest_map(noise: Tensor) -> None:
    assert run_with_features(OnTokens().eval(), noise).layer == "head"
    with pytest.raises(ValueError, match=r"layer=encoder: its output is not a feature map"):
        run_with_features(OnTokens().eval(), noise, "encoder")
