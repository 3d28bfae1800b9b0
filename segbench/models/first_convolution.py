"""Weights of the first convolution for images of other than three channels.

The rule is that of timm and segmentation_models_pytorch: for one channel, the weights of R, G and B
are summed; for more, they are repeated R, G, B, R, ... and scaled by 3 / in_channels, so that an
image of equal channels gives the same output as a gray RGB image. Both libraries take seconds to
import, so they are imported only where an image has other channels.
"""

from __future__ import annotations

from torch import Tensor, nn

RGB = 3


def widen_first_convolution(
    network: nn.Module, in_channels: int, encoder_weights: str | None
) -> None:
    """Changes the number of input channels of a network for RGB, in place.

    Args:
        network: its first convolution with three channels is replaced.
        in_channels: channels of the image.
        encoder_weights: None initializes new weights; otherwise the RGB weights are inflated.
    """
    if in_channels != RGB:
        from segmentation_models_pytorch.encoders._utils import patch_first_conv

        patch_first_conv(network, in_channels, RGB, pretrained=encoder_weights is not None)


def inflated(weight: Tensor, in_channels: int) -> Tensor:
    """Converts weights `[out, 3, h, w]` of a first convolution to `[out, in_channels, h, w]`."""
    if in_channels == RGB:
        return weight
    from timm.models import adapt_input_conv

    return adapt_input_conv(in_channels, weight)


def is_inflatable(given: Tensor, own: Tensor) -> bool:
    """Whether weights are for a first convolution on RGB, but the model has other channels."""
    if given.ndim != 4 or own.ndim != 4 or given.shape[1] != RGB or own.shape[1] == RGB:
        return False
    return given.shape[0] == own.shape[0] and given.shape[2:] == own.shape[2:]
