"""The architectures of segmentation_models_pytorch, behind explicit arguments.

    image -> pad to the stride -> encoder -> decoder -> head -> crop -> logits

The networks are smp's own (Iakubovskii, github.com/qubvel-org/segmentation_models.pytorch), so
they may differ from the papers where smp does: its U-Net upsamples by nearest neighbour into
decoder channels 256..16, whatever the encoder. Written here: padding to any size, refused typos
(smp swallows unknown arguments), weights that fail fast, batches of one behind global pooling,
and PSPNet as in its paper (all stages at output stride 8, with the auxiliary head).

Every function takes `num_classes` and
    encoder_name: an encoder of smp, or `tu-` and a timm model (`tu-convnext_tiny`).
    encoder_weights: null (from scratch), `imagenet` (must be cached or reachable), or, for
        `tu-tf_efficientnet_lite0` alone, `package` (the extra `pretrained`).
    encoder_depth: number of encoder stages; the encoder's stride is 2 ** encoder_depth.
and raises ValueError for an unknown encoder, missing weights, or sizes that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segbench.models import encoders
from segbench.models.blocks import FCNHead, pad_to_stride, resize, train_pooling_on_one

Interpolation = Literal["nearest", "bilinear", "bicubic"]


class SmpNetwork(nn.Module):
    """Encoder, decoder and head of an smp model, for images of any size.

    Args:
        network: any smp model without a classification head.
        at_least: smallest height and width that the network can take; smaller images are padded.
    """

    def __init__(self, network: smp.base.SegmentationModel, at_least: int | None = None) -> None:
        super().__init__()
        train_pooling_on_one(network)
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.head = network.segmentation_head
        self.stride = int(network.encoder.output_stride)
        self.at_least = at_least

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] float, normalised -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.stride, self.at_least)
        features = self.encoder(padded)
        # A ViT encoder returns (maps, prefix tokens), all others a list of maps.
        decoded = self.decoder(*features) if isinstance(features, tuple) else self.decoder(features)
        return self.head(decoded)[..., : image.shape[-2], : image.shape[-1]]


class PSPNet(nn.Module):
    """PSPNet: pyramid pooling over 1, 2, 3, 6 bins at output stride 8, auxiliary head on stage 4.

    Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017. smp's decoder; its bin of 1 has no
    batch norm, and a 1x1 (not 3x3) convolution fuses the pyramid.

    Args:
        num_classes: channels of the logits.
        encoder_name: see the module; it must support dilation (the ResNets do).
        encoder_weights: see the module.
        encoder_output_stride: 8 (the paper) or 16 (a quarter of the cost in the last stages).
        psp_out_channels: channels behind the pyramid.
        psp_dropout: share of dropped channels before the head.
        aux_weight: weight of the auxiliary loss (0.4 in the paper); 0 builds no auxiliary head.
    """

    def __init__(
        self,
        num_classes: int,
        encoder_name: str = "resnet50",
        encoder_weights: str | None = None,
        encoder_output_stride: Literal[8, 16] = 8,
        psp_out_channels: int = 512,
        psp_dropout: float = 0.1,
        aux_weight: float = 0.4,
    ) -> None:
        super().__init__()
        network = _build(
            lambda weights: smp.PSPNet(
                encoder_name,
                weights,
                encoder_depth=5,
                psp_out_channels=psp_out_channels,
                psp_dropout=psp_dropout,
                classes=num_classes,
                upsampling=encoder_output_stride,
                output_stride=encoder_output_stride,
            ),
            encoder_name,
            encoder_weights,
        )
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.head = network.segmentation_head
        self.stride = encoder_output_stride
        self.aux_weight = aux_weight
        width = self.encoder.out_channels[-2]
        self.aux_head = FCNHead(width, width // 4, num_classes) if aux_weight else None

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] float, normalised -> logits [N, num_classes, H, W]."""
        features = self.encoder(pad_to_stride(image, self.stride))
        logits = self.head(self.decoder(features))
        return logits[..., : image.shape[-2], : image.shape[-1]]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.stride)
        features = self.encoder(padded)
        maps = [self.head(self.decoder(features))]
        if self.aux_head is not None:
            maps.append(resize(self.aux_head(features[-2]), like=padded))
        logits, *aux = [x[..., : image.shape[-2], : image.shape[-1]] for x in maps]
        return logits, aux


def unet(
    num_classes: int,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_channels: list[int] | None = None,
    decoder_attention_type: Literal["scse"] | None = None,
    decoder_interpolation: Interpolation = "nearest",
) -> SmpNetwork:
    """U-Net decoder on any encoder; Ronneberger et al., MICCAI 2015.

    `decoder_channels` has one width per stage, deepest first; null: the last `encoder_depth` of
    256, 128, 64, 32, 16.
    """
    channels = _decoder_channels(decoder_channels, encoder_depth)
    network = _build(
        lambda weights: smp.Unet(
            encoder_name,
            encoder_depth,
            weights,
            decoder_channels=channels,
            decoder_attention_type=decoder_attention_type,
            decoder_interpolation=decoder_interpolation,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def unetplusplus(
    num_classes: int,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_channels: list[int] | None = None,
    decoder_attention_type: Literal["scse"] | None = None,
    decoder_interpolation: Interpolation = "nearest",
) -> SmpNetwork:
    """U-Net++ without deep supervision; Zhou et al., DLMIA 2018. Arguments as in `unet`."""
    channels = _decoder_channels(decoder_channels, encoder_depth)
    network = _build(
        lambda weights: smp.UnetPlusPlus(
            encoder_name,
            encoder_depth,
            weights,
            decoder_channels=channels,
            decoder_attention_type=decoder_attention_type,
            decoder_interpolation=decoder_interpolation,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def fpn(
    num_classes: int,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
    decoder_pyramid_channels: int = 256,
    decoder_segmentation_channels: int = 128,
    decoder_merge_policy: Literal["add", "cat"] = "add",
    decoder_dropout: float = 0.2,
) -> SmpNetwork:
    """Semantic FPN; Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019."""
    network = _build(
        lambda weights: smp.FPN(
            encoder_name,
            encoder_depth,
            weights,
            decoder_pyramid_channels,
            decoder_segmentation_channels,
            decoder_merge_policy,
            decoder_dropout,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    return SmpNetwork(network)


def linknet(
    num_classes: int,
    encoder_name: str = "resnet34",
    encoder_weights: str | None = None,
    encoder_depth: int = 5,
) -> SmpNetwork:
    """LinkNet; Chaurasia and Culurciello, VCIP 2017 (with ResNet-18 there)."""
    network = _build(
        lambda weights: smp.Linknet(encoder_name, encoder_depth, weights, classes=num_classes),
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


Build = Callable[[str | bool | None], smp.base.SegmentationModel]


def _build(build: Build, encoder_name: str, weights: str | None) -> smp.base.SegmentationModel:
    """Check the encoder's name and weights, build, and turn smp's errors into ValueError."""
    encoders.check_encoder_name(encoder_name)
    packaged = weights == "package" and encoder_name == encoders.LITE0
    if weights is not None and not packaged:
        encoders.check_encoder_weights(encoder_name, weights)
    of_timm = encoder_name.startswith("tu-")
    try:
        # timm's weights are a yes or no: the set is a part of the model's name.
        network = build(None if packaged or weights is None else of_timm or weights)
    except Exception as error:
        raise ValueError(f"encoder_name={encoder_name!r} cannot be used here: {error}") from None
    if packaged:
        encoders.load_packaged_lite0(network.encoder)
    return network
