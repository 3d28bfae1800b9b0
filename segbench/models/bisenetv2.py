"""BiSeNetV2.

Yu, Gao, Wang, Yu, Shen, Sang: "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-Time
Semantic Segmentation", IJCV 2021.

            ┌ detail   ─ 1/2 ─ 1/4 ─ 1/8 ───────────────────────────────┐
    image ──┤                                                      aggregation ─ head ─ up
            └ semantic ─ 1/4 ─ 1/8 ─ 1/16 ─ 1/32 ─ context embedding ───┘
                         └─────┴─────┴──────┴ four auxiliary heads (training only)

A wide, shallow branch of 3x3 convolutions extracts detail; a narrow, deep branch extracts
semantics, with layers of a 3x3 convolution, a depthwise one to six times the channels (gather and
expansion), and a 1x1 convolution back. The aggregation gates each branch by the other at both
resolutions.

Differences from the paper: those of mmsegmentation, whose checkpoints `weights=PATH` reads. A ReLU
follows the (last) depthwise convolution of a layer, the last convolution of the context embedding
and that of the aggregation; the gate of the detail is upsampled before its sigmoid; the head has
1024 channels, the auxiliary heads 16, 64, 256 and 1024. All five losses have equal weight. Images
are padded to a multiple of 32. 3.4 M parameters without the auxiliary heads, 14.8 M with them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import foreign
from segbench.models.blocks import (
    ConvNormAct,
    FCNHead,
    allow_batches_of_one,
    initialize_convolutions,
    pad_to_stride,
    resize,
)

STRIDE = 32
DETAIL = (64, 64, 128)  # channels at strides 2, 4, 8
SEMANTIC = (16, 32, 64, 128)  # at strides 4, 8, 16, 32
HEAD_WIDTH = 1024
AUX_WIDTHS = (16, 64, 256, 1024)
EXPANSION = 6


class BiSeNetV2(nn.Module):
    """BiSeNetV2 with its booster (the auxiliary heads of the semantic branch).

    Args:
        num_classes: channels of the logits.
        dropout: channel dropout probability in the heads, 0..1.
        aux_weight: weight of each auxiliary loss; 0 builds no auxiliary heads.
        in_channels: channels of the image.
    """

    def __init__(
        self,
        num_classes: int,
        dropout: float = 0.1,
        aux_weight: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.detail = nn.Sequential()
        channels = in_channels
        for level, width in enumerate(DETAIL):
            convs = 1 if level == 0 else 2
            self.detail.append(
                nn.Sequential(
                    ConvNormAct(channels, width, stride=2),
                    *(ConvNormAct(width, width) for _ in range(convs)),
                )
            )
            channels = width
        self.semantic = nn.ModuleList([Stem(in_channels, SEMANTIC[0])])
        for width, wider, layers in zip(SEMANTIC, SEMANTIC[1:], (2, 2, 4), strict=False):
            self.semantic.append(
                nn.Sequential(
                    GatherExpand(width, wider, stride=2),
                    *(GatherExpand(wider, wider) for _ in range(layers - 1)),
                )
            )
        self.semantic.append(ContextEmbedding(SEMANTIC[-1]))
        self.aggregation = Aggregation(SEMANTIC[-1])
        self.head = FCNHead(SEMANTIC[-1], HEAD_WIDTH, num_classes, dropout)
        self.aux_weight = aux_weight
        self.aux_head = Booster(num_classes, dropout) if aux_weight else None
        initialize_convolutions(self)
        allow_batches_of_one(self)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE)
        logits = resize(self.head(self._features(padded)[0]), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE)
        fused, stages = self._features(padded)
        maps = [self.head(fused)]
        if self.aux_head is not None:
            maps += self.aux_head(stages)
        logits, *aux = [
            resize(x, like=padded)[..., : image.shape[-2], : image.shape[-1]] for x in maps
        ]
        return logits, aux

    def _features(self, padded: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Both branches fused at stride 8, and the maps of the four stages of the semantic one."""
        maps = [padded]
        for stage in self.semantic:
            maps.append(stage(maps[-1]))
        return self.aggregation(self.detail(padded), maps[-1]), maps[1:-1]

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of an mmsegmentation checkpoint to its name here."""
        return foreign.rename(key, foreign.BISENETV2_MMSEG)


class Booster(nn.ModuleList):
    """One auxiliary head for each stage of the semantic branch."""

    def __init__(self, num_classes: int, dropout: float) -> None:
        super().__init__(
            FCNHead(channels, width, num_classes, dropout, convs=2)
            for channels, width in zip(SEMANTIC, AUX_WIDTHS, strict=True)
        )

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Maps of the stages -> one [N, num_classes, h, w] logits map each."""
        return [head(x) for head, x in zip(self, stages, strict=True)]


class Stem(nn.Module):
    """Strided convolutions and max pooling in parallel; [N, in, H, W] -> [N, out, H/4, W/4]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_first = ConvNormAct(in_channels, out_channels, stride=2)
        self.convs = nn.Sequential(
            ConvNormAct(out_channels, out_channels // 2, 1),
            ConvNormAct(out_channels // 2, out_channels, stride=2),
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.fuse_last = ConvNormAct(2 * out_channels, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_first(image)
        return self.fuse_last(torch.cat([self.convs(x), self.pool(x)], dim=1))


class GatherExpand(nn.Module):
    """Residual: 3x3, depthwise 3x3 to more channels, 1x1; [N, in, H, W] -> [N, out, H/stride, ...].

    At stride 2 a second depthwise convolution follows the strided one.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = EXPANSION * in_channels
        self.conv1 = ConvNormAct(in_channels, in_channels)
        self.dwconv = nn.Sequential()
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.dwconv.append(
                ConvNormAct(in_channels, inner, stride=stride, groups=in_channels, act=False)
            )
            self.shortcut.append(
                ConvNormAct(in_channels, in_channels, 3, stride, groups=in_channels, act=False)
            )
            self.shortcut.append(ConvNormAct(in_channels, out_channels, 1, act=False))
        groups = inner if stride > 1 else in_channels
        self.dwconv.append(ConvNormAct(groups, inner, groups=groups))
        self.conv2 = ConvNormAct(inner, out_channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.dwconv(self.conv1(x))) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """Adds the mean over the whole map to each pixel, then 3x3; keeps the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.BatchNorm2d(channels),
            ConvNormAct(channels, channels, 1),
        )
        self.last = ConvNormAct(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.pooled(x))


class Aggregation(nn.Module):
    """Detail gated by the semantics at stride 8, semantics gated by the detail at stride 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail_dwconv = _separable(channels)
        self.detail_down = ConvNormAct(channels, channels, stride=2, act=False)
        self.semantic_conv = ConvNormAct(channels, channels, act=False)
        self.semantic_dwconv = _separable(channels)
        self.conv = ConvNormAct(channels, channels)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """[N, C, H, W] and [N, C, H/4, W/4] -> [N, C, H, W]."""
        fine = self.detail_dwconv(detail)
        fine = fine * resize(self.semantic_conv(semantic), like=fine).sigmoid()
        coarse = F.avg_pool2d(self.detail_down(detail), 3, stride=2, padding=1)
        coarse = coarse * self.semantic_dwconv(semantic).sigmoid()
        return self.conv(fine + resize(coarse, like=fine))


def _separable(channels: int) -> nn.Sequential:
    """Depthwise 3x3 convolution with batch norm, then 1x1 with a bias."""
    return nn.Sequential(
        ConvNormAct(channels, channels, groups=channels, act=False),
        nn.Conv2d(channels, channels, 1),
    )
