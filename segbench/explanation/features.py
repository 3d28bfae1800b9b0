"""Explains a model's output: feature maps of any layer, and heat maps of a class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.config import did_you_mean

Method = Literal["gradcam", "hirescam"]


class Seen(NamedTuple):
    """The output of a model, and an intermediate feature map.

    Args:
        logits: `[N, C, H, W]`.
        features: `[N, D, h, w]`, part of the autograd graph if gradients are enabled.
        layer: name of the layer of the features.
        extent: `(H', W')`, the pixels that the features cover. It is `(H, W)`, or more if the
            model pads its images at the bottom and on the right.
    """

    logits: Tensor
    features: Tensor
    layer: str
    extent: tuple[int, int]


def run_with_features(model: nn.Module, image: Tensor, layer: str | None = None) -> Seen:
    """Runs a model and keeps an intermediate feature map.

    Args:
        model: the model, in eval mode.
        image: normalized float `[N, 3, H, W]`.
        layer: dotted name of a module; `head.input`: the input of the head; None: the deepest map,
            which is the output of `model.encoder`, or the coarsest map of the model if the encoder
            outputs none.

    Raises:
        ValueError: the layer does not exist, or its output is not a map.
    """
    encoder = dict(model.named_children()).get("encoder")  # a list of stages is never called
    is_whole = isinstance(encoder, nn.Module) and not isinstance(encoder, nn.ModuleList)
    seen = _run(model, image, "encoder") if layer is None and is_whole else None
    if seen is None:
        layer = layer or coarsest_layer(model, image)
        seen = _run(model, image, layer)
    if seen is None:
        raise ValueError(
            f"layer={layer}: its output is not a feature map [N, D, h, w]; set a different layer"
        )
    return seen


def _run(model: nn.Module, image: Tensor, layer: str) -> Seen | None:
    """The features of a layer; None if it does not run, or outputs no map."""
    kept: list[Tensor] = []
    sizes = [(int(image.shape[2]), int(image.shape[3]))]
    with ExitStack() as stack:
        for part in model.modules():
            noted = part.register_forward_pre_hook(lambda _, args: _note_size(sizes, args, image))
            stack.callback(noted.remove)
        if layer == "head.input":
            module = model.get_submodule("head")
            handle: Any = module.register_forward_pre_hook(lambda _, args: keep(kept, args))
        else:
            module = _find(model, layer)
            handle = module.register_forward_hook(lambda _, __, out: keep(kept, out))
        stack.callback(handle.remove)
        logits = model(image)
    return Seen(logits, kept[-1], layer, max(sizes)) if kept else None


def _note_size(sizes: list[tuple[int, int]], args: Any, image: Tensor) -> None:
    """Appends the size `(H', W')` of a module's input if that is the image, possibly padded."""
    value = args[0] if args else None
    if not isinstance(value, Tensor) or value.shape[:2] != image.shape[:2] or value.ndim != 4:
        return
    height, width = image.shape[2:]
    if value.shape != image.shape and torch.equal(value[..., :height, :width], image):
        sizes.append((int(value.shape[2]), int(value.shape[3])))


def keep(kept: list[Tensor], value: Any) -> None:
    """Appends the last map `[N, D, h, w]` of a layer's output: a tensor, a list or a dict."""
    if isinstance(value, Tensor):
        if value.ndim == 4:
            kept.append(value)
    elif isinstance(value, dict):
        keep(kept, value["out"] if "out" in value else list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            keep(kept, item)


def coarsest_layer(model: nn.Module, image: Tensor) -> str:
    """The last layer whose output is a map of the coarsest resolution, except pooled ones."""
    found: list[tuple[int, str]] = []
    with ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            if name and not list(module.children()):

                def note(_: Any, __: Any, out: Any, name: str = name) -> None:
                    if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
                        found.append((out.shape[2] * out.shape[3], name))

                stack.callback(module.register_forward_hook(note).remove)
        model(image)
    if not found:
        raise ValueError("no layer of this model outputs a feature map; set one with layer=")
    coarsest = min(size for size, _ in found)
    return [name for size, name in found if size == coarsest][-1]


def _find(model: nn.Module, layer: str) -> nn.Module:
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        hint = did_you_mean(layer, [name for name in modules if name])
        raise ValueError(f"layer: there is no layer '{layer}'{hint[:300]}")
    return modules[layer]


def heat_map(
    model: nn.Module,
    image: Tensor,
    label: int,
    where: Tensor | None = None,
    layer: str | None = None,
    method: Method = "hirescam",
) -> Tensor:
    """The evidence for a class in each part of a feature map (class activation).

    `gradcam` is Seg-Grad-CAM (Vinogradova et al. 2020, AAAI): the features of a layer, each
    weighted by the mean gradient of the summed logits of the class over some pixels. It highlights
    every position where such features are strong, whether or not these pixels depend on it.
    `hirescam` multiplies gradient and feature element-wise (Draelos and Carin 2020), so that only
    positions that these pixels depend on are highlighted.

    Args:
        model: the model, in eval mode.
        image: normalized float `[1, 3, H, W]`.
        label: the class.
        where: bool `[H, W]`, the pixels to explain; None: those predicted as this class, or all
            if there are none.
        layer: as in `run_with_features`.
        method: `gradcam` or `hirescam`.

    Returns:
        float32 `[H, W]` in 0..1; all 0 if there is no evidence for the class.
    """
    with torch.enable_grad():
        leaf = image.detach().clone().requires_grad_(True)  # a graph, even if weights are frozen
        logits, features, _, extent = run_with_features(model, leaf, layer)
        if where is None:
            where = logits[0].argmax(0) == label
            where = where if where.any() else torch.ones_like(where)
        score = logits[0, label][where].sum()
        (gradient,) = torch.autograd.grad(score, features)
    weights = gradient if method == "hirescam" else gradient.mean((2, 3), keepdim=True)
    heat = (weights * features).sum(1, keepdim=True).clamp(min=0).detach().float()
    heat = F.interpolate(heat, extent, mode="bilinear", align_corners=False)[0, 0]
    heat = heat[: image.shape[2], : image.shape[3]]
    return heat / heat.max().clamp(min=1e-12)


def entropy(probs: Tensor) -> Tensor:
    """Uncertainty of every pixel: the entropy of its probabilities divided by its maximum.

    Args:
        probs: float `[C, H, W]`.

    Returns:
        float `[H, W]` in 0..1.
    """
    most = torch.log(torch.tensor(float(probs.shape[0])))
    return -(probs * probs.clamp(min=1e-12).log()).sum(0) / most


def chosen_pixels(
    size: tuple[int, int], pixel: Sequence[int] | None, region: Sequence[int] | None
) -> Tensor | None:
    """The pixels to explain as bool `[H, W]`; None if neither is given.

    Args:
        size: `(H, W)`.
        pixel: `[y, x]`.
        region: `[top, left, bottom, right]`, the last two exclusive.

    Raises:
        ValueError: outside the image, or both are given.
    """
    if pixel is not None and region is not None:
        raise ValueError("set either pixel or region")
    if pixel is None and region is None:
        return None
    top, left, bottom, right = region or [pixel[0], pixel[1], pixel[0] + 1, pixel[1] + 1]  # type: ignore[index]
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        given = f"region={list(region)}" if region else f"pixel={list(pixel or [])}"
        raise ValueError(f"{given}: outside the image, which is {size[0]} high, {size[1]} wide")
    where = torch.zeros(size, dtype=torch.bool)
    where[top:bottom, left:right] = True
    return where
