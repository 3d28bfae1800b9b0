"""Encoders of timm: pyramids of four maps, and plain vision transformers."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import hub
from segbench.models.blocks import DropPath

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class Kind:
    """Models of timm that an encoder here is made of.

    Attributes:
        modules: of timm, which define them.
        expected: a part of a sentence, for messages.
    """

    modules: tuple[str, ...]
    expected: str


PYRAMIDS = Kind(
    ("convnext", "swin_transformer"),
    "expected a ConvNeXt or Swin of timm, such as convnext_tiny or swin_tiny_patch4_window7_224",
)
PLAIN = Kind(
    ("vision_transformer", "eva", "deit"),
    "expected a plain vision transformer of timm, such as vit_small_patch14_dinov2 or "
    "vit_small_patch16_dinov3",
)


class PyramidEncoder(nn.Module):
    """ConvNeXt or Swin of timm with a layer norm behind each stage, for images of any size.

    Args:
        name: of timm, `convnext_...` or `swin_...`.
        weights: null (from scratch) or `pretrained`; the norms are always fresh.
        drop_path_rate: stochastic depth of the deepest block, rising linearly from 0; 0..1.
        in_channels: channels of the image.

    Attributes:
        widths: channels of the maps at strides 4, 8, 16 and 32.

    Raises:
        ValueError: another encoder, or weights that cannot be had.
    """

    def __init__(self, name: str, weights: str | None, drop_path_rate: float, in_channels: int):
        super().__init__()
        check_kind(name, PYRAMIDS)
        options: dict[str, Any] = {"drop_path_rate": drop_path_rate, "num_classes": 0}
        if name.startswith("swin_"):
            # Windows of any image: full ones, also on maps that are smaller than a window.
            options |= {"strict_img_size": False, "always_partition": True}
        self.net: Any = build_timm(name, weights, in_channels, **options)
        for block in self.net.modules():
            if isinstance(block, SwinTransformerBlock):
                block.__class__ = PaddedSwinBlock
        # What follows the last stage is for classification.
        for unused in ("norm", "norm_pre", "head"):
            setattr(self.net, unused, nn.Identity())
        self.widths = [info["num_chs"] for info in self.net.feature_info]
        epsilon = 1e-5 if name.startswith("swin_") else 1e-6
        self.norms = nn.ModuleDict(
            {f"stage{i}": nn.LayerNorm(width, epsilon) for i, width in enumerate(self.widths, 1)}
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """[N, in_channels, H, W] -> maps [N, widths[i], h, w] at strides 4, 8, 16 and 32."""
        maps = self.net.forward_intermediates(image, intermediates_only=True)
        return [
            norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for norm, x in zip(self.norms.values(), maps, strict=True)
        ]


class PaddedSwinBlock(SwinTransformerBlock):
    """A block of Swin that pads its map before it shifts the windows, as the authors' code.

    timm's own shifts first, which is another network where sides are no multiples of the window.
    """

    def _attn(self, x: Tensor) -> Tensor:
        """Attention within windows, [N, H, W, C] -> the same."""
        batch, height, width, channels = x.shape
        size, shift = self.window_size, self.shift_size
        # Exporters see multiples of the window; remainders would nest from block to block.
        grid = ((height + size[0] - 1) // size[0], (width + size[1] - 1) // size[1])
        whole = (grid[0] * size[0], grid[1] * size[1])
        x = F.pad(x, (0, 0, 0, whole[1] - width, 0, whole[0] - height))
        mask = None
        if any(shift):
            x = torch.roll(x, (-shift[0], -shift[1]), (1, 2))
            mask = self._apart(*whole, x)
        windows = x.unflatten(2, (grid[1], size[1])).unflatten(1, (grid[0], size[0]))
        windows = windows.transpose(2, 3).reshape(-1, self.window_area, channels)
        windows = self.attn(windows, mask=mask)
        x = windows.view(batch, *grid, *size, channels).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if any(shift):
            x = torch.roll(x, shift, (1, 2))
        return x[:, :height, :width]

    def _apart(self, height: int, width: int, like: Tensor) -> Tensor:
        """[windows, area, area]: -100 for pixels that only the shift has put together, else 0."""
        parts = []
        for length, size, shift in zip(
            (height, width), self.window_size, self.shift_size, strict=True
        ):
            place = torch.arange(length, device=like.device)
            parts.append((place >= length - size).long() + (place >= length - shift).long())
        part = parts[0][:, None] * 3 + parts[1]
        part = part.unflatten(1, (-1, self.window_size[1])).unflatten(0, (-1, self.window_size[0]))
        part = part.transpose(1, 2).reshape(-1, self.window_area)
        return (part[:, None] != part[:, :, None]).to(like.dtype) * -100.0


class PlainViT(nn.Module):
    """A vision transformer of timm with absolute or rotary positions, for images of any size.

    Absolute positions are resampled bicubically to the grid of patches, as in DINOv2.

    Args:
        name: of timm, such as `vit_small_patch14_dinov2` or `vit_small_patch16_dinov3`.
        weights: null (from scratch) or `pretrained`.
        drop_path_rate: stochastic depth of every block, 0..1.
        in_channels: channels of the image.
        options: further arguments of timm, such as `patch_size`.

    Attributes:
        width: channels of the tokens.
        stride: side of a patch, in pixels.
        prefix: tokens in front of those of the patches.

    Raises:
        ValueError: another encoder, or weights that cannot be had.
    """

    def __init__(
        self,
        name: str,
        weights: str | None,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        **options: Any,
    ) -> None:
        super().__init__()
        check_kind(name, PLAIN)
        options |= {"num_classes": 0, "global_pool": "", "dynamic_img_size": True}
        net = build_timm(name, weights, in_channels, **options)
        net.fc_norm = net.head = nn.Identity()
        for block in net.blocks:
            block.drop_path1 = block.drop_path2 = DropPath(drop_path_rate)
        self.net: Any = net
        self.width, self.prefix = net.embed_dim, net.num_prefix_tokens
        self.stride = net.patch_embed.patch_size[0]

    def forward(self, image: Tensor) -> Tensor:
        """[N, in_channels, H, W], multiples of the stride -> [N, width, h, w], normalized."""
        tokens, ropes = self.embed(image)
        for block, rope in zip(self.net.blocks, ropes, strict=True):
            tokens = block(tokens, rope=rope) if rope is not None else block(tokens)
        grid = [side // self.stride for side in image.shape[2:]]
        patches = self.net.norm(tokens)[:, self.prefix :]
        return patches.transpose(1, 2).unflatten(2, grid)

    def embed(self, image: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Tokens [N, prefix + h w, width].

        And for each block what turns them by their place (rotary positions), or None.
        """
        net = self.net
        patches = net.patch_embed(image)
        depth = len(net.blocks)
        if isinstance(net, timm.models.Eva):
            tokens, rope = net._pos_embed(patches)
            ropes = [rope] * depth if rope is None or not net.rope_mixed else list(rope)
            return net.norm_pre(tokens), ropes
        position = self._positions(patches.shape[1], patches.shape[2])
        batch = image.shape[0]  # `len` would be a constant in an export
        extra = [x.expand(batch, -1, -1) for x in (net.cls_token, net.reg_token) if x is not None]
        tokens = patches.flatten(1, 2)
        if net.no_embed_class:
            tokens = torch.cat([*extra, tokens + position], dim=1)
        else:
            tokens = torch.cat([*extra, tokens], dim=1) + position
        return net.norm_pre(tokens), [None] * depth

    def _positions(self, height: int, width: int) -> Tensor:
        """[1, prefix + h w, width], without the prefix where it has no positions."""
        position = self.net.pos_embed
        prefix = 0 if self.net.no_embed_class else self.prefix
        side = self.net.patch_embed.grid_size
        grid = position[:, prefix:].transpose(1, 2).unflatten(2, side)
        grid = F.interpolate(grid.float(), (height, width), mode="bicubic").to(position.dtype)
        return torch.cat([position[:, :prefix], grid.flatten(2).transpose(1, 2)], dim=1)


