"""One smp model as a segbench model: any image size, checked encoder, weights that fail fast."""

from __future__ import annotations

from collections.abc import Callable

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segbench.models import encoders
from segbench.models.blocks import allow_batches_of_one, pad_to_stride

Build = Callable[[str | bool | None], smp.base.SegmentationModel]


def build_smp(build: Build, encoder_name: str, weights: str | None) -> smp.base.SegmentationModel:
    """Checks the encoder's name and weights, builds, and turns smp's errors into ValueError."""
    encoders.check_encoder_name(encoder_name)
    packaged = weights == "package" and encoder_name in encoders.PACKAGED
    if weights is not None and not packaged:
        encoders.check_encoder_weights(encoder_name, weights)
    of_timm = encoder_name.startswith("tu-")
    try:
        # timm takes a bool: which weights is part of the model name.
        network = build(None if packaged or weights is None else of_timm or weights)
    except Exception as error:
        if hasattr(error, "exit_code"):  # ended by a signal
            raise
        raise ValueError(
            f"segmentation_models_pytorch refuses this model on {encoder_name!r}: {error}"
        ) from None
    if packaged:
        encoders.load_packaged(network.encoder, encoder_name)
    return network


class SmpNetwork(nn.Module):
    """Encoder, decoder and head of an smp model, for images of any size.

    Args:
        network: any smp model without a classification head.
        stride: both sides are padded to a multiple of it; None: the encoder's output stride.
        at_least: minimum height and width that the network accepts; smaller images are padded.
    """

    def __init__(
        self,
        network: smp.base.SegmentationModel,
        stride: int | None = None,
        at_least: int | None = None,
    ) -> None:
        super().__init__()
        allow_batches_of_one(network)
        encoders.fix_same_padding(network.encoder)
        encoders.fuse_attention(network.encoder)
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.head = network.segmentation_head
        self.stride = stride or int(network.encoder.output_stride)
        self.at_least = at_least

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> logits [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.stride, self.at_least)
        features = self.encoder(padded)
        # A ViT encoder returns (maps, prefix tokens), all others a list of maps.
        decoded = self.decoder(*features) if isinstance(features, tuple) else self.decoder(features)
        return self.head(decoded)[..., : image.shape[-2], : image.shape[-1]]

    def translate_key(self, key: str) -> str | None:
        """Translates a key of an smp checkpoint to its name here; None if the part is not used."""
        return translate_smp_key(self, key)


def translate_smp_key(model: nn.Module, key: str) -> str | None:
    """Translates a key of an smp checkpoint for a model of smp's parts; None if not used here.

    Args:
        model: has smp's `encoder` and `decoder`, and smp's `segmentation_head` as `head`.
        key: a name in the checkpoint or in the model.
    """
    if key.startswith("segmentation_head."):
        return f"head.{key.removeprefix('segmentation_head.')}"
    unused = ("classification_head.", "encoder.model.norm.", "encoder.model.head.")
    return None if key.startswith(unused) and key not in model.state_dict() else key
