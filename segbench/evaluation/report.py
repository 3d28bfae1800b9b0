"""Reports of an evaluation: tables, the confusion matrix, the worst images."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePath

import numpy as np

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.artifacts.typed import known
from segbench.data.bands import bands_of
from segbench.data.dataset import Source
from segbench.errors import DataError
from segbench.evaluation.evaluator import Evaluation
from segbench.evaluation.predictions import void_notes
from segbench.evaluation.robustness import markdown_rows, print_corrupted
from segbench.inference.sheets import Panels, sample_sheet
from segbench.metrics.cityscapes_protocol import to_label_ids
from segbench.metrics.scores import class_iou, mean_over_classes, percent, union_counts
from segbench.system.console import console, table
from segbench.system.escaping import csv_cell, file_path, markdown
from segbench.system.storage import write_png

_TYPES = {entry.name: str(entry.type).removesuffix(" | None") for entry in fields(Scores)}
# The columns of the table of classes, the mean of each, and the scores below it: whatever
# `Scores` has, so that a new score is in every report once it is a field there.
CLASS_COLUMNS = tuple(name for name, kind in _TYPES.items() if kind == "ByClass")
MEANS = {"IoU": "mIoU", "Dice": "mDice", "recall": "mean_acc"}
MEANS |= {name: f"mean_{name}" for name in CLASS_COLUMNS if f"mean_{name}" in _TYPES}
SINGLES = tuple(
    name for name, kind in _TYPES.items() if kind == "Fraction" and name not in MEANS.values()
)
BY_GROUP = ("category_IoU", "category_iIoU")
MOST_GROUPS = 16  # that the terminal shows; report.md has all


def write_tables(
    folder: Path, result: Result, found: Scores, matrices: np.ndarray, names: Sequence[str]
) -> None:
    """Writes classes.csv, images.csv (fractions) and report.md (percent).

    Args:
        folder: the run directory.
        result: the record of the evaluation.
        found: its scores.
        matrices: int64 `[N, C, C + 1]`.
        names: N image names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = _columns(found)
    pixels = dict(zip(found.IoU, matrices.sum((0, 2)).tolist(), strict=True))
    with (folder / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "pixels", *columns])
        for name in found.IoU:
            by_column = (column.get(name) for column in columns.values())
            writer.writerow([csv_cell(name), pixels[name], *by_column])
    hits, _ = union_counts(matrices)
    labeled, absent = matrices.sum((1, 2)), known(result.protocol).absent_classes
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "labeled_pixels", "mIoU", "pixel_acc"])
        for name, matrix, right, count in zip(names, matrices, hits.sum(1), labeled, strict=True):
            value = mean_over_classes(class_iou(matrix), absent)
            accuracy = right / count if count else ""
            writer.writerow(
                [csv_cell(name), count, "" if np.isnan(value) else float(value), accuracy]
            )
    info = known(result.data_info)
    title = f"{result.name}, {info.split} of {info.protocol}"
    lines = [
        f"# {markdown(title)}",
        "",
        *map(markdown, [*_notes(result), *void_notes(matrices)]),
        "",
    ]
    lines += ["| class | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in found.IoU:
        values = [percent(column.get(name)) for column in columns.values()]
        lines.append(f"| {markdown(name)} | " + " | ".join(values) + " |")
    means = _means(found, columns)
    lines += ["| **mean** | " + " | ".join(means) + " |", ""]
    lines += [f"- {key}: {percent(value)}" for key, value in _singles(found).items()]
    groups = (found.groups or {}).items()
    lines += [f"- mIoU of {markdown(group)}: {percent(iou)}" for group, iou in groups]
    for key in BY_GROUP:
        categories = (getattr(found, key) or {}).items()
        lines += [f"- {key} of {markdown(name)}: {percent(value)}" for name, value in categories]
    if found.corrupted:
        lines += markdown_rows(found.corrupted, found.mIoU)
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _columns(found: Scores) -> dict[str, Mapping[str, float | None]]:
    """The scores by class that were computed, by name."""
    counted = {column: getattr(found, column) for column in CLASS_COLUMNS}
    return {column: by_class for column, by_class in counted.items() if by_class is not None}


def _means(found: Scores, columns: Iterable[str]) -> list[str]:
    return [percent(getattr(found, MEANS[c]) if c in MEANS else None) for c in columns]


def _singles(found: Scores) -> dict[str, float]:
    """The defined scores of the whole split, by name."""
    values = {key: getattr(found, key) for key in SINGLES}
    return {key: value for key, value in values.items() if value is not None}


def _notes(result: Result) -> list[str]:
    """The conventions behind the numbers."""
    protocol, info = known(result.protocol), known(result.data_info)
    lines = [
        f"{info.num_images[info.split]} images at original resolution, {protocol.source}; absent "
        f"classes: {protocol.absent_classes}; void predicted on a labeled pixel counts as a miss. "
        "Scores in percent."
    ]
    if protocol.partial:
        lines.append(
            f"PARTIAL: {len(protocol.partial)} problems; see protocol.partial in result.json."
        )
    if not info.comparable:
        lines.append("Not comparable with published numbers (see the data config).")
    return lines


def draw_worst(file: Path, evaluation: Evaluation, source: Source, wanted: int) -> None:
    """Writes a sheet of the images with the lowest mIoU: image, mask, pred, error.

    Args:
        file: PNG to write; nothing is written if `wanted` is 0.
        evaluation: the counts, and access to the label maps.
        source: reads images and masks.
        wanted: number of images.
    """
    values = mean_over_classes(class_iou(evaluation.matrices))
    order = [i for i in np.argsort(values, kind="stable")[:wanted] if not np.isnan(values[i])]
    shown = []
    for position in order:
        record = evaluation.records[position]
        image, mask = source.read(record)
        name = f"{record.name}: mIoU {100 * values[position]:.1f}"
        pred = evaluation.pred_of(int(position))
        image = bands_of(source).displayed(image)
        shown.append(Panels(name, image, mask, pred))
    if shown:
        sheet = sample_sheet(shown, source.classes, f"the {len(shown)} worst images")
        write_png(file, sheet)


def save_predictions(folder: Path, evaluation: Evaluation, kind: str) -> None:
    """Writes the label maps as PNG.

    Args:
        folder: the output folder.
        evaluation: access to the label maps.
        kind: `ids`, or `cityscapes`: label IDs, as the benchmark's server expects them.
    """
    for position, record in enumerate(evaluation.records):
        pred = evaluation.pred_of(position)
        if PurePath(record.name).is_absolute() or ".." in PurePath(record.name).parts:
            raise DataError(
                f"image name {record.name!r}: leads outside of {folder}; rename the image"
            )
        file = folder / f"{file_path(record.name)}.png"
        write_png(file, to_label_ids(pred) if kind == "cityscapes" else pred)


def print_scores(found: Scores, result: Result, run: RunDirectory, matrices: np.ndarray) -> None:
    """Prints the table of classes, the single scores, and the paths of the files."""
    show = console().print
    columns = _columns(found)
    title = f"{result.name}, {known(result.data_info).split}"
    classes = table("class", *(column.replace("_", " ") for column in columns), title=title)
    for name in found.IoU:
        classes.add_row(name, *(percent(column.get(name)) for column in columns.values()))
    classes.add_section()
    classes.add_row("mean", *_means(found, columns), style="bold")
    show(classes)
    show(", ".join(f"{key} {percent(value)}" for key, value in _singles(found).items()))
    groups = found.groups or {}
    if 1 < len(groups) <= MOST_GROUPS:
        values = ", ".join(f"{group} {percent(value)}" for group, value in groups.items())
        show(f"mIoU by group: {values}")
    if found.corrupted:
        print_corrupted(found.corrupted, found.mIoU)
    for note in [*_notes(result), *void_notes(matrices)]:
        show(note, soft_wrap=True)
    files = ("report.md", "confusion.png", "worst.png")
    written = ", ".join(file for file in files if (run.path / file).is_file())
    show(f"\nresult  {run.path} ({written})")
