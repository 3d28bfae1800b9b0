"""The architectures of segmentation_models_pytorch, behind explicit arguments.

    image -> pad to the stride -> encoder -> decoder -> head -> crop -> logits

The models are smp's own (Iakubovskii, github.com/qubvel-org/segmentation_models.pytorch), so they
may differ from the papers where smp does: its U-Net upsamples by nearest neighbor into decoder
channels 256..16, whatever the encoder. Added here: padding to any size, errors for typos (smp
ignores unknown arguments), weights that fail fast, batches of one after global pooling. PSPNet,
with its auxiliary head, and the transformers have their own files.

Every function takes `num_classes`, `in_channels` (of the image; smp inflates the pretrained RGB
weights of the first convolution) and
    encoder_name: an encoder of smp, or `tu-` and a timm model (`tu-convnext_tiny`).
    encoder_weights: null (from scratch), `imagenet` (must be cached or reachable), or, for
        `tu-tf_efficientnet_lite0` and `tu-tf_efficientnet_lite2`, `package` (the extra
        `pretrained`).
    encoder_depth: number of encoder stages; the encoder's stride is 2 ** encoder_depth.
and raises ValueError for an unknown encoder, missing weights, or sizes that do not fit.
"""

from __future__ import annotations

from typing import Literal

import segmentation_models_pytorch as smp

from segbench.models.smp_network import SmpNetwork, build_smp


def unet(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_channels: list[int] | None = None,
    decoder_attention_type: Literal["scse"] | None = None,
    decoder_interpolation: Literal["nearest", "bilinear", "bicubic"] = "nearest",
) -> SmpNetwork:
    """U-Net decoder on any encoder; Ronneberger et al., MICCAI 2015.

    `decoder_channels` has one width per stage, deepest first; null: the last `encoder_depth` of
    256, 128, 64, 32, 16.
    """
    channels = _decoder_channels(decoder_channels, encoder_depth)
    network = build_smp(
        lambda weights: smp.Unet(
            encoder_name,
            encoder_depth,
            weights,
            decoder_channels=channels,
            decoder_attention_type=decoder_attention_type,
            decoder_interpolation=decoder_interpolation,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def unetplusplus(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_channels: list[int] | None = None,
    decoder_attention_type: Literal["scse"] | None = None,
    decoder_interpolation: Literal["nearest", "bilinear", "bicubic"] = "nearest",
) -> SmpNetwork:
    """U-Net++ without deep supervision; Zhou et al., DLMIA 2018. Arguments as in `unet`."""
    channels = _decoder_channels(decoder_channels, encoder_depth)
    network = build_smp(
        lambda weights: smp.UnetPlusPlus(
            encoder_name,
            encoder_depth,
            weights,
            decoder_channels=channels,
            decoder_attention_type=decoder_attention_type,
            decoder_interpolation=decoder_interpolation,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def fpn(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_pyramid_channels: int = 256,
    decoder_segmentation_channels: int = 128,
    decoder_merge_policy: Literal["add", "cat"] = "add",
    decoder_dropout: float = 0.2,
) -> SmpNetwork:
    """Semantic FPN; Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019."""
    network = build_smp(
        lambda weights: smp.FPN(
            encoder_name,
            encoder_depth,
            weights,
            decoder_pyramid_channels,
            decoder_segmentation_channels,
            decoder_merge_policy,
            decoder_dropout,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def linknet(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
) -> SmpNetwork:
    """LinkNet; Chaurasia and Culurciello, VCIP 2017 (with ResNet-18 there)."""
    network = build_smp(
        lambda weights: smp.Linknet(
            encoder_name, encoder_depth, weights, in_channels=in_channels, classes=num_classes
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def deeplabv3(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet50",
    encoder_weights: str | None = None,
    encoder_output_stride: Literal[8, 16] = 8,
    decoder_channels: int = 256,
    decoder_atrous_rates: tuple[int, int, int] = (12, 24, 36),
    decoder_aspp_dropout: float = 0.5,
) -> SmpNetwork:
    """DeepLabV3; Chen et al., arXiv 1706.05587."""
    network = build_smp(
        lambda weights: smp.DeepLabV3(
            encoder_name,
            encoder_weights=weights,
            encoder_output_stride=encoder_output_stride,
            decoder_channels=decoder_channels,
            decoder_atrous_rates=tuple(decoder_atrous_rates),
            decoder_aspp_dropout=decoder_aspp_dropout,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def deeplabv3plus(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet50",
    encoder_weights: str | None = None,
    encoder_output_stride: Literal[8, 16] = 16,
    decoder_channels: int = 256,
    decoder_atrous_rates: tuple[int, int, int] = (12, 24, 36),
    decoder_aspp_dropout: float = 0.5,
) -> SmpNetwork:
    """DeepLabV3+ with separable ASPP; Chen et al., ECCV 2018."""
    network = build_smp(
        lambda weights: smp.DeepLabV3Plus(
            encoder_name,
            encoder_weights=weights,
            encoder_output_stride=encoder_output_stride,
            decoder_channels=decoder_channels,
            decoder_atrous_rates=tuple(decoder_atrous_rates),
            decoder_aspp_dropout=decoder_aspp_dropout,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def pan(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_output_stride: Literal[16, 32] = 16,
    decoder_channels: int = 32,
) -> SmpNetwork:
    """PAN; Li et al., "Pyramid Attention Network", BMVC 2018.

    Its pyramid halves the deepest map three times, so small images are padded to 16 times the
    output stride.
    """
    network = build_smp(
        lambda weights: smp.PAN(
            encoder_name,
            encoder_weights=weights,
            encoder_output_stride=encoder_output_stride,
            decoder_channels=decoder_channels,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network, at_least=16 * encoder_output_stride)


def upernet(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_channels: int = 256,
) -> SmpNetwork:
    """UPerNet; Xiao et al., "Unified Perceptual Parsing", ECCV 2018."""
    network = build_smp(
        lambda weights: smp.UPerNet(
            encoder_name,
            encoder_depth,
            weights,
            decoder_channels,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def _decoder_channels(channels: list[int] | None, depth: int) -> list[int]:
    if channels is None:
        return [256, 128, 64, 32, 16][-depth:]
    if len(channels) != depth:
        raise ValueError(
            f"decoder_channels={list(channels)} has {len(channels)} entries; "
            f"expected one for each of the {depth} stages (encoder_depth)"
        )
    return list(channels)
