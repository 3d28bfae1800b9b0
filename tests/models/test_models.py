"""Every conf/model: any image size, any number of classes, batches of one, bf16, save and load."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
import yaml
from torch import nn
from torchvision.models import segmentation

from segbench.models.blocks import allow_batches_of_one
from segbench.models.smp_network import SmpNetwork
from segbench.models.weights import load_weights

CONF = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(f.stem for f in CONF.glob("*.yaml") if "???" not in f.read_text("utf-8"))
# Large; what they add to their smaller siblings is numbers.
SLOW = ("segformer_b3", "segformer_b4", "segformer_b5", "vit_linear_base", "eomt_vit_base")
CLASSES = 11
# Number of classes, millions of parameters (torchvision's: according to its documentation).
PAPERS = {
    "unet": (2, 31.03),
    "segnet": (11, 29.5),
    "fcn": (21, 134.5),
    "hrnet_w48": (19, 65.9),
    "fcn_resnet50": (21, 35.32),
    "tv_deeplabv3_resnet50": (21, 42.00),
    "lraspp_mobilenet_v3_large": (21, 3.22),
    "segformer_b2": (19, 27.5),
    "upernet_convnext_tiny": (150, 60.2),
    "upernet_swin_tiny": (150, 59.9),
    "mask2former_swin_tiny": (100, 47.4),  # as for 150 classes, which need 150 queries here
}


def build(name: str, num_classes: int = CLASSES, **changes: object) -> nn.Module:
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    assert "num_classes" not in config, "num_classes comes from the data, never from the YAML"
    module, _, attribute = config.pop("_target_").rpartition(".")
    torch.manual_seed(0)
    return getattr(importlib.import_module(module), attribute)(num_classes=num_classes, **config)


def image(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES],
)
def named_model(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """Builds each model once; tests are grouped by it, so only one is in memory at a time."""
    return request.param, build(request.param)


@pytest.fixture
def model(named_model: tuple[str, nn.Module]) -> nn.Module:
    named_model[1].zero_grad(set_to_none=True)
    return named_model[1]


def test_learns_from_one_image_of_odd_size(model: nn.Module) -> None:
    model.train()
    if hasattr(model, "forward_with_aux"):
        logits, aux = model.forward_with_aux(image(1, 37, 53))
    else:
        logits, aux = model(image(1, 37, 53)), []
    channels = [CLASSES] * (1 + len(aux))
    if hasattr(model, "boundary_weight"):
        channels[-1] = 1
    assert [output.shape for output in (logits, *aux)] == [(1, c, 37, 53) for c in channels]
    sum(output.square().mean() for output in (logits, *aux)).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None]
    assert not without, "parameters without a gradient stop distributed training"
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_prediction_ignores_the_rest_of_the_batch(model: nn.Module) -> None:
    model.eval()
    pair = image(2, 24, 40)
    with torch.inference_mode():
        together, alone = model(pair)[:1], model(pair[:1])
    assert together.shape == (1, CLASSES, 24, 40)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


def test_finite_in_bfloat16(model: nn.Module) -> None:
    model.train()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(image(2, 33, 35))
    assert logits.shape == (2, CLASSES, 33, 35)
    assert torch.isfinite(logits).all()


def test_single_pixel(model: nn.Module) -> None:
    model.eval()
    with torch.inference_mode():
        assert model(image(1, 1, 1)).shape == (1, CLASSES, 1, 1)


def test_last_convolution_of_the_head_makes_the_classes(model: nn.Module) -> None:
    if hasattr(model, "training_loss"):  # of queries, one of which may be nothing
        assert model.head.classes.out_features == CLASSES + 1
        return
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    last = [m for m in model.head.modules() if isinstance(m, convolutions)][-1]
    assert last.out_channels == CLASSES


def test_auxiliary_heads_are_absent_from_plain_forward(model: nn.Module) -> None:
    if not getattr(model, "aux_head", None):
        pytest.skip("no auxiliary head")
    assert 0 < model.aux_weight <= 1
    called = []
    handle = model.aux_head.register_forward_hook(lambda *_: called.append(1))
    with torch.no_grad():
        model.eval()(image(1, 32, 32))
        assert not called
        model.forward_with_aux(image(1, 32, 32))
        assert called
    handle.remove()


def test_state_dict_round_trip(named_model: tuple[str, nn.Module]) -> None:
    name, model = named_model
    again = build(name)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(1)
    again.load_state_dict(model.state_dict(), strict=True)
    x = image(1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(x), model.eval()(x))


@pytest.mark.parametrize("num_classes", [1, 2, 150])
@pytest.mark.parametrize(
    "name", ["custom", "hrnet_w18", "segformer_b0", "lraspp_mobilenet_v3_large", "unet_resnet18"]
)
def test_number_of_classes(name: str, num_classes: int) -> None:
    with torch.inference_mode():
        assert build(name, num_classes).eval()(image(1, 20, 20)).shape == (1, num_classes, 20, 20)


@pytest.mark.parametrize("name", PAPERS)
def test_as_many_parameters_as_published(name: str) -> None:
    num_classes, millions = PAPERS[name]
    count = sum(p.numel() for p in build(name, num_classes).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(360, 480), (720, 960)])
def test_camvid_sizes(model: nn.Module, size: tuple[int, int]) -> None:
    model.train()
    logits = model(image(1, *size))
    assert logits.shape == (1, CLASSES, *size)
    logits.mean().backward()
    assert torch.isfinite(logits).all()


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [1, 2, 150])
@pytest.mark.parametrize("name", NAMES)
def test_number_of_classes_of_every_model(name: str, num_classes: int) -> None:
    model = build(name, num_classes)
    assert model(image(2, 37, 53)).shape == (2, num_classes, 37, 53)


def test_a_typo_is_an_error() -> None:
    with pytest.raises(TypeError, match="decoder_chanels"):
        build("unet_resnet34", decoder_chanels=[1, 2, 3, 4, 5])


def test_smp_adapter_computes_what_smp_computes() -> None:
    theirs = smp.Unet("resnet18", encoder_weights=None, classes=CLASSES).eval()
    ours = SmpNetwork(theirs).eval()
    x = image(2, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("unet_resnet50", lambda: smp.Unet("resnet50", encoder_weights=None, classes=CLASSES)),
        ("unetplusplus_resnet34", lambda: smp.UnetPlusPlus(encoder_weights=None, classes=CLASSES)),
        ("linknet_resnet34", lambda: smp.Linknet(encoder_weights=None, classes=CLASSES)),
        ("fpn_resnet34", lambda: smp.FPN(encoder_weights=None, classes=CLASSES, upsampling=4)),
        ("pan_resnet34", lambda: smp.PAN(encoder_weights=None, classes=CLASSES)),
        ("upernet_resnet34", lambda: smp.UPerNet(encoder_weights=None, classes=CLASSES)),
        (
            "deeplabv3_resnet50",
            lambda: smp.DeepLabV3("resnet50", encoder_weights=None, classes=CLASSES),
        ),
        (
            "deeplabv3plus_resnet50",
            lambda: smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=CLASSES),
        ),
        (
            "dpt_vit_small",
            lambda: smp.DPT(
                "tu-vit_small_patch16_224", encoder_weights=None, classes=CLASSES,
                dynamic_img_size=True,
            ),
        ),
    ],
)  # fmt: skip
def test_every_smp_model_computes_what_smp_computes(
    name: str, theirs: Callable[[], nn.Module], tmp_path: Path
) -> None:
    """Our config, with the weights of smp's model at its own defaults."""
    reference = theirs().eval()
    torch.save(reference.state_dict(), tmp_path / "smp.pth")
    ours = build(name).eval()
    report = load_weights(ours, str(tmp_path / "smp.pth"))
    assert not report.missing
    assert not report.reinitialized
    x = image(1, 256, 256)  # ours pads smaller images for PAN
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), reference(x))


