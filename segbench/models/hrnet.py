"""HRNetV2 for semantic segmentation.

Wang et al.: "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020.

    image ─ 2 convs ─ stage 1 ─┬─ stage 2 ─┬─ stage 3 ─┬─ stage 4 ─ 1/4  ┐
                     1/4       └─   1/8   ─┼─         ─┼─         ─ 1/8  ├ up, concat ─ head ─ up
                                           └─  1/16   ─┼─         ─ 1/16 │
                                                       └─  1/32   ─ 1/32 ┘

Every module runs residual blocks at each resolution and then adds every resolution to every other.

Parameter names are those of the official repository (HRNet-Semantic-Segmentation), except for the
classifier: `last_layer` there, `head` here. `translate_key` maps the names one to one;
`segbench.models.weights.load_weights` uses it. Differences: the momentum of batch norm is torch's
0.1 (0.01 there); upsampling is bilinear with align_corners=False, as in the repository's first
version. 65.9 M parameters at width 48.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.blocks import pad_to_stride, resize

STRIDE = 32
BLOCKS = 4
MODULES = (1, 4, 3)  # in stages 2, 3, 4


class HRNet(nn.Module):
    """HRNetV2 with the concatenated multi-resolution head.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels at the highest resolution; each lower one has twice as many; 18, 32 or 48
            in the paper.
    """

    def __init__(self, num_classes: int, width: int = 48, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64), *(Bottleneck(256) for _ in range(BLOCKS - 1)))
        widths = [width * 2**level for level in range(4)]
        self.transition1 = _transition([256], widths[:2])
        self.stage2 = _stage(widths[:2], MODULES[0])
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], MODULES[1])
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, MODULES[2])
        total = sum(widths)
        self.head = nn.Sequential(
            nn.Conv2d(total, total, 1),
            nn.BatchNorm2d(total),
            nn.ReLU(inplace=True),
            nn.Conv2d(total, num_classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE)
        x = F.relu(self.bn1(self.conv1(padded)))
        maps = [self.layer1(F.relu(self.bn2(self.conv2(x))))]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            maps = stage(_branch_off(transition, maps))
        maps = [maps[0], *(resize(x, like=maps[0]) for x in maps[1:])]
        logits = resize(self.head(torch.cat(maps, dim=1)), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of an official checkpoint to its name here."""
        return f"head.{key.removeprefix('last_layer.')}" if key.startswith("last_layer.") else key


class Bottleneck(nn.Module):
    """Residual 1x1, 3x3, 1x1 block, 64 channels inside; [N, in, H, W] -> [N, 256, H, W]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 256, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(256)
        self.downsample = _conv_norm(in_channels, 256, 1) if in_channels != 256 else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions; keeps the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Exchange(nn.Module):
    """Residual blocks at each resolution, then every resolution is added to every other."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(BLOCKS))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            parts = [layer(x) for layer, x in zip(layers, maps, strict=True)]  # type: ignore
            total = resize(parts[0], like=maps[target])
            for part in parts[1:]:
                total = total + resize(part, like=maps[target])
            fused.append(F.relu(total))
        return fused


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, act: bool = False
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


def _fuse(widths: list[int], source: int, target: int) -> nn.Module:
    """Layers that bring a map from one resolution to another, except for the upsampling."""
    if source == target:
        return nn.Identity()
    if source > target:
        return _conv_norm(widths[source], widths[target], 1)
    steps = target - source
    return nn.Sequential(
        *(_conv_norm(widths[source], widths[source], 3, 2, act=True) for _ in range(steps - 1)),
        _conv_norm(widths[source], widths[target], 3, 2),
    )


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Adjusts the widths of the existing resolutions and adds a new one at half the lowest."""
    layers = nn.ModuleList()
    for old, new in zip(before, after, strict=False):
        layers.append(nn.Identity() if old == new else _conv_norm(old, new, 3, act=True))
    layers.append(nn.Sequential(_conv_norm(before[-1], after[-1], 3, 2, act=True)))
    return layers


def _branch_off(transition: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    return [layer(x) for layer, x in zip(transition, [*maps, maps[-1]], strict=True)]


def _stage(widths: list[int], modules: int) -> nn.Sequential:
    return nn.Sequential(*(Exchange(widths) for _ in range(modules)))
