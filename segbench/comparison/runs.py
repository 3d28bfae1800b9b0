"""Reads one run from disk and checks that its files are complete and consistent."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.artifacts.result import DataInfo, Protocol, Result, Scores
from segbench.artifacts.run_directory import RunDirectory
from segbench.data.classes import ClassSet
from segbench.errors import ResultError
from segbench.metrics.scores import check_counts, class_iou, mean_over_classes

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
        scores: scores of the split that was scored.
        names, groups: name and group of each image, `[N]`.
        matrices: int64 `[N, C, C + 1]`.
        boundary: int64 `[N, 2, C]`; intersection and union of the boundary bands (Boundary IoU,
            Cheng et al. 2021) of each image and class; None if they were not counted.
    """

    path: Path
    label: str
    result: Result
    data: DataInfo
    protocol: Protocol
    classes: ClassSet
    scores: Scores
    names: list[str]
    groups: list[str]
    matrices: np.ndarray
    boundary: np.ndarray | None = None

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
        names, groups, matrices = directory.read_confusion()
        _check_matrices(names, groups, matrices, classes)
        boundary = _read_boundary(folder, matrices.shape)
        _check_score(matrices, scores, protocol.absent_classes, data.split)
    except FileNotFoundError:
        return LeftOut(folder, "there is no confusion.npz; run it again", broken=True)
    except BROKEN_ARCHIVE as error:
        return LeftOut(folder, f"confusion.npz is corrupt ({error}); run it again", broken=True)
    if not matrices.any():
        reason = (
            f"the {data.split} split has no labels, so there is nothing to compare; add masks, or "
            "score another split in a study of its own "
            "(segbench.evaluate ckpt=FILE split=val study=NAME)"
        )
        return LeftOut(folder, reason, broken=False)
    return Run(
        folder, result.name, result, data, protocol, classes, scores,
        names, groups, matrices, boundary,
    )  # fmt: skip


def _read_boundary(folder: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    with np.load(RunDirectory(folder).confusion_file) as file:
        boundary = file.get("boundary")
    expected = (shape[0], 2, shape[1])
    if boundary is None:
        return None
    if boundary.shape != expected:
        raise ValueError(f"boundary counts {boundary.shape}, expected {expected}")
    check_counts(boundary, "boundary counts")
    if (boundary[:, 0] > boundary[:, 1]).any():
        raise ValueError("boundary counts: an intersection is larger than its union")
    return boundary


def _check_matrices(
    names: list[str], groups: list[str], matrices: np.ndarray, classes: ClassSet
) -> None:
    """Raises ValueError unless there is one matrix of pixel counts per image."""
    expected = (len(names), classes.num_classes, classes.num_classes + 1)
    if not all(isinstance(text, str) for text in (*names, *groups)):
        raise ValueError("names or groups that are no text")
    if matrices.shape != expected or len(groups) != len(names):
        raise ValueError(
            f"matrices {matrices.shape}, {len(names)} names, {len(groups)} groups; "
            f"expected {expected}"
        )
    check_counts(matrices, "matrices")


def _check_score(matrices: np.ndarray, scores: Scores, absent: str, split: str) -> None:
    """Raises ValueError unless the matrices reproduce the score in result.json."""
    found = float(mean_over_classes(class_iou(matrices.sum(axis=0)), absent))
    if not _agree(scores.mIoU, found):
        stated = f"result.json says {scores.mIoU} on {split}"
        raise ValueError(f"it gives mIoU {found:.6f}, but {stated}")


def _agree(stated: float | None, found: float) -> bool:
    """Whether two scores are equal; None and NaN both mean that there is no score."""
    if stated is None or math.isnan(stated) or math.isnan(found):
        return (stated is None or math.isnan(stated)) and math.isnan(found)
    return abs(stated - found) <= 1e-6
