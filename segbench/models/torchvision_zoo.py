"""Torchvision's segmentation models, behind explicit arguments.

    image -> encoder -> head -> bilinear to the size of the image -> logits
                └ stage 3 -> auxiliary head (FCN and DeepLabV3, training only)

The models are torchvision's own. Every function takes
    encoder_weights: null (from scratch) or `imagenet`, torchvision's first ImageNet weights (V1)
        for the backbone; they must be cached or reachable.
    aux_weight: weight of the auxiliary loss; 0 builds no auxiliary head.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import segmentation

from segbench.models.blocks import allow_batches_of_one, pad_to_stride, resize
from segbench.models.first_convolution import widen_first_convolution
from segbench.models.hub import unreachable

SMALLEST = 32


class TorchvisionNetwork(nn.Module):
    """Encoder, head and auxiliary head of a torchvision segmentation model.

    Args:
        network: the model; its auxiliary classifier, if any, is kept.
        aux_weight: weight of the auxiliary loss.
    """

    def __init__(self, network: nn.Module, aux_weight: float = 0.0) -> None:
        super().__init__()
        allow_batches_of_one(network)
        self.encoder = network.get_submodule("backbone")
        self.head = network.get_submodule("classifier")
        self.aux_head = getattr(network, "aux_classifier", None)
        self.aux_weight = aux_weight
        # The LR-ASPP head takes both feature maps, the others only the last one.
        self.takes_all = isinstance(network, segmentation.LRASPP)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, 1, at_least=SMALLEST)
        features = self.encoder(padded)
        logits = self.head(features if self.takes_all else features["out"])
        return resize(logits, like=padded)[..., : image.shape[-2], : image.shape[-1]]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, 1, at_least=SMALLEST)
        features = self.encoder(padded)
        maps = [self.head(features if self.takes_all else features["out"])]
        if self.aux_head is not None:
            maps.append(self.aux_head(features["aux"]))
        full = [resize(x, like=padded)[..., : image.shape[-2], : image.shape[-1]] for x in maps]
        return full[0], full[1:]

    @staticmethod
    def translate_key(key: str) -> str:
        """Translates a parameter name of a torchvision checkpoint to its name here."""
        part, _, rest = key.partition(".")
        ours = {"backbone": "encoder", "classifier": "head", "aux_classifier": "aux_head"}
        return f"{ours.get(part, part)}.{rest}"


def fcn_resnet50(
    num_classes: int,
    encoder_weights: str | None = None,
    aux_weight: float = 0.5,
    in_channels: int = 3,
) -> TorchvisionNetwork:
    """FCN head on a ResNet-50 dilated to stride 8; `aux_weight` 0 builds no auxiliary head."""
    network = segmentation.fcn_resnet50(
        weights=None,
        weights_backbone=_backbone(models.ResNet50_Weights.IMAGENET1K_V1, encoder_weights),
        num_classes=num_classes,
        aux_loss=bool(aux_weight),
    )
    widen_first_convolution(network, in_channels, encoder_weights)
    return TorchvisionNetwork(network, aux_weight)


def deeplabv3_resnet50(
    num_classes: int,
    encoder_weights: str | None = None,
    aux_weight: float = 0.5,
    in_channels: int = 3,
) -> TorchvisionNetwork:
    """DeepLabV3 on a ResNet-50 dilated to stride 8; `aux_weight` 0 builds no auxiliary head."""
    network = segmentation.deeplabv3_resnet50(
        weights=None,
        weights_backbone=_backbone(models.ResNet50_Weights.IMAGENET1K_V1, encoder_weights),
        num_classes=num_classes,
        aux_loss=bool(aux_weight),
    )
    widen_first_convolution(network, in_channels, encoder_weights)
    return TorchvisionNetwork(network, aux_weight)


def lraspp_mobilenet_v3_large(
    num_classes: int,
    encoder_weights: str | None = None,
    norm_momentum: float = 0.01,
    in_channels: int = 3,
) -> TorchvisionNetwork:
    """LR-ASPP on MobileNetV3-Large; Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Args:
        num_classes: channels of the logits.
        encoder_weights: null or imagenet.
        norm_momentum: momentum of the encoder's batch norm, 0..1. Torchvision's 0.01 suits the
            tens of thousands of steps of its own training: after n steps, 0.99^n of the initial
            mean 0 and variance 1 is left in the statistics of prediction (37% after 100 steps).
        in_channels: channels of the image.
    """
    weights = _backbone(models.MobileNet_V3_Large_Weights.IMAGENET1K_V1, encoder_weights)
    network = segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=weights, num_classes=num_classes
    )
    for module in network.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = norm_momentum
    widen_first_convolution(network, in_channels, encoder_weights)
    return TorchvisionNetwork(network)


def _backbone(
    imagenet: models.WeightsEnum, encoder_weights: str | None
) -> models.WeightsEnum | None:
    if encoder_weights is None:
        return None
    if encoder_weights != "imagenet":
        raise ValueError(f"encoder_weights={encoder_weights!r}: expected null or 'imagenet'")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(imagenet.url).name
    problem = None if cached.is_file() else unreachable(imagenet.url)
    if problem is not None:
        raise ValueError(
            f"encoder_weights='imagenet': {cached} does not exist and cannot be downloaded "
            f"({problem}). Put {cached.name} there, set TORCH_HOME to a folder that contains it "
            "in hub/checkpoints, or train from scratch with encoder_weights=null"
        )
    return imagenet
