"""EoMT: the encoder-only mask transformer.

Kerssies, Cavagnero, Hermans, Norouzi, Averta, Leibe, Dubbelman, De Geus: "Your ViT is Secretly an
Image Segmentation Model", CVPR 2025.

    image ─ patches ─ first blocks of a ViT ─ + queries ─ last blocks ─ norm ┬ queries ─┐
                                                 ↑ masked attention          └ patches ─ up ─ head
    training only: a prediction in front of each of the last blocks

A plain ViT (DINOv2 with registers) that gets the queries as further tokens for its last blocks. In
training, a query sees only the patches in its mask of the layer before. This is taken back block by
block, until at the end of the training no mask is left and prediction is a plain ViT: block i of n
loses its masks between (i + 1) / (n + 2) and (i + 2) / (n + 2) of the training, by (1 - t)^0.9, as
in the authors' configs.

The training loss is the model's own, see `query_loss`. Logits are logs of sums over queries of
class probability times mask probability.

Differences from the paper: none in the layers. Images are padded to a multiple of the patch and
seen as a whole, positions resampled; the authors take windows of one size. A model that is not
trained to its end predicts with the masks of those blocks where more than half of the queries still
have them, not of random queries. `weights=FOLDER` reads EomtForUniversalSegmentation of
transformers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import transformers_names
from segbench.models.blocks import ChannelNorm, pad_to_stride
from segbench.models.query_head import Queries, QueryHead, class_scores
from segbench.models.query_loss import Prediction, QueryLoss
from segbench.models.timm_encoder import PlainViT

IGNORED = 255
ANNEALING_POWER = 0.9


class EoMT(nn.Module):
    """EoMT on a plain ViT of timm.

    Args:
        num_classes: channels of the logits.
        encoder_name: of timm; the authors' are DINOv2 with registers.
        encoder_weights: null (from scratch) or `pretrained`.
        patch_size: side of a patch, in pixels; pretrained patches are resampled to it.
        image_size: side of the square that the positions are made for.
        num_queries: at least as many as classes.
        num_blocks: last blocks, which see the queries (3 for ViT-S and B, 4 for L).
        drop_path_rate: stochastic depth of every block, 0..1.
        in_channels: channels of the image.

    Raises:
        ValueError: an unknown encoder, weights that cannot be had, too few queries or blocks.
    """

    mask_shares: Tensor

    def __init__(
        self,
        num_classes: int,
        encoder_name: str = "vit_small_patch14_reg4_dinov2",
        encoder_weights: str | None = None,
        patch_size: int = 16,
        image_size: int = 512,
        num_queries: int = 100,
        num_blocks: int = 3,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = PlainViT(
            encoder_name, encoder_weights, drop_path_rate, in_channels,
            patch_size=patch_size, img_size=image_size,
        )  # fmt: skip
        depth = len(self.encoder.net.blocks)
        if not 1 <= num_blocks <= depth:
            raise ValueError(
                f"num_blocks={num_blocks} must be 1 to {depth}, the blocks of the encoder"
            )
        for block in self.encoder.net.blocks[-num_blocks:]:
            if hasattr(block.attn, "num_prefix_tokens"):  # rotary: queries have no place to turn by
                block.attn.num_prefix_tokens += num_queries
        width = self.encoder.width
        self.num_blocks = num_blocks
        self.queries = Queries(num_queries, width)
        self.deepest = nn.Identity()  # the map that is explained
        self.upscale = nn.Sequential(*(Upscale(width) for _ in range(2)))
        self.head = QueryHead(width, width, num_classes, num_queries, nn.GELU)
        self.loss = QueryLoss()
        # Share of the queries with masked attention in each of the last blocks. The copy in Python
        # saves waiting for the device in training, and can be read in an export.
        self.register_buffer("mask_shares", torch.ones(num_blocks))
        self._shares = [1.0] * num_blocks
        self.register_load_state_dict_post_hook(lambda model, _: model._read_shares())

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W] float, normalized -> log scores [N, num_classes, H, W]."""
        padded = pad_to_stride(image, self.encoder.stride)
        return class_scores(self.forward_queries(padded)[-1], padded, image)

    def training_loss(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The terms of the loss for images [N, in_channels, H, W] and masks [N, H, W] of ids."""
        padded = pad_to_stride(image, self.encoder.stride)
        below, right = (padded.shape[i] - image.shape[i] for i in (2, 3))
        mask = F.pad(mask, (0, right, 0, below), value=IGNORED)
        return self.loss(self.forward_queries(padded), mask)

    def set_progress(self, done: float) -> None:
        """Sets the share of the masked queries in each block for the part 0..1 of a training."""
        through = [done * (self.num_blocks + 2) - block - 1 for block in range(self.num_blocks)]
        shares = [(1 - min(max(t, 0.0), 1.0)) ** ANNEALING_POWER for t in through]
        if shares != self._shares:
            self._shares = shares
            self.mask_shares.copy_(self.mask_shares.new_tensor(shares))

    def forward_queries(self, padded: Tensor) -> list[Prediction]:
        """Of the last blocks, where attention is masked, and of the output."""
        net = self.encoder.net
        tokens, ropes = self.encoder.embed(padded)
        has_values = not torch.compiler.is_exporting() and not self.mask_shares.is_meta
        if not self.training and has_values:
            self._read_shares()
        first = len(net.blocks) - self.num_blocks
        grid = [side // self.encoder.stride for side in padded.shape[2:]]
        found: list[Prediction] = []
        for index, (block, rope) in enumerate(zip(net.blocks, ropes, strict=True)):
            arguments = {} if rope is None else {"rope": rope}
            if index == first:
                queries = self.queries(tokens.shape[0])
                tokens = torch.cat([queries, tokens], dim=1)
            share = self._shares[index - first] if index >= first else 0.0
            if (self.training and index >= first) or share > 0.5:
                found.append(self._predict(tokens, grid))
                arguments["attn_mask"] = self._visible(found[-1].masks, tokens, grid, share)
            tokens = block(tokens, **arguments)
        return [*found, self._predict(tokens, grid)]

    def _read_shares(self) -> None:
        self._shares = self.mask_shares.tolist()

    def _predict(self, tokens: Tensor, grid: list[int]) -> Prediction:
        tokens = self.encoder.net.norm(tokens)
        count = self.queries.weight.shape[0]
        patches = tokens[:, count + self.encoder.prefix :].transpose(1, 2).unflatten(2, grid)
        return self.head(self.upscale(self.deepest(patches)), tokens[:, :count])

    @torch.no_grad()
    def _visible(self, masks: Tensor, tokens: Tensor, grid: list[int], share: float) -> Tensor:
        """[N, 1, T, T] bool: a query sees the patches in its mask, all else sees everything."""
        batch, length = tokens.shape[:2]
        count = masks.shape[1]
        inside = F.interpolate(masks, grid, mode="bilinear").flatten(2) > 0
        if self.training and share < 1:
            free = torch.rand(batch, count, device=masks.device) > share
            inside = inside | free[..., None]
        visible = tokens.new_ones(batch, length, length, dtype=torch.bool)
        visible[:, :count, count + self.encoder.prefix :] = inside
        return visible[:, None]

    @staticmethod
    def translate_key(key: str) -> str:
        """Name here of a key of a model of transformers."""
        return transformers_names.rename(key, transformers_names.EOMT)

    @staticmethod
    def adapt_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parameters with queries, keys and values in one."""
        return transformers_names.join_projections(state)


class Upscale(nn.Sequential):
    """Transposed convolution, GELU, depthwise 3x3, norm; [N, C, h, w] -> [N, C, 2h, 2w]."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(width, width, 2, stride=2),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            ChannelNorm(width),
        )
