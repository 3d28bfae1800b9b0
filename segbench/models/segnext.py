"""SegNeXt.

Guo, Lu, Hou, Liu, Cheng, Hu: "SegNeXt: Rethinking Convolutional Attention Design for Semantic
Segmentation", NeurIPS 2022.

    image ─ stage 1 ─ stage 2 ─ stage 3 ─ stage 4 ┐
              1/4       1/8 ┐    1/16 ┐     1/32  ├ up to 1/8, concat ─ squeeze ─ ham ─ align ─ head
                            └─────────┴───────────┘

Each block of the encoder (MSCAN) multiplies its input by an attention map made by depthwise
convolutions: 5x5, then pairs of strips 1xk and kx1 with k = 7, 11, 21, summed. The decoder adds
to its features their low-rank non-negative factorization, found in a few multiplicative steps
("ham": Geng et al., "Is Attention Better Than Matrix Decomposition?", ICLR 2021).

Differences from the paper: none in the layers. The reference code starts the steps from random
bases even at prediction, which is then not repeatable; here predictions always start from the same
fixed bases. The factorization runs in float32. Images are padded to a multiple of 32. With 150
classes 4.3 (T), 13.9 (S) and 27.6 M (B) parameters. Encoder parameters are named as in
mmsegmentation; `weights=PATH` reads its checkpoints and the official ones.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import foreign
from segbench.models.blocks import DropPath, pad_to_stride, resize

STRIDE = 32
STAGES = 4
STRIPS = (7, 11, 21)
MLP_RATIOS = (8, 8, 4, 4)
RANK = 16
NORM_GROUPS = 32
STEPS = 6  # in training; one more at prediction


class SegNeXt(nn.Module):
    """MSCAN with the light Ham decoder.

    Args:
        num_classes: channels of the logits.
        widths: channels of the four stages.
        depths: number of blocks of each stage.
        decoder_width: channels of the decoder, a multiple of 32.
        drop_path_rate: stochastic depth of the deepest block, rising linearly from 0; 0..1.
        dropout: channel dropout probability before the head, 0..1.
        in_channels: channels of the image.

    Raises:
        ValueError: not four stages.
    """

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (3, 3, 5, 2),
        decoder_width: int = 256,
        drop_path_rate: float = 0.1,
        dropout: float = 0.1,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(widths) != STAGES or len(depths) != STAGES:
            raise ValueError(
                f"widths={list(widths)}, depths={list(depths)}: expected a number for each of the "
                f"{STAGES} stages"
            )
        self.encoder = MSCAN(in_channels, widths, depths, drop_path_rate)
        self.decoder = HamDecoder(sum(widths[1:]), decoder_width)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(decoder_width, num_classes, 1)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDE)
        x = self.decoder(self.encoder(padded))
        logits = resize(self.head(self.dropout(x)), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of an official or mmsegmentation checkpoint."""
        return foreign.rename(key, foreign.SEGNEXT_MMSEG)


