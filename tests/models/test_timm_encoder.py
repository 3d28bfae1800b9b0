"""Encoders of timm: what is refused, and sizes that windows and patches do not divide."""

from __future__ import annotations

import pytest
import torch

from segbench.models import hub
from segbench.models.eomt import EoMT
from segbench.models.timm_encoder import PlainViT, PyramidEncoder, build_timm


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match=r"no such model; expected a C.*names: convnext_tiny"):
        PyramidEncoder("convnext_tinyy", None, 0.0, 3)
    with pytest.raises(
        ValueError, match=r"no such model; expected a plain.*names: vit_small_patch"
    ):
        PlainViT("vit_smal_patch14_dinov2", None)


def test_encoders_of_another_kind() -> None:
    """Before timm would refuse to build them, in words about its own arguments."""
    with pytest.raises(ValueError, match="'resnet18': expected a ConvNeXt or Swin of timm"):
        PyramidEncoder("resnet18", None, 0.0, 3)
    with pytest.raises(ValueError, match=r"'swinv2_tiny_window8_256': expected.*names: swin_tiny_"):
        PyramidEncoder("swinv2_tiny_window8_256", None, 0.0, 3)
    for name in ("resnet18", "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224"):
        with pytest.raises(ValueError, match=f"'{name}': expected a plain vision transformer"):
            PlainViT(name, None)
    with pytest.raises(ValueError, match="'resnet18': expected a plain vision transformer"):
        EoMT(3, "resnet18", image_size=32)


@pytest.mark.parametrize("name", ["vit_small_patch16_rope_mixed_224", "vit_tiny_patch16_224"])
def test_tokens_are_those_of_timm(name: str) -> None:
    """Also where each block turns the tokens in its own way."""
    encoder = PlainViT(name, None).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = encoder.net.forward_features(x)[:, encoder.prefix :]
        torch.testing.assert_close(encoder(x).flatten(2).transpose(1, 2), expected)


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda address: "no network")
    monkeypatch.setattr(hub, "_cached", lambda repository, revision: None)
    with pytest.raises(ValueError, match="expected null or 'pretrained'"):
        build_timm("convnext_tiny", "imagenet", 3)
    with pytest.raises(ValueError, match=r"is not in the cache.*encoder_weights=null"):
        build_timm("vit_small_patch14_dinov2", "pretrained", 3)


def test_blocks_that_the_encoder_has_not() -> None:
    with pytest.raises(ValueError, match="num_blocks=13 must be 1 to 12"):
        EoMT(3, image_size=32, num_blocks=13)


def test_queries_beside_rotary_positions() -> None:
    """EoMT on DINOv3: the places of the patches are the same with and without queries."""
    model = EoMT(3, "vit_small_patch16_dinov3", image_size=32, num_queries=4).eval()
    model.set_progress(1.0)
    x = torch.randn(1, 3, 48, 32)
    with torch.inference_mode():
        assert model(x).shape == (1, 3, 48, 32)
        turned = model(x.flip(3)).flip(3)
    assert not torch.allclose(model(x), turned)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_images_of_other_channels(in_channels: int) -> None:
    encoder = PlainViT("vit_tiny_patch16_224", None, in_channels=in_channels).eval()
    with torch.inference_mode():
        assert encoder(torch.randn(1, in_channels, 48, 32)).shape == (1, 192, 3, 2)
