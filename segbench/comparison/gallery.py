"""Pictures for a report: the images that decide a comparison, and what the models made of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segbench.comparison.runs import Run
from segbench.comparison.study import Study
from segbench.data.classes import ClassSet

WIDTH = 480
SHEET_WIDTH = 1000


def gallery(study: Study, comparison: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The decisive images with the pictures there are of them.

    Label-ID pictures in `RUN/predictions/NAME.png` of the median run of each model become colour
    masks and a map of where the two disagree.

    Returns:
        `wins` and `losses`: the entries of the comparison, each with `pictures`, a list of
        (caption, data URI).
    """
    if comparison["headline"] is None:
        return {"wins": [], "losses": []}
    pair = comparison["pairs"][comparison["headline"]]
    a, b = (median_run(study, pair[key]) for key in ("a", "b"))
    return {
        side: [
            {**entry, "pictures": _pictures(entry["name"], a, b, study.classes)}
            for entry in comparison["images"][side]
        ]
        for side in ("wins", "losses")
    }


def sheets(study: Study, comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The last sample sheet of each model's median run: (caption, data URI)."""
    found = []
    for row in comparison["leaderboard"]:
        run = median_run(study, row["label"])
        pictures = sorted((run.path / "samples").glob("*.png"))
        if pictures:
            caption = f"{run.label}, seed {run.seed}, {pictures[-1].stem}"
            with Image.open(pictures[-1]) as picture:
                found.append((caption, data_uri(picture, SHEET_WIDTH)))
    return found


def median_run(study: Study, label: str) -> Run:
    """The run whose score is the (lower) median of its model: the typical one, not the best."""
    runs = sorted(study.runs[label], key=lambda run: run.scores.mIoU or 0.0)
    return runs[(len(runs) - 1) // 2]


def data_uri(picture: Image.Image, width: int) -> str:
    """A picture as a JPEG inside the page, at most `width` pixels wide."""
    small = picture.convert("RGB")
    small.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pictures(name: str, a: Run, b: Run, classes: ClassSet) -> list[tuple[str, str]]:
    preds = {run.label: _read(run.path / "predictions" / f"{name}.png") for run in (a, b)}
    known = {label: pred for label, pred in preds.items() if pred is not None}
    pictures = [
        (f"{label}: pred", data_uri(Image.fromarray(classes.decode(pred)), WIDTH))
        for label, pred in known.items()
    ]
    shapes = {pred.shape for pred in known.values()}
    if len(known) == 2 and len(shapes) == 1:
        first, second = known.values()
        unlike = np.where((first != second)[..., None], (208, 28, 28), (225, 225, 225))
        pictures.append(("where they differ", data_uri(Image.fromarray(np.uint8(unlike)), WIDTH)))
    return pictures


def _read(file: Path) -> np.ndarray | None:
    if not file.is_file():
        return None
    with Image.open(file) as picture:
        return np.array(picture) if picture.mode in ("L", "P") else None
