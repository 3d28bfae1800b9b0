"""Reads one run from disk and checks that its files are complete and consistent."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.artifacts.counts import ImageCounts, read_counts
from segbench.artifacts.result import DataInfo, Protocol, Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.data.classes import ClassSet
from segbench.errors import ResultError
from segbench.metrics.scores import class_iou, mean_over_classes

# Errors of NumPy for a damaged .npz file; NotImplementedError for an unknown compression.
BROKEN_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, OverflowError, MemoryError, SyntaxError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One finished run.

    Args:
        path: its directory.
        label: its row of the leaderboard.
        result: its record, of which the next four are parts.
        data: its images.
        protocol: how it was scored.
        classes: the classes.
        scores: of the split that was scored.
        images: its images and what was counted of them.
    """

    path: Path
    label: str
    result: Result
    data: DataInfo
    protocol: Protocol
    classes: ClassSet
    scores: Scores
    images: ImageCounts

    @property
    def names(self) -> list[str]:
        """The name of each image."""
        return self.images.names

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return self.images.groups

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.result.seed


@dataclass(frozen=True)
class LeftOut:
    """A directory that was not used, and why. `broken`: its files are damaged."""

    path: Path
    reason: str
    broken: bool


def read_run(folder: Path) -> Run | LeftOut:
    """The run in a directory, or why it cannot be used."""
    directory = RunDirectory(folder)
    try:
        result = directory.read_result()
    except ResultError as error:
        reason = str(error).removeprefix(f"{folder}{os.sep}")
        return LeftOut(folder, f"{reason}; run it again", broken=True)
    if result is None:
        return LeftOut(folder, "no result.json: the run never started", broken=False)
    if result.status != "finished":
        reason = f"the run is {result.status}" + (f" ({result.reason})" if result.reason else "")
        return LeftOut(folder, reason, broken=False)
    data, protocol, classes = result.data_info, result.protocol, result.classes
    scores = result.scores.get(data.split) if data else None
    if data is None or protocol is None or classes is None or scores is None:
        return LeftOut(folder, "the run was not tested (test=false)", broken=False)
    try:
        images = read_counts(directory.confusion_file)
        _check_classes(images, classes)
        _check_score(images.total, scores, protocol.absent_classes, data.split)
    except FileNotFoundError:
        return LeftOut(folder, "there is no confusion.npz; run it again", broken=True)
    except BROKEN_ARCHIVE as error:
        return LeftOut(folder, f"confusion.npz is corrupt ({error}); run it again", broken=True)
    if not images.total.any():
        reason = (
            f"the {data.split} split has no labels, so there is nothing to compare; add masks, or "
            "score another split in a study of its own "
            "(segbench.evaluate ckpt=FILE split=val study=NAME)"
        )
        return LeftOut(folder, reason, broken=False)
    return Run(folder, result.name, result, data, protocol, classes, scores, images)


def _check_classes(images: ImageCounts, classes: ClassSet) -> None:
    if len(images.total) != classes.num_classes:
        raise ValueError(f"counts of {len(images.total)} classes, expected {classes.num_classes}")


def _check_score(total: np.ndarray, scores: Scores, absent: str, split: str) -> None:
    """Raises ValueError unless the counts give the score in result.json."""
    found = float(mean_over_classes(class_iou(total), absent))
    if not _agree(scores.mIoU, found):
        stated = f"result.json says {scores.mIoU} on {split}"
        raise ValueError(f"it gives mIoU {found:.6f}, but {stated}")


def _agree(stated: float | None, found: float) -> bool:
    """Whether two scores are equal; None and NaN both mean that there is no score."""
    if stated is None or math.isnan(stated) or math.isnan(found):
        return (stated is None or math.isnan(stated)) and math.isnan(found)
    return abs(stated - found) <= 1e-6
