"""Names and pretrained weights of encoders: near misses, no internet, the packaged weights."""

from __future__ import annotations

import copy
import sys
import time
import urllib.error
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from timm.layers import Conv2dSame
from torch import nn

from segbench.errors import EndedBySignalError
from segbench.models import encoders, hub, smp, torchvision_zoo


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("resnet43", "resnet34"),
        ("tu-convnext_tinny", "tu-convnext_tiny"),
        ("vit_tiny_patch16_224", "tu-vit_tiny_patch16_224"),
    ],
)
def test_unknown_encoder_lists_the_closest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=near):
        smp.unet(11, encoder_name=wrong)


@pytest.mark.parametrize("name", ["resnet34", "tu-resnet18"])
def test_weights_without_internet_fail_fast(
    name: str, no_network: None, capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"not in the cache .*no route.*HF_HOME.*=null"):
        smp.unet(11, encoder_name=name, encoder_weights="imagenet")
    assert time.monotonic() - start < 2 * hub.CONNECT_SECONDS
    assert capfd.readouterr() == ("", "")


def test_torchvision_weights_without_internet_fail_fast(no_network: None) -> None:
    with pytest.raises(ValueError, match=r"resnet50-.*pth there, set TORCH_HOME.*=null"):
        torchvision_zoo.fcn_resnet50(11, encoder_weights="imagenet")


def test_offline_mode_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.unreachable("https://example.org") == "HF_HUB_OFFLINE is set"


@pytest.mark.parametrize("name", ["resnet34", "tu-resnet18"])
def test_unknown_set_of_weights_lists_the_known(name: str) -> None:
    with pytest.raises(ValueError, match="imagenet"):
        smp.unet(11, encoder_name=name, encoder_weights="imagenette")


def test_cached_weights_need_no_network(no_network: None, tmp_path: Path) -> None:
    settings = encoders.smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]
    folder = tmp_path / f"models--{settings['repo_id'].replace('/', '--')}"
    snapshot = folder / "snapshots" / settings["revision"]
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    encoders.check_encoder_weights("resnet18", "imagenet")


@pytest.mark.parametrize("name", encoders.PACKAGED)
def test_packaged_weights(name: str) -> None:
    """Pretrained batch norm has seen images: its statistics are far from the initial 0 and 1."""
    pytest.importorskip(encoders.PACKAGED[name].replace("-", "_"))
    encoder = smp.unet(11, encoder_name=name, encoder_weights="package").encoder
    variances = [v for key, v in encoder.state_dict().items() if key.endswith("running_var")]
    assert len(variances) > 40
    assert all(not torch.allclose(v, torch.ones_like(v)) for v in variances)
    assert all((v >= 0).all() for v in variances)


@pytest.mark.parametrize("name", encoders.PACKAGED)
def test_missing_package_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = encoders.PACKAGED[name]
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(ValueError, match=rf"{package}.*segbench\[pretrained\]"):
        smp.unet(11, encoder_name=name, encoder_weights="package")


def test_other_encoders_have_no_package() -> None:
    with pytest.raises(ValueError, match=r"for 'resnet34'; it exists for .*_lite0 and .*_lite2"):
        smp.unet(11, encoder_name="resnet34", encoder_weights="package")


def test_a_misspelled_package_names_the_package() -> None:
    with pytest.raises(ValueError, match=r"Expected null, `package`, or `imagenet` with"):
        smp.unet(11, encoder_name="tu-tf_efficientnet_lite0", encoder_weights="packaged")


def test_a_signal_while_a_model_is_built_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*args: object, **kwargs: object) -> None:
        raise EndedBySignalError("stopped by SIGTERM")

    monkeypatch.setattr("segmentation_models_pytorch.Unet", ended)
    with pytest.raises(EndedBySignalError):
        smp.unet(11, encoder_name="resnet18")


def test_drop_path_needs_an_encoder_that_has_it() -> None:
    from segbench.models.smp_transformers import segformer

    with pytest.raises(ValueError, match="no effect on 'resnet18'"):
        segformer(11, encoder_name="resnet18")


def test_decoder_channels_must_fit_the_depth() -> None:
    with pytest.raises(ValueError, match="one for each of the 5 stages"):
        smp.unet(11, decoder_channels=[64, 32])


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_of_even_maps_is_that_of_timm(kernel: int) -> None:
    conv = Conv2dSame(3, 4, kernel, stride=2)
    image = torch.randn(2, 3, 12, 18)
    expected = conv(image)
    encoders.fix_same_padding(conv)
    assert type(conv) is encoders.EvenSameConv
    assert torch.equal(conv(image), expected)


def test_same_padding_of_other_strides_and_dilations_is_unchanged() -> None:
    network = nn.Sequential(Conv2dSame(3, 4, 3, stride=1), Conv2dSame(4, 4, 3, 2, dilation=2))
    encoders.fix_same_padding(network)
    assert {type(module) for module in network} == {Conv2dSame}


@pytest.mark.parametrize("ratio", [1, 2])
def test_fused_attention_is_that_of_smp(ratio: int) -> None:
    torch.manual_seed(0)
    theirs = Attention(dim=8, num_heads=2, qkv_bias=True, sr_ratio=ratio)
    ours = copy.deepcopy(theirs)
    encoders.fuse_attention(nn.Sequential(ours))
    assert type(ours) is encoders.FusedAttention
    x = torch.randn(2, 24, 8)
    for module in (theirs, ours):
        module(x, 4, 6).square().sum().backward()
    torch.testing.assert_close(ours(x, 4, 6), theirs(x, 4, 6))
    for ours_, theirs_ in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_.grad, theirs_.grad)


def test_every_mit_encoder_has_it() -> None:
    found = {type(module) for module in smp.unet(2, encoder_name="mit_b0").modules()}
    assert encoders.FusedAttention in found
    assert Attention not in found
