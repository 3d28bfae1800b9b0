"""Reads the pixel counts of a run, and checks that they reproduce the scores in result.json."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from segbench.artifacts.pixel_counts import ImageCounts, read_pixel_counts
from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.data.classes import ClassSet
from segbench.errors import ResultError
from segbench.metrics.robustness import CORRUPTED, Scored
from segbench.metrics.scores import mean_over_classes, overlap, scores

# Errors of NumPy for a damaged .npz file; NotImplementedError for an unknown compression.
_BROKEN_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, OverflowError, MemoryError, SyntaxError, RuntimeError,
)  # fmt: skip


class _ContradictionError(Exception):
    """Two files of a run that cannot both be right."""


def read_counts(run: RunDirectory, result: Result) -> ImageCounts:
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
        counts = read_pixel_counts(run.confusion_file)
        _check_classes(counts, classes)
        _check_scores(counts.total, stated, protocol.absent_classes, classes, data.split)
        _check_corrupted(counts, stated.corrupted, protocol.absent_classes)
    except FileNotFoundError:
        raise ResultError("there is no confusion.npz") from None
    except _ContradictionError as error:
        raise ResultError(f"confusion.npz and result.json contradict each other: {error}") from None
    except _BROKEN_ARCHIVE as error:
        raise ResultError(f"confusion.npz is corrupt ({error})") from None
    return counts


def _check_classes(counts: ImageCounts, classes: ClassSet) -> None:
    if len(counts.total) != classes.num_classes:
        raise _ContradictionError(
            f"counts of {len(counts.total)} classes, expected {classes.num_classes}"
        )


def _check_scores(
    total: np.ndarray, stated: Scores, absent: str, classes: ClassSet, split: str
) -> None:
    """Raises _ContradictionError unless the counts reproduce all scores in result.json."""
    for key, found in scores(total, classes.names, absent).items():
        of_all = getattr(stated, key)
        by_class: Mapping[str, Any] = found if isinstance(found, dict) else {"": found}
        for name, value in by_class.items():
            said = of_all.get(name) if isinstance(found, dict) else of_all
            if not _agree(said, value):
                what = f"{key} of {name}" if name else key
                raise _ContradictionError(
                    f"the counts of {split} give {what} {value}, result.json says {said}"
                )


def _check_corrupted(counts: ImageCounts, stated: Scored | None, absent: str) -> None:
    """Raises _ContradictionError unless the counts give the mIoU on corrupted images."""
    if not stated:
        return
    found = counts.counts_of(CORRUPTED)
    if found is None:
        raise _ContradictionError("there are no counts of the corrupted images")
    severities = {tuple(by_severity) for by_severity in stated.values()}
    if len(severities) != 1:
        raise _ContradictionError("corruptions at different severities")
    values = [value for by_severity in stated.values() for value in by_severity.values()]
    images, classes = len(counts.names), len(counts.total)
    if found.size != images * 2 * len(values) * classes:
        raise _ContradictionError(
            f"{CORRUPTED} {found.shape} is not that of {len(values)} corruptions"
        )
    hits, unions = found.reshape(images, 2, len(values), classes).sum(axis=0)
    for said, value in zip(values, mean_over_classes(overlap(hits, unions), absent), strict=True):
        if not _agree(said, None if np.isnan(value) else float(value)):
            raise _ContradictionError(
                f"the counts give {CORRUPTED} {value}, result.json says {said}"
            )


def _agree(stated: float | None, found: float | None) -> bool:
    """Whether two scores are equal; None means that there is no score."""
    if stated is None or found is None:
        return stated is found
    return abs(stated - found) <= 1e-6
