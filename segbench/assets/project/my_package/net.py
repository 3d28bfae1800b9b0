"""A small encoder-decoder: replace it with your own network."""

from torch import Tensor, nn
from torch.nn import functional as F


class MyNet(nn.Module):
    """Two strided stages, then upsampling to the size of the image.

    Args:
        num_classes: given by the data set.
        width: channels of the first stage.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = _block(3, width, stride=1)
        self.down = _block(width, 2 * width, stride=2)
        self.deep = _block(2 * width, 4 * width, stride=2)
        self.up = nn.Conv2d(4 * width, width, 1)
        self.head = nn.Conv2d(width, num_classes, 1)  # fine-tuning replaces the layer named head

    def forward(self, image: Tensor) -> Tensor:
        """Normalized images `[N, 3, H, W]` to logits `[N, num_classes, H, W]`."""
        detail = self.stem(image)
        context = self.up(self.deep(self.down(detail)))
        context = F.interpolate(context, size=image.shape[-2:], mode="bilinear")
        return self.head(detail + context)


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
