"""Reads one run from disk and checks that its files are complete and consistent."""

from __future__ import annotations

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
from segbench.metrics.scores import check_counts, scores

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
    stated = result.scores.get(data.split) if data else None
    if data is None or protocol is None or classes is None or stated is None:
        return LeftOut(folder, "the run was not tested (test=false)", broken=False)
    try:
        names, groups, matrices = directory.read_confusion()
        _check_matrices(names, groups, matrices, classes)
        boundary = _read_boundary(folder, matrices.shape)
        _check_scores(matrices, stated, protocol.absent_classes, classes, data.split)
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
        folder, result.name, result, data, protocol, classes, stated,
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


def _check_scores(
    matrices: np.ndarray, stated: Scores, absent: str, classes: ClassSet, split: str
) -> None:
    """Raises ValueError unless the matrices reproduce all scores in result.json."""
    for key, found in scores(matrices.sum(axis=0), classes.names, absent).items():
        of_all = getattr(stated, key)
        by_class = found if isinstance(found, dict) else {"": found}
        for name, value in by_class.items():
            said = of_all.get(name) if isinstance(found, dict) else of_all
            if not _agree(said, value):
                what = f"{key} of {name}" if name else key
                raise ValueError(f"it gives {what} {value}, but result.json says {said} on {split}")


def _agree(stated: float | None, found: float | None) -> bool:
    """Whether two scores are equal; None means that there is no score."""
    if stated is None or found is None:
        return stated is found
    return abs(stated - found) <= 1e-6
