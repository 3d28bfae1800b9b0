"""Reads the pixel counts of a run, and checks that they reproduce the scores in result.json."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from segbench.artifacts.result import Result, Scores
from segbench.artifacts.run_directory import RunDirectory
from segbench.data.classes import ClassSet
from segbench.errors import ResultError
from segbench.metrics.scores import check_counts, scores

# Errors of NumPy for a damaged .npz file; NotImplementedError for an unknown compression.
_BROKEN_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, OverflowError, MemoryError, SyntaxError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """The content of confusion.npz.

    Args:
        names, groups: name and group of each image, `[N]`.
        matrices: int64 `[N, C, C + 1]`.
        boundary: int64 `[N, 2, C]`, intersection and union of the boundary bands; None if they
            were not counted.
    """

    names: list[str]
    groups: list[str]
    matrices: np.ndarray
    boundary: np.ndarray | None


def read_counts(run: RunDirectory, result: Result) -> Counts:
    """Reads the pixel counts behind the scores of a run.

    Args:
        run: its directory.
        result: its record, with the scores of its split.

    Raises:
        ResultError: there are no counts, they are damaged, or the record states other scores.
    """
    data, protocol, classes = result.data_info, result.protocol, result.classes
    assert data is not None
    assert protocol is not None
    assert classes is not None
    stated = result.scores[data.split]
    assert stated is not None
    try:
        names, groups, matrices = run.read_confusion()
        _check_matrices(names, groups, matrices, classes)
        boundary = _read_boundary(run, matrices.shape)
        _check_scores(matrices, stated, protocol.absent_classes, classes, data.split)
    except FileNotFoundError:
        raise ResultError("there is no confusion.npz") from None
    except _BROKEN_ARCHIVE as error:
        raise ResultError(f"confusion.npz is corrupt ({error})") from None
    return Counts(names, groups, matrices, boundary)


def _read_boundary(run: RunDirectory, shape: tuple[int, ...]) -> np.ndarray | None:
    with np.load(run.confusion_file) as file:
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
        raise ValueError("names or groups that are not text")
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
