"""UPerNet on ConvNeXt and Swin.

Xiao, Liu, Zhou, Jiang, Sun: "Unified Perceptual Parsing for Scene Understanding", ECCV 2018; on
Swin in Liu et al., ICCV 2021, on ConvNeXt in Liu et al., CVPR 2022.

    image ─ 1/4 ─ 1/8 ─ 1/16 ─ 1/32 ─ pooled to 1, 2, 3, 6, concat ┐
             │     │     │ └ auxiliary head (training only)        │
             +  ←  +  ←  +  ←──────────────────────────────────────┤   top-down, upsampled
             └─────┴─────┴── 3x3 each, up to 1/4, concat ──────────┘─ fusion ─ head

The encoder is timm's, with a layer norm behind each stage, as in mmsegmentation.

Differences from the papers: none in the layers. Images are padded to a multiple of 32.
`weights=FOLDER` reads a model of transformers (UperNetForSemanticSegmentation).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segbench.models import transformers_names
from segbench.models.blocks import (
    ConvNormAct,
    FCNHead,
    allow_batches_of_one,
    initialize_convolutions,
    pad_to_stride,
    resize,
)
from segbench.models.timm_encoder import STRIDES, PyramidEncoder

CELLS = (1, 2, 3, 6)
AUX_WIDTH = 256


class UPerNet(nn.Module):
    """UPerNet on a ConvNeXt or Swin of timm.

    Args:
        num_classes: channels of the logits.
        encoder_name: of timm.
        encoder_weights: null (from scratch) or `pretrained`.
        decoder_width: channels of the decoder.
        drop_path_rate: stochastic depth of the deepest block of the encoder, 0..1.
        dropout: share of dropped channels in front of the head, 0..1.
        aux_weight: weight of the auxiliary loss; 0 builds no auxiliary head.
        in_channels: channels of the image.

    Raises:
        ValueError: an unknown encoder, or weights that cannot be had.
    """

    def __init__(
        self,
        num_classes: int,
        encoder_name: str = "convnext_tiny",
        encoder_weights: str | None = None,
        decoder_width: int = 512,
        drop_path_rate: float = 0.4,
        dropout: float = 0.1,
        aux_weight: float = 0.4,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(encoder_name, encoder_weights, drop_path_rate, in_channels)
        widths = self.encoder.widths
        self.decoder = PyramidDecoder(widths, decoder_width)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(decoder_width, num_classes, 1)
        self.aux_weight = aux_weight
        self.aux_head = FCNHead(widths[2], AUX_WIDTH, num_classes, dropout) if aux_weight else None
        for part in (self.decoder, self.head, self.aux_head):
            if part is not None:
                initialize_convolutions(part)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDES[-1])
        x = self.head(self.dropout(self.decoder(self.encoder(padded))))
        return _enlarge(x, padded, image)

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and a list of the auxiliary logits, all [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDES[-1])
        maps = self.encoder(padded)
        logits = [self.head(self.dropout(self.decoder(maps)))]
        if self.aux_head is not None:
            logits.append(self.aux_head(maps[2]))
        full = [_enlarge(x, padded, image) for x in logits]
        return full[0], full[1:]

    @staticmethod
    def translate_key(key: str) -> str:
        """Name here of a key of a model of transformers."""
        return transformers_names.rename(key, transformers_names.UPERNET)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters with queries, keys and values in one."""
        return transformers_names.join_projections(state)


class PyramidDecoder(nn.Module):
    """Four maps, the finest first -> [N, width, h, w] at the size of the finest."""

    def __init__(self, widths: list[int], width: int) -> None:
        super().__init__()
        deepest = widths[-1]
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), ConvNormAct(deepest, width, 1))
            for cells in CELLS
        )
        self.bottleneck = ConvNormAct(deepest + len(CELLS) * width, width)
        self.laterals = nn.ModuleList(ConvNormAct(w, width, 1) for w in widths[:-1])
        self.outputs = nn.ModuleList(ConvNormAct(width, width) for _ in widths[:-1])
        self.fusion = ConvNormAct(len(widths) * width, width)
        allow_batches_of_one(self)

    def forward(self, maps: list[Tensor]) -> Tensor:
        deepest = maps[-1]
        pooled = [resize(pool(deepest), like=deepest) for pool in self.pools]
        coarse = [self.bottleneck(torch.cat([deepest, *pooled], dim=1))]
        for x, lateral in zip(maps[-2::-1], reversed(self.laterals), strict=True):
            fine = lateral(x)
            coarse.insert(0, fine + resize(coarse[0], like=fine))
        levels = [output(x) for output, x in zip(self.outputs, coarse[:-1], strict=True)]
        levels.append(coarse[-1])
        return self.fusion(torch.cat([resize(x, like=levels[0]) for x in levels], dim=1))


def _enlarge(x: Tensor, padded: Tensor, image: Tensor) -> Tensor:
    """Resize a map to the padded image and cut it to the image."""
    return resize(x, like=padded)[..., : image.shape[-2], : image.shape[-1]]
