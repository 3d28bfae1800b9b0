"""DDRNet.

Pan, Hong, Sun, Jia: "Deep Dual-Resolution Networks for Real-Time and Accurate Semantic Segmentation
of Traffic Scenes", IEEE Transactions on Intelligent Transportation Systems 2023, arXiv:2101.06085.

                         ┌ low  ─ 1/16 ─ + ─ 1/32 ─ + ─ 1/64 ─ DAPPM ┐ up
    image ─ stem ── 1/8 ─┤              ⤩            ⤩               + ─ head ─ up
                         └ high ─ 1/8 ── + ─ 1/8 ─── + ─ 1/8 ────────┘
                                         └ auxiliary head (training only)

Two branches of residual blocks. After the first and second stage each branch receives the other:
the low-resolution one is compressed and upsampled, the high-resolution one passes strided
convolutions. The pyramid (DAPPM) pools the deepest map over windows of 5, 9, 17 pixels and over all
of it; each level is added to the next before the levels are fused.

Differences from the paper: none in the layers. As in mmsegmentation, the two strided convolutions
of the stem have no bias (batch norm follows). `weights=PATH` reads its and the authors' files,
whose biases are folded into the running means. Images are padded to a multiple of 8 and to at least
128 pixels. 5.7 M parameters at width 32, 20.1 M at width 64 (without the auxiliary head).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import foreign
from segbench.models.blocks import (
    ConvNormAct,
    PooledBatchNorm2d,
    initialize_convolutions,
    pad_to_stride,
    resize,
)

# The deepest map has stride 64, but its size is not exact: it is resized to stride 8.
STRIDE = 8
SMALLEST = 128


class DDRNet(nn.Module):
    """DDRNet-23; slim at width 32.

    Args:
        num_classes: channels of the logits.
        width: channels of the stem; 32 (slim) or 64 in the paper.
        pyramid_width: channels of each level of the pyramid.
        head_width: channels within the heads; 64 (slim) or 128 in the paper.
        aux_weight: weight of the auxiliary loss (0.4 in the paper); 0 builds no auxiliary head.
        in_channels: channels of the image.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 32,
        pyramid_width: int = 128,
        head_width: int = 64,
        aux_weight: float = 0.4,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        w = width
        self.stem = stem(in_channels, w)
        self.low = nn.ModuleList(
            [
                residuals(2 * w, 4 * w, 2, stride=2),
                residuals(4 * w, 8 * w, 2, stride=2),
                bottlenecks(8 * w, 8 * w, 1, stride=2),
            ]
        )
        self.high = nn.ModuleList(
            [
                residuals(2 * w, 2 * w, 2),
                residuals(2 * w, 2 * w, 2),
                bottlenecks(2 * w, 2 * w, 1),
            ]
        )
        self.compression = nn.ModuleList(
            ConvNormAct(channels, 2 * w, 1, act=False) for channels in (4 * w, 8 * w)
        )
        self.down = nn.ModuleList(
            [
                ConvNormAct(2 * w, 4 * w, stride=2, act=False),
                nn.Sequential(
                    ConvNormAct(2 * w, 4 * w, stride=2),
                    ConvNormAct(4 * w, 8 * w, stride=2, act=False),
                ),
            ]
        )
        self.spp = DAPPM(16 * w, pyramid_width, 4 * w)
        self.head = SegmentationHead(4 * w, head_width, num_classes)
        self.aux_weight = aux_weight
        self.aux_head = SegmentationHead(2 * w, head_width, num_classes) if aux_weight else None
        initialize_convolutions(self)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE, SMALLEST)
        logits = resize(self.head(self._features(padded)[0]), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE, SMALLEST)
        fused, shallow = self._features(padded)
        maps = [self.head(fused)]
        if self.aux_head is not None:
            maps.append(self.aux_head(shallow))
        logits, *aux = [
            resize(x, like=padded)[..., : image.shape[-2], : image.shape[-1]] for x in maps
        ]
        return logits, aux

    def _features(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of both branches, and the high one after its first stage; both at stride 8."""
        low = high = self.stem(padded)
        taps = []
        for level, (compress, down) in enumerate(zip(self.compression, self.down, strict=True)):
            low, high = self.low[level](F.relu(low)), self.high[level](F.relu(high))
            upward = resize(compress(F.relu(low)), like=high)
            low, high = low + down(F.relu(high)), high + upward
            taps.append(high)
        low, high = self.low[2](F.relu(low)), self.high[2](F.relu(high))
        return high + resize(self.spp(low), like=high), taps[0]

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of an mmsegmentation or authors' checkpoint."""
        return foreign.rename(key, foreign.DDRNET_MMSEG, foreign.DDRNET_AUTHORS)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters of a checkpoint (already renamed), without the biases of the stem."""
        return foreign.without_biases(state, ("stem.0", "stem.1"))


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions; [N, in, H, W] -> [N, out, H/stride, W/stride]."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, out_channels, stride=stride)
        self.conv2 = ConvNormAct(out_channels, out_channels, act=False)
        self.downsample = _shortcut(in_channels, out_channels, stride)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x)) + (x if self.downsample is None else self.downsample(x))
        return F.relu(y) if self.relu else y


class Bottleneck(nn.Module):
    """Residual 1x1, 3x3, 1x1 block, no ReLU after the sum; [N, in, H, W] -> [N, 2 inner, ...]."""

    def __init__(self, in_channels: int, inner: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, inner, 1)
        self.conv2 = ConvNormAct(inner, inner, stride=stride)
        self.conv3 = ConvNormAct(inner, 2 * inner, 1, act=False)
        self.downsample = _shortcut(in_channels, 2 * inner, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(self.conv2(self.conv1(x)))
        return y + (x if self.downsample is None else self.downsample(x))


class NormActConv(nn.Sequential):
    """Batch norm, ReLU, convolution without bias.

    `pooled=True`: the map may be a single pixel, on which batch norm cannot be trained.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        groups: int = 1,
        pooled: bool = False,
    ) -> None:
        norm = PooledBatchNorm2d if pooled else nn.BatchNorm2d
        padding = kernel_size // 2
        super().__init__(
            norm(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(
                in_channels, out_channels, kernel_size, padding=padding, groups=groups, bias=False
            ),
        )


class SegmentationHead(NormActConv):
    """Batch norm, ReLU, 3x3 convolution, batch norm, ReLU, 1x1 convolution to the classes."""

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__(in_channels, channels, 3)
        self.append(nn.BatchNorm2d(channels))
        self.append(nn.ReLU(inplace=True))
        self.append(nn.Conv2d(channels, num_classes, 1))


class Pyramid(nn.Module):
    """The map, its means over windows of 5, 9, 17 pixels and over all of it; [N, in, H, W]."""

    def __init__(self, in_channels: int, inner: int, out_channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList([NormActConv(in_channels, inner)])
        pools = [nn.AvgPool2d(2 * step + 1, step, step) for step in (2, 4, 8)]
        for pool in (*pools, nn.AdaptiveAvgPool2d(1)):
            self.scales.append(nn.Sequential(pool, NormActConv(in_channels, inner, pooled=True)))
        self.compression = NormActConv(5 * inner, out_channels)
        self.shortcut = NormActConv(in_channels, out_channels)

    def levels(self, x: Tensor) -> list[Tensor]:
        """[N, in, H, W] -> five maps [N, inner, H, W], finest first."""
        return [resize(scale(x), like=x) for scale in self.scales]

    def fuse(self, levels: list[Tensor], x: Tensor) -> Tensor:
        """Five maps [N, inner, H, W] and the input -> [N, out, H, W]."""
        return self.compression(torch.cat(levels, dim=1)) + self.shortcut(x)


class DAPPM(Pyramid):
    """Deep aggregation pyramid: each level is added to the next coarser one, then 3x3."""

    def __init__(self, in_channels: int, inner: int, out_channels: int) -> None:
        super().__init__(in_channels, inner, out_channels)
        self.processes = nn.ModuleList(NormActConv(inner, inner, 3) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W]."""
        finest, *coarser = self.levels(x)
        done = [finest]
        for process, level in zip(self.processes, coarser, strict=True):
            done.append(process(level + done[-1]))
        return self.fuse(done, x)


def stem(in_channels: int, width: int) -> nn.Sequential:
    """[N, in_channels, H, W] -> [N, 2 width, H/8, W/8]."""
    return nn.Sequential(
        ConvNormAct(in_channels, width, stride=2),
        ConvNormAct(width, width, stride=2),
        residuals(width, width, 2),
        nn.ReLU(inplace=True),
        residuals(width, 2 * width, 2, stride=2),
        nn.ReLU(inplace=True),
    )


def residuals(in_channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Residual blocks, the first one strided, no ReLU after the last one."""
    last = blocks - 1
    return nn.Sequential(
        Residual(in_channels, out_channels, stride, relu=last > 0),
        *(Residual(out_channels, out_channels, relu=i < last) for i in range(1, blocks)),
    )


def bottlenecks(in_channels: int, inner: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Bottleneck blocks, the first one strided; [N, in, H, W] -> [N, 2 inner, ...]."""
    return nn.Sequential(
        Bottleneck(in_channels, inner, stride),
        *(Bottleneck(2 * inner, inner) for _ in range(1, blocks)),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return ConvNormAct(in_channels, out_channels, 1, stride, act=False)
