"""The models are those of transformers: same weights, same logits, at two sizes, one of them odd.

Ours pad an odd image by repeating its border: the reference is given the padded image, and its
logits are cut.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.blocks import pad_to_stride, resize
from segbench.models.smp_transformers import segformer
from segbench.models.upernet import UPerNet
from segbench.models.vit_linear import ViTLinear
from segbench.models.weights import load_weights

transformers = pytest.importorskip("transformers")

CLASSES = 5
SIZES = ((64, 96), (75, 101))


def shaken(model: nn.Module) -> nn.Module:
    """Every parameter and statistic moved at random: zeros and ones would hide what is not used."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not name.startswith(("attn_mask_probs", "criterion")):
                noise = torch.rand(value.shape, generator=generator) * 0.1
                value.add_(noise if "running_var" in name else noise - 0.05)
    return model.eval()


def loaded(ours: nn.Module, theirs: nn.Module, folder: Path) -> nn.Module:
    """Ours with the weights of theirs, through a file; all of ours must be given."""
    torch.save(theirs.state_dict(), folder / "theirs.pt")
    report = load_weights(ours, str(folder / "theirs.pt"))
    assert not report.missing
    assert not report.reinitialized
    assert all(key.startswith("unused.") for key in report.unexpected), report.unexpected
    return ours.eval()


def image(size: tuple[int, int], batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(2))


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-5 of the largest logit."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, float(theirs.abs().max()))


def upernet(backbone: object) -> nn.Module:
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=32, num_labels=CLASSES, auxiliary_channels=256
    )
    return shaken(transformers.UperNetForSemanticSegmentation(config))


@pytest.mark.parametrize("backbone", ["convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_upernet(backbone: str, tmp_path: Path) -> None:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    if backbone.startswith("swin"):
        config = transformers.SwinConfig(out_features=stages)
    else:
        sizes, depths = [96, 192, 384, 768], [3, 3, 9, 3]
        config = transformers.ConvNextConfig(hidden_sizes=sizes, depths=depths, out_features=stages)
    theirs = upernet(config)
    ours = loaded(UPerNet(CLASSES, backbone, decoder_width=32), theirs, tmp_path)
    for size in SIZES:
        x = image(size)
        padded = pad_to_stride(x, 32)
        with torch.inference_mode():
            logits, (aux,) = ours.forward_with_aux(x)
            expected = theirs(padded).logits[..., : size[0], : size[1]]
            maps = theirs.backbone(padded).feature_maps
            expected_aux = resize(theirs.auxiliary_head(maps), like=padded)
            assert torch.equal(ours(x), logits)
        assert_close(logits, expected)
        assert_close(aux, expected_aux[..., : size[0], : size[1]])


@pytest.mark.parametrize(
    "depths", [(2, 2, 2, 2), pytest.param((3, 6, 40, 3), marks=pytest.mark.slow)]
)
def test_segformer(depths: tuple[int, ...], tmp_path: Path) -> None:
    """B1, and B5 beside it."""
    config = transformers.SegformerConfig(
        hidden_sizes=[64, 128, 320, 512], depths=list(depths), decoder_hidden_size=256,
        num_labels=CLASSES,
    )  # fmt: skip
    theirs = shaken(transformers.SegformerForSemanticSegmentation(config))
    name = "mit_b1" if depths[0] == 2 else "mit_b5"
    ours = loaded(segformer(CLASSES, encoder_name=name), theirs, tmp_path)
    for size in SIZES:
        x = image(size)
        padded = pad_to_stride(x, 32)
        with torch.inference_mode():
            expected = theirs(padded).logits
            expected = F.interpolate(expected, padded.shape[2:], mode="bilinear")
            assert_close(ours(x), expected[..., : size[0], : size[1]])


def features(hidden: Tensor, prefix: int, stride: int, padded: Tensor) -> Tensor:
    grid = [side // stride for side in padded.shape[2:]]
    return hidden[:, prefix:].transpose(1, 2).unflatten(2, grid)


def test_dinov2(tmp_path: Path) -> None:
    config = transformers.Dinov2Config(
        hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14
    )
    check_encoder(shaken(transformers.Dinov2Model(config)), "vit_small_patch14_dinov2", 1, tmp_path)


def test_dinov3(tmp_path: Path) -> None:
    """With biases, which the published weights do not need: timm's other variant has them."""
    config = transformers.DINOv3ViTConfig(num_register_tokens=4, pos_embed_rescale=None)
    theirs = shaken(transformers.DINOv3ViTModel(config))
    check_encoder(theirs, "vit_small_patch16_dinov3_qkvb", 5, tmp_path)


def check_encoder(theirs: nn.Module, name: str, prefix: int, folder: Path) -> None:
    torch.save(theirs.state_dict(), folder / "theirs.pt")
    ours = ViTLinear(CLASSES, name).eval()
    report = load_weights(ours, str(folder / "theirs.pt"))
    assert {key.split(".")[0] for key in report.missing} == {"head"}
    assert all(key.startswith("unused.") for key in report.unexpected), report.unexpected
    for size in SIZES:
        x = image(size)
        padded = pad_to_stride(x, ours.encoder.stride)
        with torch.inference_mode():
            expected = theirs(padded).last_hidden_state
            expected = features(expected, prefix, ours.encoder.stride, padded)
            assert_close(ours.encoder(padded), expected)
            expected = resize(ours.head(expected), like=padded)
            assert_close(ours(x), expected[..., : size[0], : size[1]])
