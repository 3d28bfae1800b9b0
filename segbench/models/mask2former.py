"""Mask2Former on Swin.

Cheng, Misra, Schwing, Kirillov, Girdhar: "Masked-attention Mask Transformer for Universal Image
Segmentation", CVPR 2022.

    image ─ 1/4 ─ 1/8 ─ 1/16 ─ 1/32
             │     └─────┴──────┴─ pixel decoder (deformable attention) ─┐ 1/32, 1/16, 1/8, in turn
             └────────── + ← up ─────────────────────────────────────────┤
                         └ pixels at 1/4 ─────────── head ── queries ── 9 decoder layers
    training only: a prediction in front of each decoder layer

Each decoder layer lets the queries see one map, each only within its mask of the layer before, then
each other. The training loss is the model's own, see `query_loss`. Logits are logs of sums over
queries of class probability times mask probability.

Differences from the paper: none in the layers. Images are padded to a multiple of 32.
`weights=FOLDER` reads Mask2FormerForUniversalSegmentation of transformers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import transformers_names
from segbench.models.blocks import pad_to_stride
from segbench.models.pixel_decoder import PixelDecoder, sine_positions
from segbench.models.query_head import Queries, QueryHead, class_scores
from segbench.models.query_loss import Prediction, QueryLoss
from segbench.models.timm_encoder import STRIDES, PyramidEncoder

IGNORED = 255
LEVELS = 3
HEADS = 8


class Mask2Former(nn.Module):
    """Mask2Former on a Swin or ConvNeXt of timm.

    Args:
        num_classes: channels of the logits.
        encoder_name: of timm.
        encoder_weights: null (from scratch) or `pretrained`.
        num_queries: at least as many as classes.
        width: channels of pixels and queries, a multiple of 32.
        pixel_layers: of the pixel decoder.
        decoder_layers: of the decoder.
        drop_path_rate: stochastic depth of the deepest block of the encoder, 0..1.
        in_channels: channels of the image.

    Raises:
        ValueError: an unknown encoder, weights that cannot be had, or too few queries.
    """

    def __init__(
        self,
        num_classes: int,
        encoder_name: str = "swin_tiny_patch4_window7_224",
        encoder_weights: str | None = None,
        num_queries: int = 100,
        width: int = 256,
        pixel_layers: int = 6,
        decoder_layers: int = 9,
        drop_path_rate: float = 0.3,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(encoder_name, encoder_weights, drop_path_rate, in_channels)
        self.pixel_decoder = PixelDecoder(self.encoder.widths, width, HEADS, pixel_layers)
        self.queries = Queries(num_queries, width)
        self.query_positions = Queries(num_queries, width)
        self.decoder = QueryDecoder(width, decoder_layers)
        self.head = QueryHead(width, width, num_classes, num_queries)
        self.loss = QueryLoss()

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> log scores [N, num_classes, H, W]."""
        padded = pad_to_stride(image, STRIDES[-1])
        return class_scores(self.forward_queries(padded)[-1], padded, image)

    def training_loss(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The terms of the loss for images [N, in_channels, H, W] and masks [N, H, W] of ids."""
        padded = pad_to_stride(image, STRIDES[-1])
        below, right = (padded.shape[i] - image.shape[i] for i in (2, 3))
        mask = F.pad(mask, (0, right, 0, below), value=IGNORED)
        *earlier, last = self.forward_queries(padded)
        return self.loss([last, *earlier], mask)

    def forward_queries(self, padded: Tensor) -> list[Prediction]:
        """In front of the first decoder layer, and behind each."""
        maps, pixels = self.pixel_decoder(self.encoder(padded))
        sizes = [x.shape[2:] for x in maps]
        memory = [
            x.flatten(2).transpose(1, 2) + level
            for x, level in zip(maps, self.decoder.level_embed, strict=True)
        ]
        places = [sine_positions(x).flatten(2).transpose(1, 2) for x in maps]
        batch = padded.shape[0]  # `len` would be a constant in an export
        x, positions = self.queries(batch), self.query_positions(batch)
        found = [self.head(pixels, self.decoder.norm(x))]
        for index, layer in enumerate(self.decoder.layers):
            level = index % LEVELS
            hidden = hidden_from_queries(found[-1].masks, sizes[level])
            x = layer(x, positions, memory[level], places[level], hidden)
            found.append(self.head(pixels, self.decoder.norm(x)))
        return found

    @staticmethod
    def translate_key(key: str) -> str:
        """Name here of a key of a model of transformers."""
        return transformers_names.rename(key, transformers_names.MASK2FORMER)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters with queries, keys and values in one."""
        return transformers_names.join_projections(state)


@torch.no_grad()
def hidden_from_queries(masks: Tensor, size: torch.Size) -> Tensor:
    """[N * heads, Q, h w] bool: what a query does not see; one without a mask sees everything."""
    outside = F.interpolate(masks, size, mode="bilinear").flatten(2) < 0
    outside = outside & ~outside.all(-1, keepdim=True)
    return outside[:, None].expand(-1, HEADS, -1, -1).flatten(0, 1)


class QueryDecoder(nn.Module):
    """The layers, the norm in front of the head, and what marks the maps."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, 8 * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.level_embed = nn.Parameter(torch.randn(LEVELS, width))


class DecoderLayer(nn.Module):
    """Masked cross attention, self attention, MLP; each residual, each with a norm behind."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.cross_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.cross_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, x: Tensor, positions: Tensor, memory: Tensor, places: Tensor, hidden: Tensor
    ) -> Tensor:
        """Queries [N, Q, D] -> the same.

        Args:
            x: queries.
            positions: of the queries, [N, Q, D].
            memory: pixels, [N, P, D].
            places: of the pixels, [1, P, D].
            hidden: [N * heads, Q, P] bool, what a query does not see.
        """
        keys = memory + places
        y = self.cross_attn(x + positions, keys, memory, attn_mask=hidden, need_weights=False)[0]
        x = self.cross_attn_layer_norm(x + y)
        y = self.self_attn(x + positions, x + positions, x, need_weights=False)[0]
        x = self.self_attn_layer_norm(x + y)
        return self.final_layer_norm(x + self.fc2(F.relu(self.fc1(x))))
