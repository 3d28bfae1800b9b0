"""U-Net, with batch norm and same padding.

Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015.

    image ─ 2 convs ───────────────── skip ─────────────────── 2 convs ─ head ─ logits
                └ pool, 2 convs ───── skip ───── 2 convs, up ┘
                     └ pool, 2 convs ─ ... ─ up ┘

Each level down halves the size and doubles the channels; `up` is a 2x2 transposed convolution
that halves the channels.

Differences from the paper: same instead of valid padding (the logits are as large as the image),
batch norm after each convolution, dropout on the deepest level only if set. 31.0 M parameters at
width 64, depth 4, as in the paper (batch norm adds 0.04%).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.models.blocks import ConvNormAct, pad_to_stride


class UNet(nn.Module):
    """U-Net from scratch.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        width: channels of the first level, >= 1; level `i` has width * 2**i.
        depth: number of times the size is halved, >= 1; the stride is 2**depth.
        dropout: channel dropout probability at the end of the deepest level, 0..1 (the paper gives
            none; the original code uses 0.5).

    Raises:
        ValueError: width or depth below 1.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 64,
        depth: int = 4,
        dropout: float = 0.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got {width} and {depth}")
        widths = [width * 2**level for level in range(depth + 1)]
        self.stride = 2**depth
        self.down = nn.ModuleList(
            _two_convs(i, o) for i, o in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(_two_convs(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        x = pad_to_stride(image, self.stride)
        skips = []
        for level, convs in enumerate(self.down):
            x = convs(self.pool(x) if level else x)
            skips.append(x)
        x = self.dropout(skips.pop())
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)[..., : image.shape[-2], : image.shape[-1]]


def _two_convs(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels)
    )
