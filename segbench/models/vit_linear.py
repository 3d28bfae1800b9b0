"""A plain vision transformer with a linear head.

The measure of a pretrained backbone that Kerssies, De Geus, Dubbelman: "How to Benchmark Vision
Foundation Models for Semantic Segmentation?", CVPR Workshops 2024, recommend: fine-tuned as a
whole, with a decoder that adds nothing. The backbones are DINOv2 (Oquab et al., TMLR 2024), DINOv3
(Siméoni et al. 2025) and every other plain ViT of timm.

    image ─ patches ─ transformer ─ norm ─ head (1x1) ─ up

Differences from the papers: images are padded to a multiple of the patch. Positions of DINOv2 are
resampled bicubically without antialiasing, as its first release and transformers do.
`weights=FOLDER` reads a Dinov2Model or DINOv3ViTModel of transformers into the encoder.
"""

from __future__ import annotations

from torch import Tensor, nn

from segbench.models import transformers_names
from segbench.models.blocks import pad_to_stride, resize
from segbench.models.timm_encoder import PlainViT


class ViTLinear(nn.Module):
    """A vision transformer of timm and one linear layer.

    Args:
        num_classes: channels of the logits.
        encoder_name: of timm, such as `vit_small_patch14_dinov2` or `vit_small_patch16_dinov3`.
        encoder_weights: null (from scratch) or `pretrained`.
        drop_path_rate: stochastic depth of every block, 0..1.
        in_channels: channels of the image.

    Raises:
        ValueError: an unknown encoder, or weights that cannot be had.
    """

    def __init__(
        self,
        num_classes: int,
        encoder_name: str = "vit_small_patch14_dinov2",
        encoder_weights: str | None = None,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = PlainViT(encoder_name, encoder_weights, drop_path_rate, in_channels)
        self.head = nn.Conv2d(self.encoder.width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.encoder.stride)
        logits = resize(self.head(self.encoder(padded)), like=padded)
        return logits[..., : image.shape[-2], : image.shape[-1]]

    @staticmethod
    def translate_key(key: str) -> str:
        """Name here of a key of a model of transformers."""
        return transformers_names.rename(key, transformers_names.DINO)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters with queries, keys and values in one."""
        return transformers_names.join_projections(state)
