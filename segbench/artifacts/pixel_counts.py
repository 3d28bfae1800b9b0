"""The counts of a run's images: small on disk, exact, and read no further than is needed.

Scores and statistics need, of each image and class, the pixels that are right, labeled and
predicted; the confusion matrix is needed only summed. So confusion.npz contains

    names, groups     [N]           of the images
    counts            [N, 3, C]     hits, labeled, predicted pixels of each class
    total             [C, C + 1]    the confusion matrix of all images, int64
    cells, cell_counts, cell_ends   the matrix of each image, without its zeros: positions in the
                                    flattened matrix, their counts, and where each image ends
    sum_NAME          [N, 2, K]     of a metric the numerator and denominator
    bins_NAME         [N, K, 15, 3] of a metric the pixels, right ones and sum of confidences by bin

with integers in the smallest type that fits; for the metrics see `metrics.catalog`. With 150
classes that is a hundredth of one dense matrix per image, which earlier versions wrote as
`matrices` `[N, C, C + 1]`, and `sum_boundary_IoU` as `boundary`; such files are read too.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segbench.metrics.catalog import CATALOG
from segbench.metrics.scores import check_counts, reduced

ROUNDING = 1e-9
LARGEST_INT32 = 1 << 28  # sums of a few such counts still fit into 32 bits


@dataclass(frozen=True)
class ImageCounts:
    """What confusion.npz says, but for the matrices of single images.

    Args:
        file: confusion.npz, from which those are read on demand.
        names, groups: `[N]`.
        counts: int32 or int64 `[N, 3, C]`; hits, labeled and predicted pixels.
        total: int64 `[C, C + 1]`.
        more: the array of each further metric that was counted.
    """

    file: Path
    names: list[str]
    groups: list[str]
    counts: np.ndarray
    total: np.ndarray
    more: Mapping[str, str] = field(default_factory=dict)

    def counts_of(self, metric: str) -> np.ndarray | None:
        """The counts of a metric of `metrics.catalog`, float64 `[N, ...]`; read from the file now.

        None if it was not counted.
        """
        if metric not in self.more:
            return None
        with np.load(self.file) as stored:
            return stored[self.more[metric]].astype(np.float64)

    def matrices(self) -> np.ndarray:
        """One confusion matrix per image, int64 `[N, C, C + 1]`; read again from the file."""
        with np.load(self.file) as stored:
            return _dense(stored, self.total.shape)


def pack(
    matrices: np.ndarray, more: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of confusion.npz but for names and groups.

    Args:
        matrices: int64 `[N, C, C + 1]`.
        more: the counts of further metrics, `[N, 2, K]` or `[N, K, 15, 3]`.

    Raises:
        ValueError: they are no counts of pixels.
    """
    check_counts(matrices, "matrices")
    flat = matrices.reshape(len(matrices), -1)
    image, cell = np.nonzero(flat)
    ends = np.searchsorted(image, np.arange(len(matrices)), side="right")
    found = {
        "counts": _small(reduced(matrices)),
        "total": matrices.sum(axis=0, dtype=np.int64),
        "cells": _small(cell),
        "cell_counts": _small(flat[image, cell]),
        "cell_ends": ends.astype(np.int64),
    }
    for metric, counts in (more or {}).items():
        key = ("sum_" if counts.ndim == 3 else "bins_") + metric
        found[key] = _small(counts) if counts.dtype.kind in "iu" else counts
        _check_more(found[key], key, *matrices.shape[:2])
    return found