def check_kind(name: str, kind: Kind) -> None:
    """Raises ValueError unless timm has a model of this name, of this kind."""
    plain = name.partition(".")[0]  # without the tag of pretrained weights
    fitting = timm.list_models(module=kind.modules, exclude_filters="*distilled*")
    if plain in fitting:
        return
    near = difflib.get_close_matches(plain, fitting, n=5, cutoff=0.5)
    unknown = "" if timm.is_model(name) else "timm has no such model; "
    nearest = f". Nearest names: {', '.join(near)}" if near else ""
    raise ValueError(f"encoder_name={name!r}: {unknown}{kind.expected}{nearest}")


def build_timm(name: str, weights: str | None, in_channels: int, **options: Any) -> Any:
    """A model of timm.

    Args:
        name: of a model that timm has, see `check_kind`.
        weights: null (from scratch) or `pretrained`.
        in_channels: channels of the image.
        options: further arguments of the model.

    Raises:
        ValueError: weights that cannot be had, or options that it does not take.
    """
    if weights is not None:
        _check_weights(name, weights)
    try:
        return timm.create_model(name, weights is not None, in_chans=in_channels, **options)
    except (RuntimeError, TypeError, AssertionError, OSError) as error:
        raise ValueError(f"timm refuses to build {name!r}: {error}") from None


def _check_weights(name: str, weights: str) -> None:
    config = timm.get_pretrained_cfg(name)
    if weights != "pretrained":
        raise ValueError(f"encoder_weights={weights!r}: expected null or 'pretrained'")
    if config is None or not config.has_weights:
        tags = timm.list_pretrained(f"{name.split('.')[0]}.*")
        raise ValueError(
            f"encoder_weights='pretrained': timm has no weights for {name!r}. Names with weights: "
            f"{', '.join(tags) or 'none'}"
        )
    if config.hf_hub_id and (problem := hub.problem(config.hf_hub_id)):
        raise ValueError(
            f"encoder_weights='pretrained' of {name!r}: {problem}; or train from scratch with "
            "encoder_weights=null"
        )
