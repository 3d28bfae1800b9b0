"""Building blocks shared by models: padding to the stride, conv-norm-activation, heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pad_to_stride(image: Tensor, stride: int, at_least: int | None = None) -> Tensor:
    """Pads an image on the right and bottom to a size that a model of this stride accepts.

    The border is replicated, so that no artificial edge appears. Models crop their logits back
    to the size of the image.

    Args:
        image: [N, C, H, W], H and W >= 1.
        stride: height and width of the result are multiples of it.
        at_least: minimum height and width of the result; twice the stride by default, so that the
            deepest map has several pixels and batch norm can be trained on a batch of one.

    Returns:
        [N, C, H', W'] with H' >= H and W' >= W.
    """
    smallest = 2 * stride if at_least is None else at_least
    height, width = image.shape[-2:]
    # Divide only non-negative numbers: in ONNX, integer division rounds towards zero.
    bottom = (torch.sym_max(height, smallest) + stride - 1) // stride * stride - height
    right = (torch.sym_max(width, smallest) + stride - 1) // stride * stride - width
    # An exported model takes any image size, so the size of the traced image must not matter here.
    if not torch.compiler.is_exporting() and not bottom and not right:
        return image
    pad = (0, right, 0, bottom)
    return F.pad(image, pad, mode="replicate")  # type: ignore[arg-type]


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Resizes [N, C, h, w] bilinearly to the height and width of `like`.

    Under autocast, CUDA computes this in float32 and a CPU in the dtype of `x`: on a GPU its
    gradient uses atomic adds, which are slower in 16 bits and not deterministic.
    """
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _keep_nearest_in_16_bits() -> None:
    """Keeps nearest-neighbor upsampling in 16 bits under CUDA autocast, as on a CPU.

    It only repeats values, so float32 adds no precision; it would double the memory traffic of a
    decoder and give its convolutions float32 inputs to cast back. Decoders of other libraries
    call torch directly, so this changes the rule in torch's autocast registry.
    """
    for name in ("upsample_nearest2d", "upsample_nearest2d.vec"):
        _AUTOCAST.impl(name, torch.library.fallthrough_kernel, allow_override=True)


_AUTOCAST = torch.library.Library("aten", "IMPL", "AutocastCUDA")
_keep_nearest_in_16_bits()


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; [N, in, H, W] -> [N, out, H/stride, W/stride].

    `act=False` omits the ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
        )
        if act:
            self.append(nn.ReLU(inplace=True))


class DropPath(nn.Module):
    """Stochastic depth: in training, the whole branch of some images is left out.

    Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016. Any shape [N, ...] stays.

    Args:
        rate: share of images, 0..1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        keep = 1 - self.rate
        drawn = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device, dtype=x.dtype)
        return x * (drawn < keep) / keep


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps [N, C, H, W]; the shape stays."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FCNHead(nn.Sequential):
    """The usual auxiliary classifier: one or more 3x3 convolutions, dropout, 1x1 convolution.

    Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.3.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        dropout: float = 0.1,
        convs: int = 1,
    ) -> None:
        super().__init__(
            ConvNormAct(in_channels, channels),
            *(ConvNormAct(channels, channels) for _ in range(convs - 1)),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch norm after a pooling that may leave one pixel; also trains on a batch of one.

    A single value per channel has no variance, and torch raises an error. Such a step is normalized
    with the running statistics and does not update them; a larger batch is ordinary batch norm.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def allow_batches_of_one(network: nn.Module) -> None:
    """Replaces every batch norm after a global pooling, in place, by `PooledBatchNorm2d`.

    For models of other libraries (ASPP, UPerNet, PAN), before they are trained or loaded.
    """
    for branch in list(network.modules()):
        if not isinstance(branch, nn.Sequential) or not _pools_to_one(branch):
            continue
        for parent in list(branch.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.BatchNorm2d:
                    setattr(parent, name, PooledBatchNorm2d(child.num_features, child.eps))


def _pools_to_one(branch: nn.Sequential) -> bool:
    first = next(branch.children(), None)
    return isinstance(first, nn.AdaptiveAvgPool2d) and first.output_size in (1, (1, 1))


def initialize_convolutions(network: nn.Module) -> None:
    """Initializes all convolutions for ReLU, in place: He normal with fan-out, biases 0.

    He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 14.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fill_bilinear(deconvolution: nn.ConvTranspose2d) -> None:
    """Initializes a transposed convolution to per-channel bilinear interpolation.

    Long et al., "Fully Convolutional Networks", CVPR 2015, section 3.3.

    Raises:
        ValueError: the numbers of input and output channels differ.
    """
    if deconvolution.in_channels != deconvolution.out_channels or deconvolution.groups != 1:
        raise ValueError(
            "bilinear filling needs as many output as input channels in one group, got "
            f"{deconvolution.in_channels} -> {deconvolution.out_channels}"
        )
    size = deconvolution.kernel_size[0]
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    ramp = 1 - (torch.arange(size, dtype=torch.float32) - center).abs() / factor
    with torch.no_grad():
        deconvolution.weight.zero_()
        for channel in range(deconvolution.in_channels):
            deconvolution.weight[channel, channel] = ramp[:, None] * ramp[None, :]
