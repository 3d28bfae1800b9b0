"""Generates docs/metrics.md: the same predictions, scored by segbench and by other programs.

python -m tools.metrics_page           as `make metrics` does, which installs the other programs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.artifacts.segmenter import Segmenter
from segbench.data.dataset import Record
from segbench.data.sources.streets import CLASSES, Streets
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.scores import reduced, scores
from segbench.system.escaping import markdown
from tools.other_metrics import Tool, tools

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
SIZE = (1024, 2048)
DRIVE, FRAMES = 32, 32  # of the test split: one without bicyclists
NAMES = (*CLASSES.names, "Animal")  # the last one is nowhere, as often in a small test set
FLOAT32 = 1 << 24  # beyond it, float32 lacks some whole numbers
INTRODUCTION = """# Why numbers differ

<!-- Written by tools/metrics_page.py; change it there, then: make metrics -->

Two programs that both print "mIoU" often print different numbers for the same label maps. This page
scores one set of predictions with several programs. `make metrics` repeats it: it installs the
programs, runs them, and writes this page.

The predictions are those of the checkpoint that ships with segbench, on {images} frames of the
built-in streets of {width}x{height} pixels. They have what programs treat differently:

- void: {void:,} pixels of the masks have no label;
- absent classes: {absent} is a class of the set, but in no mask and never predicted{alarms};
- size: {largest} covers {pixels:,} pixels. Up to 2^24 = 16,777,216, float32 has every whole number;
  beyond, it lacks some.
"""
ADVICE = """## What to do

- Say which program and which setting a score is from. `result.json` of segbench contains the policy
  for absent classes, what void predictions count as, and the version.
- Compare models by one program: `python -m segbench.evaluate predictions=FOLDER data=NAME` scores
  label maps of any program.
- Scores over summed counts, over images and over pixels answer different questions. segbench
  reports all: `mIoU`; `mIoU_I` and `mIoU_C` (by image, over the classes of its mask); `pixel_acc`
  and `fwIoU`.
"""


@dataclass(frozen=True)
class Maps:
    """Predictions and masks, uint8 `[H, W]` each, and one matrix per image `[N, C, C + 1]`."""

    preds: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    matrices: np.ndarray


def records() -> tuple[Streets, list[Record]]:
    """The data set, and the frames of it that are scored."""
    source = Streets(SIZE, train=0, val=0, test=FRAMES * (DRIVE + 1), frames_per_drive=FRAMES)
    return source, source.records("test")[FRAMES * DRIVE :]


def predict(source: Streets, chosen: Sequence[Record]) -> Maps:
    """Draws frames and predicts them with the shipped checkpoint."""
    segmenter = Segmenter(device="cpu")
    preds, masks = [], []
    for record in chosen:
        image, mask = source.read(record)
        preds.append(segmenter.predict(image, with_probs=False).labels)
        masks.append(mask)
    counts = [confusion_matrix(p, m, len(NAMES)) for p, m in zip(preds, masks, strict=True)]
    return Maps(preds, masks, np.stack(counts))


def own_rows(matrices: np.ndarray) -> list[tuple[str, float]]:
    """Setting and mIoU of segbench, the default first."""
    total = matrices.sum(axis=0)
    found = [("absent_classes=exclude (default)", scores(total, NAMES)["mIoU"])]
    for policy in ("zero", "one"):
        found.append((f"absent_classes={policy}", scores(total, NAMES, policy)["mIoU"]))
    return [(setting, float(value)) for setting, value in found if value is not None]


def page(maps: Maps, programs: Sequence[Tool]) -> str:
    """The text of docs/metrics.md."""
    own = own_rows(maps.matrices)
    base = own[0][1]
    rows = [("segbench", setting, "run", value) for setting, value in own]
    rows += [
        (tool.name, tool.setting, tool.origin(), tool.score(maps.preds, maps.masks, len(NAMES)))
        for tool in programs
    ]
    lines = [_introduction(maps), "| program | score | how | mIoU (%) | minus segbench (points) |"]
    lines.append("|---|---|---|---:|---:|")
    for name, setting, how, value in rows:
        gap = f"{100 * (value - base):+.4f}".replace("-", "−")
        gap = gap if abs(value - base) >= 5e-7 else "0"
        lines.append(f"| {name} | `{setting}` | {markdown(how)} | {100 * value:.4f} | {gap} |")
    lines += ["", "## The reason for each difference", ""]
    lines += [f"- **{tool.name}**, `{tool.setting}`: {markdown(tool.why)}" for tool in programs]
    lines += ["", ADVICE, *_counts(maps)]
    return "\n".join(lines) + "\n"


def _introduction(maps: Maps) -> str:
    labeled = maps.matrices.sum(axis=(0, 2))
    predicted = maps.matrices.sum(axis=(0, 1))[:-1]
    only = [NAMES[k] for k in np.flatnonzero((labeled == 0) & (predicted > 0))]
    alarms = f"; {' and '.join(only)} is in no mask either, but is predicted" if only else ""
    largest = int(labeled.argmax())
    return INTRODUCTION.format(
        images=len(maps.masks), width=SIZE[1], height=SIZE[0], absent=NAMES[-1],
        void=sum(int((mask == CLASSES.ignore_index).sum()) for mask in maps.masks),
        alarms=alarms, largest=NAMES[largest], pixels=int(labeled[largest]),
    )  # fmt: skip


def _counts(maps: Maps) -> list[str]:
    """The counts from which all scores over summed counts follow, and the score of one image."""
    hits, labeled, predicted = reduced(maps.matrices.sum(axis=0))
    first = scores(maps.matrices[0], NAMES)["mIoU"]
    lines = ["## The counts", "", "Pixels with a label, all images together. The first image alone "
             f"has an mIoU of {100 * float(first or 0):.4f}%.", "",
             "| class | right | labeled | predicted |", "|---|---:|---:|---:|"]  # fmt: skip
    return lines + [
        f"| {name} | {h} | {t} | {p} |"
        for name, h, t, p in zip(NAMES, hits, labeled, predicted, strict=True)
    ]


def checked(maps: Maps) -> Maps:
    """The maps, if they have what the page says.

    Raises:
        ValueError: they do not.
    """
    labeled = maps.matrices.sum(axis=(0, 2))
    predicted = maps.matrices.sum(axis=(0, 1))[:-1]
    absent, alarms = (labeled == 0) & (predicted == 0), (labeled == 0) & (predicted > 0)
    has_void = any((mask == CLASSES.ignore_index).any() for mask in maps.masks)
    if labeled.max() <= FLOAT32 or not (absent.any() and alarms.any() and has_void):
        raise ValueError("the frames lack void, absent classes, or a class beyond 2^24 pixels")
    return maps


if __name__ == "__main__":
    PAGE.write_text(page(checked(predict(*records())), tools()), encoding="utf-8")
