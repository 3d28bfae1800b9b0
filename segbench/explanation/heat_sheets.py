"""A sheet that explains one prediction: labels, uncertainty, errors and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from segbench.artifacts.segmenter import Segmenter
from segbench.data.classes import ClassSet
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


@figures.plain_text()
def write_sheet(found: Explanation, file: Path) -> None:
    """Writes the sheet, and the arrays next to it as .npz."""
    tiles = [
        ("image", found.image),
        ("prediction", overlay(found.image, found.labels, found.classes)),
        ("uncertainty (entropy)", _tinted(found.image, found.uncertainty, cv2.COLORMAP_INFERNO)),
    ]
    if found.mask is not None:
        wrong = error_map(found.image, found.labels, found.mask, found.classes)
        tiles.append(("correct green, wrong red", wrong))
    rows = [tiles]
    for name, heat in found.heat.items():
        rows.append(
            [
                (f"{figures.label(name)}: class activation",
                 _tinted(found.image, heat, cv2.COLORMAP_JET)),
                (f"{figures.label(name)}: probability", _tinted(found.image, found.probs[name],
                                                 cv2.COLORMAP_VIRIDIS)),
            ]
        )  # fmt: skip
    pairs = [rows[0], *(rows[i] + (rows[i + 1] if i + 1 < len(rows) else [])
                        for i in range(1, len(rows), 2))]  # fmt: skip
    height, width = found.labels.shape
    columns = max(len(row) for row in pairs)
    figure = Figure(figsize=(3.2 * columns, (3.2 * height / width + 0.3) * len(pairs)),
                    layout="constrained")  # fmt: skip
    for y, row in enumerate(pairs):
        for x, (title, panel) in enumerate(row):
            axes = figure.add_subplot(len(pairs), columns, y * columns + x + 1)
            axes.imshow(panel)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    with replacing(file, durable=False) as draft:
        figure.savefig(draft, dpi=110)
    arrays = {"labels": found.labels, "uncertainty": found.uncertainty}
    for kind, maps in (("heat", found.heat), ("probs", found.probs)):
        keys = [f"{kind}/{name}" for name in file_names(list(maps))]
        arrays |= dict(zip(keys, maps.values(), strict=True))
    with replacing(file.with_suffix(".npz"), durable=False) as draft:
        np.savez_compressed(draft, **arrays)  # type: ignore[arg-type]


def _tinted(image: np.ndarray, values: np.ndarray, colormap: int) -> np.ndarray:
    """Values in 0..1 as colors over the gray image."""
    colors = cv2.applyColorMap((values.clip(0, 1) * 255).astype(np.uint8), colormap)
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB), 0.6, gray, 0.4, 0)
