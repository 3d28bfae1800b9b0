"""Images for a report: those that decide a comparison, and the models' predictions."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segbench.comparison.decisive import Seen, predict_again
from segbench.comparison.runs import LeftOut, Run
from segbench.comparison.study import Study
from segbench.data.classes import ClassSet
from segbench.system.escaping import file_path

WIDTH = 480
SHEET_WIDTH = 1000
DIFFERENT, SAME = (208, 28, 28), (225, 225, 225)
Shown = tuple[str, str]  # caption, data URI


@dataclass(frozen=True)
class Gallery:
    """The images of a report.

    Args:
        decisive: caption and data URI of all available images, by the name of a decisive image.
        sheets: the last sample sheet of each model's median run.
        left_out: files that cannot be read.
        missing: why images or predictions of the decisive ones are missing.
    """

    decisive: dict[str, list[Shown]] = field(default_factory=dict)
    sheets: list[Shown] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def gallery(study: Study, comparison: Mapping[str, Any]) -> Gallery:
    """Reads the images of a report.

    For each decisive image: the image, its mask, the label maps of the median run of both models,
    and a map of where the two disagree, if there are files `RUN/predictions/NAME.png`, or the
    checkpoints and the data are on this machine.
    """
    found = Gallery()
    for row in comparison["leaderboard"]:
        _add_sheet(median_run(study, row["label"]), found)
    if comparison["headline"] is None:
        return found
    pair = comparison["pairs"][comparison["headline"]]
    runs = [median_run(study, pair[key]) for key in ("a", "b")]
    entries = (*comparison["images"]["wins"], *comparison["images"]["losses"])
    names = list(dict.fromkeys(entry["name"] for entry in entries))
    seen, reason = predict_again(runs, names)
    for name in names:
        again = seen.get(name)
        preds = {run.label: _prediction(run, name, found) for run in runs}
        if again is not None:
            preds = {label: pred if pred is not None else again.preds.get(label)
                     for label, pred in preds.items()}  # fmt: skip
        found.decisive[name] = _painted(again, preds, study.classes)
    if names and reason and not any(found.decisive.values()):
        found.missing.append(reason)
    return found


def median_run(study: Study, label: str) -> Run:
    """The run with the (lower) median score of its model: the typical one, not the best."""
    runs = sorted(study.runs[label], key=lambda run: run.scores.mIoU or 0.0)
    return runs[(len(runs) - 1) // 2]


def data_uri(image: Image.Image, width: int) -> str:
    """An image as a JPEG data URI, at most `width` pixels wide."""
    small = image.convert("RGB")
    small.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _add_sheet(run: Run, found: Gallery) -> None:
    files = sorted((run.path / "samples").glob("*.png"))
    if not files:
        return
    try:
        with Image.open(files[-1]) as image:
            uri = data_uri(image, SHEET_WIDTH)
    except Exception as error:  # for a damaged file, Pillow raises almost anything
        found.left_out.append(_unread(files[-1], error))
        return
    is_strip = files[-1].stem == "film_strip"
    shown = "one image over the epochs" if is_strip else files[-1].stem
    found.sheets.append((f"{run.label}, seed {run.seed}: {shown}", uri))


def _prediction(run: Run, name: str, found: Gallery) -> np.ndarray | None:
    """The label map uint8 `[H, W]` that a run saved for an image, or None."""
    folder = run.path / "predictions"
    file = folder / f"{file_path(name)}.png"
    # The name comes from a file of the run: it must not lead out of the folder.
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        return None
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "P"):
                raise ValueError(f"pixels of type {image.mode}, expected 8-bit class ids")
            return np.array(image)
    except Exception as error:  # as above
        found.left_out.append(_unread(file, error))
        return None


def _unread(file: Path, error: Exception) -> LeftOut:
    return LeftOut(file, f"the image cannot be read ({error})", broken=True)


def _painted(
    again: Seen | None, preds: Mapping[str, np.ndarray | None], classes: ClassSet
) -> list[Shown]:
    known = {label: pred for label, pred in preds.items() if pred is not None}
    shown = []
    if again is not None:
        shown = [("image", data_uri(Image.fromarray(again.image), WIDTH))]
        shown += [("mask", data_uri(Image.fromarray(classes.decode(again.mask)), WIDTH))]
    shown += [
        (f"{label}: prediction", data_uri(Image.fromarray(classes.decode(pred)), WIDTH))
        for label, pred in known.items()
    ]
    if len(known) == 2 and len({pred.shape for pred in known.values()}) == 1:
        first, second = known.values()
        unlike = np.where((first != second)[..., None], DIFFERENT, SAME)
        shown.append(("where they differ", data_uri(Image.fromarray(np.uint8(unlike)), WIDTH)))
    return shown