def read_pixel_counts(file: Path) -> ImageCounts:
    """Reads confusion.npz of this version or an earlier one.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile and what else NumPy raises for a damaged
            file; ValueError also where its parts contradict each other.
    """
    with np.load(file) as stored:
        names, groups = stored["names"].tolist(), stored["groups"].tolist()
        more = {metric: key for key in stored if (metric := _metric(key))}
        if "matrices" in stored:
            matrices = stored["matrices"]
            _check_dense(matrices, len(names))
            counts, total = reduced(matrices), matrices.sum(axis=0, dtype=np.int64)
        else:
            counts, total = stored["counts"], stored["total"]
            _check_parts(counts, total, len(names))
        for key in more.values():  # one after another: not all of them are needed at once
            _check_more(stored[key], key, len(names), len(total))
    with zipfile.ZipFile(file) as archive:  # also of what is not read now
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
    if not all(isinstance(text, str) for text in (*names, *groups)):
        raise ValueError("names or groups that are no text")
    if len(groups) != len(names):
        raise ValueError(f"{len(names)} names, {len(groups)} groups; expected as many")
    is_small = counts.max(initial=0) < LARGEST_INT32
    counts = counts.astype(np.int32 if is_small else np.int64)
    return ImageCounts(file, names, groups, counts, total, more)


def _dense(stored: np.lib.npyio.NpzFile, shape: tuple[int, ...]) -> np.ndarray:
    if "matrices" in stored:
        return stored["matrices"]
    ends, cells = stored["cell_ends"], stored["cells"]
    size = shape[0] * shape[1]
    if (
        (np.diff(ends, prepend=0) < 0).any()
        or ends[-1] != len(cells)
        or cells.max(initial=0) >= size
    ):
        raise ValueError("cells that are in no matrix")
    dense = np.zeros((len(ends), size), np.int64)
    image = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    dense[image, cells] = stored["cell_counts"]
    return dense.reshape(len(ends), *shape)


def _small(counts: np.ndarray) -> np.ndarray:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _check_dense(matrices: np.ndarray, images: int) -> None:
    shape = matrices.shape
    if len(shape) != 3 or shape[2] != shape[1] + 1 or shape[0] != images:
        raise ValueError(f"matrices {shape}, {images} names; expected [N, C, C + 1]")
    check_counts(matrices, "matrices")


def _check_parts(counts: np.ndarray, total: np.ndarray, images: int) -> None:
    """Raises ValueError unless the counts of the images add up to the total."""
    shape = counts.shape
    is_one_size = len(shape) == 3 and total.shape == (shape[2], shape[2] + 1)
    if not is_one_size or shape[:2] != (images, 3):
        raise ValueError(
            f"counts {shape}, total {total.shape}, {images} names; expected [N, 3, C], [C, C + 1]"
        )
    check_counts(counts, "counts")
    check_counts(total, "total")
    if (counts[:, 0] > counts[:, 1:].min(axis=1)).any():
        raise ValueError("counts: more hits than labeled or predicted pixels")
    if not np.array_equal(counts.sum(axis=0, dtype=np.int64), reduced(total)):
        raise ValueError("the counts of the images do not add up to the total")


def _metric(key: str) -> str | None:
    """The metric whose counts an array of the file contains."""
    if key == "boundary":
        return "boundary_IoU"
    start, _, metric = key.partition("_")
    return metric if start in ("sum", "bins") else None


def _check_more(counts: np.ndarray, key: str, images: int, classes: int) -> None:
    """Raises ValueError if an array cannot be the counts of a metric of these images."""
    is_sum = not key.startswith("bins_")
    is_shaped = counts.ndim == 3 and counts.shape[1] == 2 if is_sum else counts.ndim == 4
    if counts.dtype.kind not in "iuf" or not is_shaped or len(counts) != images:
        raise ValueError(f"{key} {counts.dtype} {counts.shape} of {images} images")
    if key in ("boundary", "sum_boundary_IoU"):
        check_counts(counts, f"{key} counts")
    if not np.isfinite(counts).all() or counts.min(initial=0) < 0:
        raise ValueError(f"{key} contains values that are no sums of counts")
    row = CATALOG.get(_metric(key) or "")
    if row is None:
        return
    if row.by_class and counts.shape[2 if is_sum else 1] != classes:
        raise ValueError(f"{key} {counts.shape}: expected {classes} classes")
    top = row.limits[1]
    if is_sum and np.isfinite(top) and (counts[:, 0] > top * counts[:, 1] * (1 + ROUNDING)).any():
        raise ValueError(f"{key}: a score above {top:g}, which is the highest there is")
