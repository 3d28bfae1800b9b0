"""FCN-8s on VGG16.

Long, Shelhamer, Darrell: "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.

    image ─ conv1 ─ pool ─ conv2 ─ pool ─ conv3 ─ pool3 ─ conv4 ─ pool4 ─ conv5 ─ pool5 ─ fc6 ─ fc7
                                            1/8             1/16                    1/32
    head:                                 score           score                           score
                                            └ + ─ up x2 ────┴ + ─ up x2 ────────────────────┘
                                              └ up x8 ─ logits

Differences from the paper: batch norm after the convolutions (without it the model does not train
from scratch), same padding instead of 100 pixels around the image, and the three deconvolutions
are initialized to bilinear interpolation and are all learned (the paper keeps the last one fixed).
The scores are initialized to zero, as in the paper. 134.5 M parameters with 21 classes, most of
them in fc6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.models.blocks import fill_bilinear, pad_to_stride
from segbench.models.vgg import WIDTHS, vgg16_stages

STRIDE = 32


class FCN8s(nn.Module):
    """FCN-8s from scratch.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        fc_channels: channels of fc6 and fc7, 4096 in the paper.
        dropout: channel dropout probability after fc6 and fc7, 0..1; 0.5 in the paper.
    """

    def __init__(
        self, num_classes: int, fc_channels: int = 4096, dropout: float = 0.5, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.stages = vgg16_stages(in_channels)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], fc_channels, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(fc_channels, fc_channels, 1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        )
        self.head = SkipFusion(fc_channels, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        x = pad_to_stride(image, STRIDE)
        pools = []
        for stage in self.stages:
            x = self.pool(stage(x))
            pools.append(x)
        logits = self.head(self.fc(x), pools[3], pools[2])
        return logits[..., : image.shape[-2], : image.shape[-1]]


class SkipFusion(nn.Module):
    """Scores at strides 32, 16 and 8, summed while upsampling to the size of the image."""

    def __init__(self, fc_channels: int, num_classes: int) -> None:
        super().__init__()
        self.score32 = nn.Conv2d(fc_channels, num_classes, 1)
        self.score16 = nn.Conv2d(WIDTHS[3], num_classes, 1)
        self.score8 = nn.Conv2d(WIDTHS[2], num_classes, 1)
        self.up32 = _deconvolution(num_classes, 2)
        self.up16 = _deconvolution(num_classes, 2)
        self.up8 = _deconvolution(num_classes, 8)
        for score in (self.score32, self.score16, self.score8):
            nn.init.zeros_(score.weight)
            nn.init.zeros_(torch.as_tensor(score.bias))

    def forward(self, fc: Tensor, pool4: Tensor, pool3: Tensor) -> Tensor:
        """Maps at strides 32, 16, 8 -> logits at stride 1."""
        x = self.up32(self.score32(fc)) + self.score16(pool4)
        x = self.up16(x) + self.score8(pool3)
        return self.up8(x)


def _deconvolution(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Learned upsampling by `factor`, initialized to bilinear interpolation."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False
    )
    fill_bilinear(layer)
    return layer
