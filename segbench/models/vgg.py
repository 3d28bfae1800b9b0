"""The 13 convolutions of VGG16, as five stages without the pooling between them.

Simonyan and Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, configuration D. The batch norm after each convolution was added in later years; without
it the model does not train from scratch.
"""

from __future__ import annotations

from torch import nn

from segbench.models.blocks import ConvNormAct

WIDTHS = (64, 128, 256, 512, 512)
CONVS = (2, 2, 3, 3, 3)


def vgg16_stages(in_channels: int = 3) -> nn.ModuleList:
    """Five stages; the first takes `in_channels`, stage `i` outputs WIDTHS[i]. Pool 2x2 between."""
    stages = nn.ModuleList()
    channels = in_channels
    for width, convs in zip(WIDTHS, CONVS, strict=True):
        stage = nn.Sequential()
        for _ in range(convs):
            stage.append(ConvNormAct(channels, width))
            channels = width
        stages.append(stage)
    return stages
