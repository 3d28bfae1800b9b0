"""SegFormer and DPT of segmentation_models_pytorch, behind explicit arguments.

Every function takes `num_classes`, `in_channels`, as in `segbench.models.smp`, and
    encoder_name: `mit_b0` to `mit_b5` for SegFormer; `tu-` and a ViT of timm for DPT.
    encoder_weights: null (from scratch) or `imagenet`, which must be cached or reachable.
    drop_path_rate: stochastic depth of the deepest block, rising linearly from 0; 0..1.
"""

from __future__ import annotations

from typing import Literal

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segbench.models import transformers_names
from segbench.models.smp_network import SmpNetwork, build_smp


class SegFormer(SmpNetwork):
    """An smp SegFormer with the authors' upsampling; reads those of transformers too.

    smp upsamples the logits with aligned corners, the authors without.
    """

    def __init__(self, network: smp.base.SegmentationModel) -> None:
        super().__init__(network)
        self.head[1] = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)

    def translate_key(self, key: str) -> str | None:
        """Name here of a key of smp or of transformers."""
        return super().translate_key(transformers_names.rename(key, transformers_names.SEGFORMER))

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters with keys and values in one."""
        return transformers_names.join_projections(state)


def segformer(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "mit_b0",
    encoder_weights: str | None = None,
    decoder_segmentation_channels: int = 256,
    drop_path_rate: float = 0.1,
) -> SegFormer:
    """SegFormer; Xie et al., NeurIPS 2021.

    `drop_path_rate` is the stochastic depth of the deepest block, rising linearly from 0; only
    the `mit_` encoders have it. The paper's B0 decodes with 256 channels, B2 to B5 with 768.
    """
    network = build_smp(
        lambda weights: smp.Segformer(
            encoder_name,
            encoder_weights=weights,
            decoder_segmentation_channels=decoder_segmentation_channels,
            in_channels=in_channels,
            classes=num_classes,
        ),
        encoder_name,
        encoder_weights,
    )
    if encoder_name.startswith("mit_"):
        blocks = [b for n in (1, 2, 3, 4) for b in getattr(network.encoder, f"block{n}")]
        for place, block in enumerate(blocks[1:], start=1):
            block.drop_path.drop_prob = drop_path_rate * place / (len(blocks) - 1)
    elif drop_path_rate:
        raise ValueError(
            f"drop_path_rate={drop_path_rate} has no effect on {encoder_name!r}: set it to 0 or "
            "use an encoder whose name starts with mit_"
        )
    return SegFormer(network)


def dpt(
    num_classes: int,
    in_channels: int = 3,
    encoder_name: str = "tu-vit_small_patch16_224",
    encoder_weights: str | None = None,
    encoder_depth: int = 4,
    decoder_readout: Literal["ignore", "add", "cat"] = "cat",
    decoder_intermediate_channels: list[int] | None = None,
    decoder_fusion_channels: int = 256,
    drop_path_rate: float = 0.0,
) -> SmpNetwork:
    """DPT on any plain ViT of timm; Ranftl et al., "Vision Transformers for Dense Prediction".

    ICCV 2021. Position embeddings are interpolated to the image's size.
    `decoder_intermediate_channels` has one width per tapped block; null: 256, 512, 1024, 1024.
    """
    widths = decoder_intermediate_channels or [256, 512, 1024, 1024]
    network = build_smp(
        lambda weights: smp.DPT(
            encoder_name,
            encoder_depth,
            weights,
            decoder_readout=decoder_readout,
            decoder_intermediate_channels=list(widths),
            decoder_fusion_channels=decoder_fusion_channels,
            in_channels=in_channels,
            classes=num_classes,
            dynamic_img_size=True,
            drop_path_rate=drop_path_rate,
        ),
        encoder_name,
        encoder_weights,
    )
    # Not reached by the taps: parameters without gradients break distributed training.
    network.encoder.model.norm = nn.Identity()
    network.encoder.model.head = nn.Identity()
    # The deepest map has half the size of the token grid.
    return SmpNetwork(network, stride=2 * network.encoder.output_stride)
