"""SegNet.

Badrinarayanan, Kendall, Cipolla: "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
Image Segmentation", TPAMI 2017.

    image ─ convs ─ pool ─ ... 5 stages of VGG16 ... ─ pool ┐
                      └───── indices of the maxima ─────┐   │
    logits ─ head ─ convs ─ unpool ─ ... mirrored ... ─ unpool

Max-unpooling puts each value where the encoder found its maximum and zeros elsewhere, so only
the indices are passed to the decoder, not the maps.

Differences from the paper: no bias before batch norm; trained from scratch by default, where the
paper starts from VGG16's ImageNet weights. 29.4 M parameters, as the paper's.
"""

from __future__ import annotations

from torch import Tensor, nn

from segbench.models.blocks import ConvNormAct, pad_to_stride
from segbench.models.vgg import CONVS, WIDTHS, vgg16_stages

STRIDE = 32


class SegNet(nn.Module):
    """SegNet from scratch.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        dropout: channel dropout probability after the three deepest encoder and decoder stages,
            0..1; 0 is SegNet, 0.5 the published Bayesian SegNet.
    """

    def __init__(self, num_classes: int, dropout: float = 0.0, in_channels: int = 3) -> None:
        super().__init__()
        self.encoder = vgg16_stages(in_channels)
        self.decoder = nn.ModuleList()
        for level in range(4, -1, -1):
            stage = nn.Sequential()
            for _ in range(CONVS[level] - 1):
                stage.append(ConvNormAct(WIDTHS[level], WIDTHS[level]))
            if level:
                stage.append(ConvNormAct(WIDTHS[level], WIDTHS[level - 1]))
            self.decoder.append(stage)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        x = pad_to_stride(image, STRIDE)
        indices = []
        for level, stage in enumerate(self.encoder):
            x, where = self.pool(stage(x))
            indices.append(where)
            x = self.dropout(x) if level >= 2 else x
        for level, stage in zip(range(4, -1, -1), self.decoder, strict=True):
            x = stage(unpool(x, indices[level]))
            x = self.dropout(x) if level >= 2 else x
        return self.head(x)[..., : image.shape[-2], : image.shape[-1]]


def unpool(maxima: Tensor, indices: Tensor) -> Tensor:
    """Puts each value where the encoder found it in its 2x2 window, zeros elsewhere.

    Returns the same values as `nn.MaxUnpool2d(2)`, which has no deterministic implementation.

    Args:
        maxima: [N, C, H, W].
        indices: flat indices of the maxima in planes of 2H x 2W, as `nn.MaxPool2d` returns them.

    Returns:
        [N, C, 2H, 2W].
    """
    n, c, h, w = maxima.shape
    flat = maxima.new_zeros(n, c, 4 * h * w)
    return flat.scatter(2, indices.flatten(2), maxima.flatten(2)).view(n, c, 2 * h, 2 * w)