class MSCAN(nn.Module):
    """The encoder: maps [N, widths[i], h, w] at strides 8, 16 and 32."""

    def __init__(
        self, in_channels: int, widths: Sequence[int], depths: Sequence[int], drop_path_rate: float
    ) -> None:
        super().__init__()
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        channels = in_channels
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            embed = Embedding(channels, width) if level > 1 else Stem(channels, width)
            blocks = [Block(width, MLP_RATIOS[level - 1], next(rates)) for _ in range(depth)]
            self.add_module(f"patch_embed{level}", embed)
            self.add_module(f"block{level}", nn.Sequential(*blocks))
            self.add_module(f"norm{level}", nn.LayerNorm(width))
            channels = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                nn.init.zeros_(torch.as_tensor(module.bias))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [image]
        for level in (1, 2, 3, 4):
            x = getattr(self, f"patch_embed{level}")(maps[-1])
            x = getattr(self, f"block{level}")(x)
            maps.append(getattr(self, f"norm{level}")(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return maps[2:]


class Stem(nn.Module):
    """Two strided 3x3 convolutions; [N, in, H, W] -> [N, width, H/4, W/4]."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(in_channels, width // 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image)


class Embedding(nn.Module):
    """A strided 3x3 convolution and batch norm; [N, in, H, W] -> [N, width, H/2, W/2]."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x))


class Block(nn.Module):
    """Convolutional attention and a convolutional MLP, both residual; keeps the shape."""

    def __init__(self, width: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.attn = Attention(width)
        self.norm2 = nn.BatchNorm2d(width)
        self.mlp = ConvMLP(width, mlp_ratio * width)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-2))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-2))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.layer_scale_1[:, None, None] * self.attn(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """1x1, GELU, multiplied by the attention map, 1x1; residual. Keeps the shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(width, width, 1)
        self.spatial_gating_unit = Gate(width)
        self.proj_2 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj_2(self.spatial_gating_unit(F.gelu(self.proj_1(x))))


class Gate(nn.Module):
    """Depthwise convolutions of four sizes, 1x1, multiplied by the input; keeps the shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 5, padding=2, groups=width)
        for index, size in enumerate(STRIPS):
            across = nn.Conv2d(width, width, (1, size), padding=(0, size // 2), groups=width)
            along = nn.Conv2d(width, width, (size, 1), padding=(size // 2, 0), groups=width)
            self.add_module(f"conv{index}_1", across)
            self.add_module(f"conv{index}_2", along)
        self.conv3 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        total = near = self.conv0(x)
        for index in range(len(STRIPS)):
            across, along = getattr(self, f"conv{index}_1"), getattr(self, f"conv{index}_2")
            total = total + along(across(near))
        return self.conv3(total) * x


class ConvMLP(nn.Module):
    """1x1, depthwise 3x3, GELU, 1x1; keeps the shape."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.dwconv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.fc2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class HamDecoder(nn.Module):
    """Maps at strides 8, 16, 32 -> [N, width, h, w] at stride 8."""

    bases: Tensor

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.squeeze = _conv_norm(in_channels, width).append(nn.ReLU(inplace=True))
        self.ham_in = nn.Conv2d(width, width, 1)
        self.ham_out = _conv_norm(width, width)
        self.align = _conv_norm(width, width).append(nn.ReLU(inplace=True))
        draw = torch.rand(1, width, RANK, generator=torch.Generator().manual_seed(0))
        self.register_buffer("bases", F.normalize(draw, dim=1), persistent=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.squeeze(torch.cat([resize(level, like=maps[0]) for level in maps], dim=1))
        y = F.relu(self.ham_in(x)).flatten(2)
        bases = self.bases.expand(y.shape[0], -1, -1)
        if self.training:
            bases = F.normalize(torch.rand_like(bases), dim=1)
        y = factorize(y, bases, STEPS if self.training else STEPS + 1).unflatten(2, x.shape[2:])
        return self.align(F.relu(x + self.ham_out(y)))


def factorize(x: Tensor, bases: Tensor, steps: int) -> Tensor:
    """Approximates x by a product of two non-negative factors (Lee and Seung, NeurIPS 2000).

    Args:
        x: [N, C, P], at least 0.
        bases: [N, C, R], initial value of the first factor.
        steps: updates of both factors; the second one is updated once more.

    Returns:
        [N, C, P] in the dtype of x.
    """
    given, device = x.dtype, x.device.type
    mixed = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if mixed else contextlib.nullcontext():
        x = x.to(bases.dtype)
        coefficients = (x.transpose(1, 2) @ bases).softmax(-1)
        for step in range(steps + 1):
            gram = bases.transpose(1, 2) @ bases
            coefficients = _update(coefficients, x.transpose(1, 2) @ bases, coefficients @ gram)
            if step < steps:
                gram = coefficients.transpose(1, 2) @ coefficients
                bases = _update(bases, x @ coefficients, bases @ gram)
        return (bases @ coefficients.transpose(1, 2)).to(given)


def _update(factor: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    return factor * numerator / (denominator + 1e-6)


def _conv_norm(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 1, bias=False), nn.GroupNorm(NORM_GROUPS, width)
    )
