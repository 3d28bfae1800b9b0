"""PSPNet, from the parts of segmentation_models_pytorch.

Zhao, Shi, Qi, Wang, Jia: "Pyramid Scene Parsing Network", CVPR 2017.

    image -> encoder, dilated to stride 8 -> pool to 1, 2, 3, 6 bins, 1x1 convs, up, concat -> head
                        stage 4 -> auxiliary head (training only)

Differences from the paper, all smp's: the 1-bin branch has no batch norm, a 1x1 (not 3x3)
convolution fuses the pyramid, the ResNets start with one 7x7 (not three 3x3) convolution.
"""

from __future__ import annotations

from typing import Literal

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segbench.models.blocks import FCNHead, pad_to_stride, resize
from segbench.models.smp_network import build_smp, translate_smp_key


class PSPNet(nn.Module):
    """PSPNet with an auxiliary head.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        encoder_name: as in `segbench.models.smp`; it must support dilation (the ResNets do).
        encoder_weights: as in `segbench.models.smp`.
        encoder_output_stride: 8 (the paper) or 16 (a quarter of the cost in the last stages).
        psp_out_channels: output channels of the pyramid.
        psp_dropout: channel dropout probability before the head, 0..1.
        aux_weight: weight of the auxiliary loss (0.4 in the paper); 0 builds no auxiliary head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        encoder_name: str = "resnet50",
        encoder_weights: str | None = None,
        encoder_output_stride: Literal[8, 16] = 8,
        psp_out_channels: int = 512,
        psp_dropout: float = 0.1,
        aux_weight: float = 0.4,
    ) -> None:
        super().__init__()
        network = build_smp(
            lambda weights: smp.PSPNet(
                encoder_name,
                weights,
                encoder_depth=5,
                psp_out_channels=psp_out_channels,
                psp_dropout=psp_dropout,
                in_channels=in_channels,
                classes=num_classes,
                upsampling=encoder_output_stride,
                output_stride=encoder_output_stride,
            ),
            encoder_name,
            encoder_weights,
        )
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.head = network.segmentation_head
        self.stride = encoder_output_stride
        self.aux_weight = aux_weight
        width = self.encoder.out_channels[-2]
        self.aux_head = FCNHead(width, width // 4, num_classes) if aux_weight else None

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        features = self.encoder(pad_to_stride(image, self.stride))
        logits = self.head(self.decoder(features))
        return logits[..., : image.shape[-2], : image.shape[-1]]

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.stride)
        features = self.encoder(padded)
        maps = [self.head(self.decoder(features))]
        if self.aux_head is not None:
            maps.append(resize(self.aux_head(features[-2]), like=padded))
        logits, *aux = [x[..., : image.shape[-2], : image.shape[-1]] for x in maps]
        return logits, aux

    def translate_key(self, key: str) -> str | None:
        """Translates a key of an smp checkpoint to its name here; None if the part is not used."""
        return translate_smp_key(self, key)