def test_torchvision_adapter_computes_what_torchvision_computes(tmp_path: Path) -> None:
    theirs = segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
    ).eval()
    torch.save(theirs.state_dict(), tmp_path / "fcn.pth")
    ours = build("fcn_resnet50").eval()
    report = load_weights(ours, str(tmp_path / "fcn.pth"))
    assert report.loaded == len(theirs.state_dict())
    x = image(1, 45, 61)
    with torch.inference_mode():
        logits, (aux,) = ours.forward_with_aux(x)
        torch.testing.assert_close(logits, theirs(x)["out"])
        torch.testing.assert_close(aux, theirs(x)["aux"])


def test_unet_is_bigger_with_width_and_depth() -> None:
    def count(width: int, depth: int) -> int:
        model = build("unet", width=width, depth=depth)
        assert model(image(1, 9, 5)).shape == (1, CLASSES, 9, 5)
        return sum(p.numel() for p in model.parameters())

    assert count(4, 2) < count(4, 3) < count(8, 3)
    with pytest.raises(ValueError, match="at least 1"):
        build("unet", depth=0)


def test_fcn_deconvolution_is_initialized_to_bilinear_interpolation() -> None:
    up = build("fcn", fc_channels=8).head.up8
    with torch.no_grad():
        ramp = up(torch.arange(8.0).expand(1, CLASSES, 8, 8))[0, 0, 32, 12:-12]
    torch.testing.assert_close(ramp.diff(), torch.full_like(ramp.diff(), 1 / 8))


def test_custom_arguments_are_checked() -> None:
    for changes, message in (({"width": 6}, "multiple of 4"), ({"dilations": []}, "dilations")):
        with pytest.raises(ValueError, match=message):
            build("custom", **changes)
    assert build("custom", aux_weight=0).forward_with_aux(image(1, 8, 8))[1] == []


def test_stochastic_depth_acts_in_training_only() -> None:
    x = image(1, 16, 16)
    for name in ("custom", "segformer_b0"):
        dropping = build(name, drop_path_rate=0.9)
        plain = build(name, drop_path_rate=0.0)
        with torch.no_grad():
            torch.testing.assert_close(dropping.eval()(x), plain.eval()(x))
            assert not torch.allclose(dropping.train()(x), plain.train()(x))


def test_norm_after_pooling_is_ordinary_for_larger_batches() -> None:
    def branch() -> nn.Sequential:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.BatchNorm2d(4)))

    ours, plain = nn.Sequential(branch()), nn.Sequential(branch())
    allow_batches_of_one(ours)
    x = torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(ours(x), plain(x))
    assert ours.state_dict().keys() == plain.state_dict().keys()
    with pytest.raises(ValueError, match="more than 1 value"):
        plain(x[:1])
    assert torch.isfinite(ours(x[:1])).all()
