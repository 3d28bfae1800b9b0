"""Reports embeddings of a model's features: figure, page with thumbnails, table and numbers."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from segbench.artifacts.segmenter import Segmenter
from segbench.data.classes import ClassSet
from segbench.data.frames import resize_image
from segbench.explanation.embeddings import (
    Cells,
    Projection,
    pad_mask,
    project,
    sample_cells,
    separation,
    without_rare,
)
from segbench.explanation.features import run_with_features
from segbench.inference.labels import checked_argmax, require_finite
from segbench.system.console import console, say, table
from segbench.system.escaping import csv_cell, one_line
from segbench.system.figures import label as figure_label
from segbench.system.figures import plain_text
from segbench.system.storage import replacing_all, write_text

LabeledImage = tuple[str, np.ndarray, np.ndarray | None]
THUMBNAIL = 48


@dataclass(frozen=True)
class Embedding:
    """Features projected to the plane, and how well they separate the classes.

    Args:
        cells: the K cells.
        plane: float32 `[K, 2]`.
        scores: class -> purity and silhouette, of the features, not of the plane.
        left_out: class -> number of its cells, if too few to be shown.
        samples: the images.
        classes: names and colors.
        settings: the settings used.
    """

    cells: Cells
    plane: np.ndarray
    scores: dict[int, dict[str, float]]
    left_out: dict[str, int]
    samples: Sequence[LabeledImage]
    classes: ClassSet
    settings: dict[str, object]


def embed_images(
    segmenter: Segmenter,
    samples: Sequence[LabeledImage],
    layer: str,
    how: Projection,
    per_class: int,
    least: int,
    neighbors: int,
    seed: int,
) -> Embedding:
    """Samples, projects and scores the features of a layer.

    Args:
        segmenter: the model.
        samples: name, image as read for the checkpoint, mask uint8 `[H, W]` of each image.
        layer: see `features.run_with_features`.
        how: the projection.
        per_class: maximum number of cells per class.
        least: classes with fewer cells are left out.
        neighbors: number of neighbors for the purity.
        seed: seed of the sample and of the projection.

    Raises:
        ValueError: the layer does not exist, or fewer than two classes have enough cells.
        NonFiniteLogitsError: the logits or the features of this layer are not finite.
    """

    def maps() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for name, image, mask in samples:
            if mask is None:
                raise ValueError("embeddings need masks")
            seen = segmenter.seen_size((image.shape[0], image.shape[1]))
            pixels = torch.from_numpy(resize_image(image, seen)).permute(2, 0, 1)[None]
            normalized = segmenter.predictor.normalize(pixels.to(segmenter.device))
            with torch.no_grad():
                found = run_with_features(segmenter.predictor.model, normalized, layer)
            require_finite(checked_argmax(found.logits)[1], [name])
            require_finite(found.features.isfinite().all()[None], [name], f"features at {layer}")
            padded = pad_mask(mask, seen, found.extent, segmenter.classes.ignore_index)
            yield found.features[0].float().cpu().numpy(), padded

    classes = segmenter.classes
    drawn = sample_cells(maps(), classes.num_classes, per_class, seed)
    cells, left_out = without_rare(drawn, classes.names, least)
    settings = {
        "ckpt": str(segmenter.ckpt), "layer": layer, "projection": how, "per_class": per_class,
        "least": least, "neighbors": neighbors, "seed": seed, "images": len(samples),
    }  # fmt: skip
    plane = project(cells.features, how, seed)
    scores = separation(cells.features, cells.labels, neighbors)
    shown = [(name, segmenter.bands.displayed(image), mask) for name, image, mask in samples]
    return Embedding(cells, plane, scores, left_out, shown, classes, settings)


def write_embedding(found: Embedding, folder: Path) -> None:
    """Writes embedding.png, .html (thumbnails on hover), .csv (coordinates) and .json (numbers)."""
    with replacing_all(folder) as draft:
        with plain_text():
            _scatter(found).savefig(draft / "embedding.png", dpi=130)
        _write_points(found, draft / "embedding.csv")
        write_text(draft / "embedding.json", json.dumps(_numbers(found), indent=2) + "\n")
        write_text(draft / "embedding.html", _page(found))


def _write_points(found: Embedding, file: Path) -> None:
    names = [csv_cell(name) for name in found.classes.names]
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["x", "y", "class", "image", "row", "column"])
        for (x, y), label, image, place in _points(found):
            text = (names[label], csv_cell(found.samples[image][0]))
            writer.writerow([f"{x:.4f}", f"{y:.4f}", *text, *place])


def _numbers(found: Embedding) -> dict[str, Any]:
    names = found.classes.names
    return {
        **found.settings,
        "mean": mean_scores(found),
        "classes": {names[label]: score for label, score in found.scores.items()},
        "left_out": found.left_out,
    }


def mean_scores(found: Embedding) -> dict[str, float]:
    """Mean purity and silhouette over the classes, with equal weight."""
    return {
        key: float(np.mean([score[key] for score in found.scores.values()]))
        for key in ("purity", "silhouette")
    }


def print_separation(found: Embedding, folder: Path) -> None:
    """Prints the numbers of each class."""
    means = mean_scores(found)
    classes = table("class", "purity", "silhouette")
    for label, score in found.scores.items():
        numbers = (f"{score[key]:.3f}" for key in ("purity", "silhouette"))
        classes.add_row(found.classes.names[label], *numbers)
    classes.add_section()
    classes.add_row("mean", f"{means['purity']:.3f}", f"{means['silhouette']:.3f}", style="bold")
    console().print(classes)
    for name, count in found.left_out.items():
        say(f"left out: {name}, {count} cells (least={found.settings['least']})")
    say(f"{folder}/embedding.png, .html, .csv, .json")


def _points(found: Embedding) -> Iterator[tuple[np.ndarray, int, int, tuple[int, int]]]:
    cells = found.cells
    for point, label, image, place in zip(
        found.plane, cells.labels, cells.images, cells.places, strict=True
    ):
        yield point, int(label), int(image), (int(place[0]), int(place[1]))


def _scatter(found: Embedding) -> Figure:
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    for label, score in found.scores.items():
        of_class = found.cells.labels == label
        color = np.array(found.classes.colors[label]) / 255
        axes.scatter(
            found.plane[of_class, 0],
            found.plane[of_class, 1], s=14, color=color, edgecolor="black", linewidth=0.25,
            label=f"{figure_label(found.classes.names[label])}  {100 * score['purity']:.0f} %",
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    how = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}[str(found.settings["projection"])]
    axes.set_title(
        f"{how} of {found.settings['layer']}: {100 * mean_scores(found)['purity']:.1f} % of the "
        f"{found.settings['neighbors']} nearest neighbors share the class",
        fontsize=11,
    )
    axes.legend(
        title="class, neighbors that share it",
        title_fontsize=8,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
        fontsize=9,
    )
    return figure


def _page(found: Embedding) -> str:
    """A self-contained page: the scatter plot, and the image patch around each point."""
    low, high = found.plane.min(0), found.plane.max(0)
    scaled = 20 + (found.plane - low) / np.maximum(high - low, 1e-9) * np.array([860, 620])
    names = found.classes.names
    colors = ["rgb({},{},{})".format(*color) for color in found.classes.colors]
    dots = [
        {
            "x": f"{x:.1f}", "y": f"{660 - y:.1f}", "color": colors[label],
            "text": one_line(f"{names[label]}, {found.samples[image][0]} {place}"),
            "thumbnail": _thumbnail(found.samples[image][1], place),
        }
        for (x, y), (_, label, image, place) in zip(scaled, _points(found), strict=True)
    ]  # fmt: skip
    legend = [{"name": one_line(names[label]), "color": colors[label]} for label in found.scores]
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=templates, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("embedding.html.j2").render(dots=dots, legend=legend)


def _thumbnail(image: np.ndarray, place: tuple[int, int]) -> str:
    """The surroundings of a point as base64 JPEG, cropped at the border."""
    top, left = max(0, place[0] - THUMBNAIL), max(0, place[1] - THUMBNAIL)
    piece = image[top : place[0] + THUMBNAIL, left : place[1] + THUMBNAIL].copy()
    cv2.circle(piece, (place[1] - left, place[0] - top), 3, (255, 255, 255), 1)
    encoded = cv2.imencode(".jpg", piece[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return base64.b64encode(encoded.tobytes()).decode("ascii")
