"""What an evaluation leaves to look at: tables, the confusion matrix, the worst images."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from segbench.artifacts.run_directory import RunDirectory
from segbench.data.dataset import Source
from segbench.evaluation.evaluator import Evaluation
from segbench.evaluation.predictions import void_notes
from segbench.inference.outputs import save_png
from segbench.inference.sheets import sample_sheet
from segbench.metrics.cityscapes_protocol import to_label_ids
from segbench.metrics.scores import class_iou, mean_over_classes, percent, union_counts

CLASS_COLUMNS = ("IoU", "Dice", "precision", "recall", "boundary_F", "boundary_IoU", "iIoU")
MEANS = {
    "IoU": "mIoU",
    "Dice": "mDice",
    "recall": "mean_acc",
    "boundary_F": "mean_boundary_F",
    "boundary_IoU": "mean_boundary_IoU",
    "iIoU": "mean_iIoU",
}
SINGLES = ("pixel_acc", "fwIoU", "mean_image_mIoU", "worst_tenth_mIoU", "ECE", "mean_category_IoU",
           "mean_category_iIoU")  # fmt: skip


def write_tables(
    folder: Path, result: dict[str, Any], matrices: np.ndarray, names: Sequence[str]
) -> None:
    """Writes classes.csv, images.csv (fractions) and report.md (percent).

    Args:
        folder: the run directory.
        result: the content of result.json.
        matrices: int64 `[N, C, C + 1]`.
        names: N image names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    split = result["data_info"]["split"]
    found = result["scores"][split]
    columns = [column for column in CLASS_COLUMNS if column in found]
    pixels = dict(zip(found["IoU"], matrices.sum((0, 2)).tolist(), strict=True))
    with (folder / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "pixels", *columns])
        for name in found["IoU"]:
            writer.writerow([name, pixels[name], *(found[c].get(name) for c in columns)])
    hits, _ = union_counts(matrices)
    labelled = matrices.sum((1, 2))
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "labelled_pixels", "mIoU", "pixel_acc"])
        for name, matrix, right, count in zip(names, matrices, hits.sum(1), labelled, strict=True):
            value = mean_over_classes(class_iou(matrix), result["protocol"]["absent_classes"])
            accuracy = right / count if count else ""
            writer.writerow([name, count, "" if np.isnan(value) else float(value), accuracy])
    lines = [f"# {result['name']}, {split} of {result['data_info']['protocol']}", ""]
    lines += [*_notes(result), *void_notes(matrices), ""]
    lines += ["| class | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in found["IoU"]:
        values = [percent(found[column].get(name)) for column in columns]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    means = [percent(found.get(MEANS.get(column, ""))) for column in columns]
    lines += ["| **mean** | " + " | ".join(means) + " |", ""]
    lines += [f"- {key}: {percent(found[key])}" for key in SINGLES if key in found]
    lines += [f"- mIoU of {group}: {percent(v)}" for group, v in found["groups"].items()]
    for key in ("category_IoU", "category_iIoU"):
        lines += [f"- {key} of {name}: {percent(v)}" for name, v in found.get(key, {}).items()]
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _notes(result: dict[str, Any]) -> list[str]:
    """Under which conventions the numbers stand."""
    protocol = result["protocol"]
    count = result["data_info"]["num_images"][result["data_info"]["split"]]
    lines = [
        f"{count} images at original resolution, {protocol['source']}; absent classes: "
        f"{protocol['absent_classes']}; void predicted on a labelled pixel: a miss. Percent."
    ]
    if protocol["partial"]:
        lines.append(f"PARTIAL: {len(protocol['partial'])} problems, see protocol.partial.")
    if not result["data_info"]["comparable"]:
        lines.append("Not comparable with published numbers (see the data config).")
    return lines


def draw_confusion(file: Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Draws the confusion matrix, each row in percent of the true pixels of its class.

    Args:
        file: PNG to write.
        matrix: int64 `[C, C + 1]`.
        names: C class names.
    """
    from matplotlib.figure import Figure

    pixels = matrix.sum(1, keepdims=True)
    shares = np.where(pixels > 0, matrix / np.maximum(pixels, 1), np.nan)
    has_void = bool(matrix[:, -1].any())
    shares = shares if has_void else shares[:, :-1]
    side = 2.5 + 0.45 * len(names)
    figure = Figure(figsize=(side + 0.5, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    columns = [*names, "void"] if has_void else list(names)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title="percent of the true pixels")
    if len(names) <= 40:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.5 else "black"
                text = f"{100 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    figure.savefig(file, dpi=120)


def draw_worst(file: Path, judged: Evaluation, source: Source, wanted: int) -> None:
    """Shows the images with the lowest mIoU: image, mask, pred, error.

    Args:
        file: PNG to write; nothing is written if `wanted` is 0.
        judged: the counts and the way to the label maps.
        source: reads images and masks.
        wanted: how many.
    """
    values = mean_over_classes(class_iou(judged.matrices))
    order = [i for i in np.argsort(values, kind="stable")[:wanted] if not np.isnan(values[i])]
    shown = []
    for position in order:
        record = judged.records[position]
        image, mask = source.read(record)
        name = f"{record.name}: mIoU {100 * values[position]:.1f}"
        pred = judged.pred_of(int(position))
        shown.append({"name": name, "image": image, "mask": mask, "pred": pred})
    if shown:
        sheet = sample_sheet(shown, source.classes, f"the {len(shown)} worst images")
        save_png(file, sheet)


def save_predictions(folder: Path, judged: Evaluation, kind: str) -> None:
    """Writes the label maps as PNG.

    Args:
        folder: where to.
        judged: the way to the label maps.
        kind: `ids`, or `cityscapes`: label IDs, as its benchmark server expects them.
    """
    for position, record in enumerate(judged.records):
        pred = judged.pred_of(position)
        file = folder / f"{record.name}.png"
        save_png(file, to_label_ids(pred) if kind == "cityscapes" else pred)


def print_scores(
    found: dict[str, Any], result: dict[str, Any], run: RunDirectory, matrices: np.ndarray
) -> None:
    """Prints the table of classes, the single scores, and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    columns = [column for column in CLASS_COLUMNS if column in found]
    title = f"{result['name']}, {result['data_info']['split']}"
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name in found["IoU"]:
        table.add_row(name, *(percent(found[column].get(name)) for column in columns))
    table.add_section()
    means = [percent(found.get(MEANS.get(column, ""))) for column in columns]
    table.add_row("mean", *means, style="bold")
    console.print(table)
    console.print(", ".join(f"{key} {percent(found[key])}" for key in SINGLES if key in found))
    for note in [*_notes(result), *void_notes(matrices)]:
        console.print(note, soft_wrap=True)
    files = ("report.md", "confusion.png", "worst.png")
    written = ", ".join(file for file in files if (run.path / file).is_file())
    console.print(f"\nresult  {run.path} ({written})")
