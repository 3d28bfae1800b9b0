"""A model without batch-dependent layers, for tests that set their own `_target_`."""

from __future__ import annotations

from torch import Tensor, nn


class LinearNet(nn.Module):
    """One 1x1 convolution; takes the arguments of `UNet`, so that `model=unet` fits."""

    def __init__(self, num_classes: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] -> logits [N, num_classes, H, W]."""
        return self.head(image)
