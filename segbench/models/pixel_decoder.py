"""The pixel decoder of Mask2Former: deformable attention over three maps, and a finer one.

Zhu, Su, Lu, Li, Wang, Dai: "Deformable DETR", ICLR 2021, section 4.1. Every pixel of every map
looks at four points in each map, near its own place, and weighs what it finds there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models.blocks import resize

LEVELS = 3
POINTS = 4
INNER = 1024
NORM_GROUPS = 32
TEMPERATURE = 10_000

Size = tuple[int, int]


class PixelDecoder(nn.Module):
    """Maps at strides 4, 8, 16, 32 -> maps at 32, 16, 8 and pixels at 4, all [N, width, h, w]."""

    def __init__(self, widths: Sequence[int], width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, width, 1), nn.GroupNorm(NORM_GROUPS, width))
            for w in widths[:0:-1]
        )
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))
        self.layers = nn.ModuleList(PixelLayer(width, heads) for _ in range(layers))
        self.lateral = nn.Sequential(
            nn.Conv2d(widths[0], width, 1, bias=False), nn.GroupNorm(NORM_GROUPS, width)
        )
        self.output = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(NORM_GROUPS, width),
            nn.ReLU(inplace=True),
        )
        self.mask_projection = nn.Conv2d(width, width, 1)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        coarse = [project(x) for project, x in zip(self.projections, maps[:0:-1], strict=True)]
        sizes = [(x.shape[2], x.shape[3]) for x in coarse]
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in coarse], dim=1)
        positions = torch.cat(
            [
                sine_positions(x).flatten(2).transpose(1, 2) + level
                for x, level in zip(coarse, self.level_embed, strict=True)
            ],
            dim=1,
        )
        centers = torch.cat([pixel_centers(size, tokens) for size in sizes])
        for layer in self.layers:
            tokens = layer(tokens, positions, centers, sizes)
        parts = tokens.split([height * width for height, width in sizes], dim=1)
        coarse = [
            x.transpose(1, 2).unflatten(2, size) for x, size in zip(parts, sizes, strict=True)
        ]
        fine = self.lateral(maps[0])
        fine = self.output(fine + resize(coarse[-1], like=fine))
        return coarse, self.mask_projection(fine)


class PixelLayer(nn.Module):
    """Deformable attention and an MLP; each residual, each with a norm behind."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, INNER)
        self.fc2 = nn.Linear(INNER, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, positions: Tensor, centers: Tensor, sizes: list[Size]) -> Tensor:
        x = self.self_attn_layer_norm(x + self.self_attn(x, positions, centers, sizes))
        return self.final_layer_norm(x + self.fc2(F.relu(self.fc1(x))))


class DeformableAttention(nn.Module):
    """Each token looks at `POINTS` places in each map, for each head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.sampling_offsets = nn.Linear(width, heads * LEVELS * POINTS * 2)
        self.attention_weights = nn.Linear(width, heads * LEVELS * POINTS)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self._initialize()

    def _initialize(self) -> None:
        """Heads look into eight directions, points at 1 to 4 pixels, all weighed alike."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack([angles.cos(), angles.sin()], dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, POINTS + 1).view(1, 1, POINTS, 1)
        start = direction.view(self.heads, 1, 1, 2) * steps.expand(1, LEVELS, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(start.flatten())
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, positions: Tensor, centers: Tensor, sizes: list[Size]) -> Tensor:
        """Tokens [N, T, D] -> the same.

        Args:
            x: the pixels of all maps, one map after the other.
            positions: [1, T, D].
            centers: [T, 2], the place of each pixel (x, y) in 0..1.
            sizes: height and width of the maps.
        """
        batch, length, _ = x.shape
        asking = x + positions
        shape = (batch, length, self.heads, LEVELS)
        offsets = self.sampling_offsets(asking).view(*shape, POINTS, 2)
        weights = self.attention_weights(asking).view(batch, length, self.heads, -1).softmax(-1)
        weights = weights.transpose(1, 2).flatten(0, 1)[:, None]  # [N heads, 1, T, levels points]
        values = self.value_proj(x).split([height * width for height, width in sizes], dim=1)
        seen = []
        for level, (size, value) in enumerate(zip(sizes, values, strict=True)):
            # A tensor of both sides would be a constant in an export.
            x_offset, y_offset = offsets[:, :, :, level].unbind(-1)
            offset = torch.stack([x_offset / size[1], y_offset / size[0]], dim=-1)
            place = centers[None, :, None, None] + offset
            place = place.transpose(1, 2).flatten(0, 1)  # [N heads, T, points, 2]
            value = value.unflatten(2, (self.heads, -1)).permute(0, 2, 3, 1)
            value = value.flatten(0, 1).unflatten(2, size)  # [N heads, D / heads, h, w]
            seen.append(F.grid_sample(value, 2 * place - 1, align_corners=False))
        mixed = (torch.cat(seen, dim=-1) * weights).sum(-1)  # [N heads, D / heads, T]
        return self.output_proj(
            mixed.unflatten(0, (batch, self.heads)).flatten(1, 2).transpose(1, 2)
        )


def pixel_centers(size: Size, like: Tensor) -> Tensor:
    """[h w, 2]: x and y of the centers of pixels, in 0..1."""
    height, width = size
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], dim=-1)


def sine_positions(like: Tensor) -> Tensor:
    """[1, D, h, w]: sines and cosines of y, then of x, for a map [N, D, h, w]."""
    _, channels, height, width = like.shape
    half = channels // 2
    index = torch.arange(half, device=like.device)
    period = TEMPERATURE ** (2 * (index // 2) / half)

    def waves(length: int) -> Tensor:
        place = torch.arange(1, length + 1, device=like.device) / (length + 1e-6) * 2 * math.pi
        angle = place[:, None] / period
        return torch.where(index % 2 == 0, angle.sin(), angle.cos()).T.to(like.dtype)

    rows = waves(height)[:, :, None].expand(-1, -1, width)
    columns = waves(width)[:, None].expand(-1, height, -1)
    return torch.cat([rows, columns])[None]
