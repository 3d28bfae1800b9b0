"""The custom model: small, fast to train from scratch, and fine enough for poles and signs.

    image ─ stem ─┬─ down ─ 2 blocks ─┬─ down ─ 8 blocks, dilations 1..16 ─ pooled context ──┐
             1/2  │       1/4         │                 1/8        └ auxiliary head          │
                  │                   └───────────────── project ──── + ── conv ─────────────┘ up
                  └───────────────────────────────────── project ──── + ── conv ── head ── up

Design choices and their sources:
- Early downsampling and a deep 1/8 stage of dilated blocks (ERFNet, Romera 2018; DABNet, Li
  2019): most of the depth runs on 1/64 of the pixels, and no ImageNet pretraining is needed.
- Two dilations in parallel in each block (DABNet; RegSeg, Gao 2021): near and far context at
  each depth. Here both are dense 3x3 convolutions to half the channels, not depthwise ones, which
  run far below the peak speed of CPUs and GPUs.
- Pooled context at the end of the 1/8 stage (DDRNet, Hong 2021); each pooled map is added to the
  input instead of being concatenated.
- A decoder that adds projected skips at 1/4 and 1/2 (LinkNet, Chaurasia 2017): classes only a few
  pixels wide are lost at 1/8.
- An auxiliary head at 1/8 (PSPNet), for training only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.blocks import ConvNormAct, FCNHead, pad_to_stride, resize

STRIDE = 8
REACHES = (2, 4, 8)


class Custom(nn.Module):
    """Encoder with two dilations per block, pooled context, additive decoder to half resolution.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels at 1/2; 1/4 has twice and 1/8 four times as many. A multiple of 4.
        shallow_blocks: number of residual blocks at 1/4.
        dilations: dilation of each block at 1/8; half of the block's channels use it, the other
            half use half of it.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0; 0..1.
        dropout: channel dropout probability before the head, 0..1.
        aux_weight: weight of the auxiliary loss; 0 builds no auxiliary head.

    Raises:
        ValueError: width is not a positive multiple of 4, there are no dilations, or a dilation
            or the drop path rate is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 32,
        shallow_blocks: int = 2,
        dilations: tuple[int, ...] = (2, 2, 4, 4, 8, 8, 16, 16),
        drop_path_rate: float = 0.0,
        dropout: float = 0.1,
        aux_weight: float = 0.4,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"width must be a positive multiple of 4, got {width}")
        if not dilations or min(dilations) < 1:
            raise ValueError(
                f"dilations {list(dilations)}: expected one value of at least 1 per block"
            )
        if not 0 <= drop_path_rate <= 1:
            raise ValueError(f"drop_path_rate must be between 0 and 1, got {drop_path_rate}")
        half, quarter, eighth = width, 2 * width, 4 * width
        rates = torch.linspace(0, drop_path_rate, shallow_blocks + len(dilations)).tolist()
        self.stem = nn.Sequential(ConvNormAct(in_channels, half, stride=2), ConvNormAct(half, half))
        self.shallow = nn.Sequential(
            Down(half, quarter), *(Block(quarter, 1, rate) for rate in rates[:shallow_blocks])
        )
        deep_rates = zip(dilations, rates[shallow_blocks:], strict=True)
        self.deep = nn.Sequential(
            Down(quarter, eighth), *(Block(eighth, dilation, rate) for dilation, rate in deep_rates)
        )
        self.context = Context(eighth)
        self.to_quarter = Merge(eighth, quarter, quarter)
        self.to_half = Merge(quarter, half, half)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(half, num_classes, 1)
        self.aux_weight = aux_weight
        self.aux_head = FCNHead(eighth, quarter, num_classes) if aux_weight else None

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        return self._logits(image)[0]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        logits, deep = self._logits(image)
        if self.aux_head is None:
            return logits, []
        aux = F.interpolate(self.aux_head(deep), scale_factor=STRIDE, mode="bilinear")
        return logits, [aux[..., : image.shape[-2], : image.shape[-1]]]

    def _logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        padded = pad_to_stride(image, STRIDE)
        half = self.stem(padded)
        quarter = self.shallow(half)
        deep = self.deep(quarter)
        x = self.to_quarter(self.context(deep), quarter)
        x = self.to_half(x, half)
        logits = resize(self.head(self.dropout(x)), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]], deep


class Down(nn.Module):
    """Halves the size: strided convolution and max pooling in parallel (ENet; Paszke 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels - in_channels, 3, stride=2, padding=1, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H/2, W/2]."""
        y = torch.cat([self.conv(x), F.max_pool2d(x, 2)], dim=1)
        return F.relu(self.norm(y), inplace=True)


class Block(nn.Module):
    """Residual block: 3x3 to half the channels, two dilations in parallel, 1x1 back."""

    def __init__(self, channels: int, dilation: int, drop_path: float = 0.0) -> None:
        super().__init__()
        inner, near = channels // 2, max(1, dilation // 2)
        self.reduce = ConvNormAct(channels, inner)
        self.near = nn.Conv2d(inner, inner // 2, 3, padding=near, dilation=near, bias=False)
        self.far = nn.Conv2d(inner, inner // 2, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.expand = nn.Sequential(
            nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> the same shape."""
        y = self.reduce(x)
        y = F.relu(self.norm(torch.cat([self.near(y), self.far(y)], dim=1)), inplace=True)
        y = self.expand(y)
        if self.training and self.drop_path:
            keep = 1 - self.drop_path
            y = y * (torch.rand(len(y), 1, 1, 1, device=y.device, dtype=y.dtype) < keep) / keep
        return F.relu(x + y, inplace=True)


class Context(nn.Module):
    """Adds means over four neighborhoods, from 5x5 to the whole map, to the map; then 3x3.

    The neighborhoods are fixed in pixels (DDRNet's DAPPM; Hong 2021), not relative to the image
    as in PSPNet, so that training on crops and testing on whole images see the same context;
    only the last one, the mean of the map, differs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in (*REACHES, "all"))
        self.fuse = ConvNormAct(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] -> the same shape."""
        means = [
            F.avg_pool2d(x, 2 * reach + 1, reach, padding=reach, count_include_pad=False)
            for reach in REACHES
        ]
        means.append(x.mean(dim=(2, 3), keepdim=True))
        total = x
        for mean, project in zip(means, self.project, strict=True):
            total = total + resize(F.relu(project(mean)), like=x)
        return self.fuse(total)


class Merge(nn.Module):
    """Projects both maps to the same width, adds the upsampled deep one, then 3x3."""

    def __init__(self, deep_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Conv2d(deep_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.skip = nn.Sequential(
            nn.Conv2d(skip_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.conv = ConvNormAct(out_channels, out_channels)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """[N, deep, h, w] and [N, skip, H, W] -> [N, out, H, W]."""
        total = self.skip(skip) + resize(self.deep(deep), like=skip)
        return self.conv(F.relu(total, inplace=True))
