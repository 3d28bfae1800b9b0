"""A sheet that explains one prediction: labels, uncertainty, errors and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch.nn import functional as F

from segbench.artifacts.segmenter import Segmenter
from segbench.data.classes import RGB, ClassSet
from segbench.data.frames import resize_image
from segbench.explanation.features import (
    Method,
    chosen_pixels,
    entropy,
    heat_map,
    run_with_features,
)
from segbench.inference.labels import checked_argmax, require_finite
from segbench.inference.overlay import error_map, overlay
from segbench.system import figures
from segbench.system.storage import file_names, replacing

MOST_CLASSES = 3
_MOST_NAMED = 12  # classes in the legend
_OPACITY = 0.6  # of a map of values over the image


@dataclass(frozen=True)
class Panel:
    """One panel of a sheet.

    Args:
        title: what it shows.
        pixels: uint8 `[H, W, 3]`, or with `colors` float32 `[H, W]` in 0..1.
        colors: the color map of values; brightness rises with the value, for any color vision.
    """

    title: str
    pixels: np.ndarray
    colors: str = ""


@dataclass(frozen=True)
class Explanation:
    """The explanation of one image, at its own size.

    Args:
        image: uint8 `[H, W, 3]`.
        mask: uint8 `[H, W]`, or None.
        labels: uint8 `[H, W]`, predicted.
        uncertainty: float32 `[H, W]` in 0..1, entropy.
        heat: heat map of each class, float32 `[H, W]` in 0..1.
        probs: probability of each of these classes, float32 `[H, W]`.
        layer: layer of the heat maps.
        classes: names and colors.
    """

    image: np.ndarray
    mask: np.ndarray | None
    labels: np.ndarray
    uncertainty: np.ndarray
    heat: dict[str, np.ndarray]
    probs: dict[str, np.ndarray]
    layer: str
    classes: ClassSet


def explain_image(
    segmenter: Segmenter,
    image: np.ndarray,
    mask: np.ndarray | None,
    labels: Sequence[int] | None,
    layer: str | None,
    pixel: Sequence[int] | None,
    region: Sequence[int] | None,
    method: Method,
) -> Explanation:
    """Explains one image.

    Args:
        segmenter: the model; it gets the image in one piece.
        image: the image as read for the checkpoint.
        mask: uint8 `[H, W]`, for the error map.
        labels: classes of the heat maps; None: the most frequent ones, or those at `pixel` or in
            `region`.
        layer, pixel, region, method: see `features`; positions are in pixels of the image.

    Raises:
        ValueError: a layer or position does not exist.
        NonFiniteLogitsError: the logits contain NaN or infinity.
    """
    size = (image.shape[0], image.shape[1])
    where = chosen_pixels(size, pixel, region)
    seen = segmenter.seen_size(size)
    pixels = torch.from_numpy(resize_image(image, seen)).permute(2, 0, 1)[None]
    normalized = segmenter.predictor.normalize(pixels.to(segmenter.device))
    model = segmenter.predictor.model
    with torch.no_grad():
        logits, _, found_layer, _ = run_with_features(model, normalized, layer)
        full = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)[0].cpu()
    preds, finite = checked_argmax(full[None])
    require_finite(finite, ["the image"])
    probs, pred = full.softmax(0), preds[0]
    if labels is None:
        counts = torch.bincount(pred[where] if where is not None else pred.flatten())
        ranked = counts.argsort(descending=True)[:MOST_CLASSES].tolist()
        labels = [label for label in ranked if counts[label]]
    if where is not None:  # a pixel must not vanish if the model gets a smaller image
        small = F.adaptive_max_pool2d(where[None, None].float(), seen)[0, 0] > 0
        where = small.to(segmenter.device)
    heat = {}
    for label in labels:
        lit = heat_map(model, normalized, label, where, found_layer, method)[None, None]
        require_finite(lit.isfinite().all()[None], ["the image"], f"gradients at {found_layer}")
        lit = F.interpolate(lit, size, mode="bilinear", align_corners=False)[0, 0]
        heat[segmenter.classes.names[label]] = lit.cpu().numpy()
    names = segmenter.classes.names
    return Explanation(
        segmenter.bands.displayed(image), mask, pred.numpy(), entropy(probs).numpy(), heat,
        {names[label]: probs[label].numpy() for label in labels}, found_layer, segmenter.classes,
    )  # fmt: skip


def draw_sheet(found: Explanation) -> Figure:
    """Panels with their titles; each map of values has its scale, the prediction its legend."""
    first = [
        Panel("image", found.image),
        Panel("prediction", overlay(found.image, found.labels, found.classes)),
        Panel("uncertainty (entropy, 1 = all classes alike)", found.uncertainty, "inferno"),
    ]
    if found.mask is not None:
        wrong = error_map(found.image, found.labels, found.mask, found.classes)
        first.append(Panel("correct green, wrong red", wrong))
    maps = [
        [
            Panel(f"{figures.label(name)}\nclass activation (1 = its maximum)", heat, "magma"),
            Panel(f"{figures.label(name)}\nprobability", found.probs[name], "viridis"),
        ]
        for name, heat in found.heat.items()
    ]
    rows = [first, *([*chain(*maps[i : i + 2])] for i in range(0, len(maps), 2))]
    height, width = found.labels.shape
    columns = max(len(row) for row in rows)
    size = (3.4 * columns, (3.0 * height / width + 0.4) * len(rows) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    gray = cv2.cvtColor(found.image, cv2.COLOR_RGB2GRAY)
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            axes = figure.add_subplot(len(rows), columns, y * columns + x + 1)
            _draw(axes, panel, gray)
    _add_legend(figure, found)
    return figure


def _draw(axes: Axes, panel: Panel, gray: np.ndarray) -> None:
    axes.set_title(panel.title, fontsize=9)
    axes.set_axis_off()
    if not panel.colors:
        axes.imshow(panel.pixels)
        return
    axes.imshow(gray, cmap="gray", vmin=0, vmax=255)
    scale = Normalize(0, 1, clip=True)
    axes.imshow(panel.pixels, cmap=panel.colors, norm=scale, alpha=_OPACITY)
    bar = axes.figure.colorbar(ScalarMappable(scale, panel.colors), ax=axes, pad=0.02, aspect=30)
    bar.set_ticks([0, 0.5, 1])
    bar.ax.tick_params(labelsize=8)


def _hex(color: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _add_legend(figure: Figure, found: Explanation) -> None:
    """Below the panels: the colors of the predicted classes, the most frequent first."""
    counts = np.bincount(found.labels.ravel(), minlength=256)[: found.classes.num_classes]
    ranked = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]][:_MOST_NAMED]
    patches = [
        Patch(facecolor=_hex(found.classes.colors[i]), edgecolor="#444444",
              label=figures.label(found.classes.names[i]))
        for i in ranked
    ]  # fmt: skip
    columns = max(1, round(figure.get_figwidth() / 2.5))
    figure.legend(handles=patches, loc="outside lower left", ncols=columns, fontsize=8,
                  frameon=False)  # fmt: skip


@figures.plain_text()
def write_sheet(found: Explanation, file: Path) -> None:
    """Writes the sheet, and the arrays next to it as .npz."""
    with replacing(file, durable=False) as draft:
        draw_sheet(found).savefig(draft, dpi=110, bbox_inches="tight", pad_inches=0.06)
    arrays = {"labels": found.labels, "uncertainty": found.uncertainty}
    for kind, maps in (("heat", found.heat), ("probs", found.probs)):
        keys = [f"{kind}/{name}" for name in file_names(list(maps))]
        arrays |= dict(zip(keys, maps.values(), strict=True))
    with replacing(file.with_suffix(".npz"), durable=False) as draft:
        np.savez_compressed(draft, **arrays)  # type: ignore[arg-type]
