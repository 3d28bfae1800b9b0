"""Reads one run from disk and checks that its files are whole and agree with each other."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segbench.artifacts.run_directory import SCHEMA_VERSION, RunDirectory
from segbench.metrics.scores import check_counts, class_iou, mean_over_classes

# What NumPy raises for a damaged .npz file; NotImplementedError for an unknown compression.
BROKEN_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, OverflowError, MemoryError, SyntaxError, RuntimeError,
)  # fmt: skip
REQUIRED = ("status", "name", "seed", "kind", "classes", "data_info", "protocol", "scores")


@dataclass(frozen=True)
class Run:
    """One finished run.

    Args:
        path: its directory.
        label: the line of the leaderboard it belongs to.
        result: the content of result.json.
        names, groups: `[N]`, of each image.
        matrices: int64 `[N, C, C + 1]`.
        boundary: int64 `[N, 2, C]`; intersection and union of the boundary bands (Boundary IoU,
            Cheng et al. 2021) of each image and class; None if they were not counted.
    """

    path: Path
    label: str
    result: dict[str, Any]
    names: list[str]
    groups: list[str]
    matrices: np.ndarray
    boundary: np.ndarray | None = None

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.result["seed"])


@dataclass(frozen=True)
class LeftOut:
    """A directory that was not used, and why. `broken`: the files are at fault, not the run."""

    path: Path
    reason: str
    broken: bool


def lookup(result: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = result
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def scored_data(result: Mapping[str, Any]) -> Any:
    """The fingerprint of the images that were scored."""
    return lookup(result, f"data_info.fingerprint.{lookup(result, 'data_info.split')}")


def read_run(folder: Path) -> Run | LeftOut:
    """The run in a directory, or why it cannot be used."""
    file = folder / "result.json"
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return LeftOut(folder, "no result.json: the run never started", broken=False)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return LeftOut(folder, f"result.json is corrupt ({error}); run it again", broken=True)
    version = result.get("schema_version") if isinstance(result, dict) else None
    if not isinstance(version, int):
        return LeftOut(folder, "result.json has no schema_version; run it again", broken=True)
    if version > SCHEMA_VERSION:
        reason = (
            f"result.json has schema {version}, this segbench reads up to {SCHEMA_VERSION}; "
            "update segbench"
        )
        return LeftOut(folder, reason, broken=True)
    if result.get("status") != "finished":
        reason = f"the run is {result.get('status')}"
        reason += f" ({result['reason']})" if result.get("reason") else ""
        return LeftOut(folder, reason, broken=False)
    if lookup(result, "config.test") is False and lookup(result, "scores.test") is None:
        return LeftOut(folder, "the run was not tested (test=false)", broken=False)
    missing = [key for key in REQUIRED if key not in result]
    if missing:
        return LeftOut(folder, f"result.json lacks {', '.join(missing)}; run it again", broken=True)
    try:
        names, groups, matrices = RunDirectory(folder).read_confusion()
        _check_matrices(names, groups, matrices, result)
        boundary = _read_boundary(folder, matrices.shape)
    except FileNotFoundError:
        return LeftOut(folder, "there is no confusion.npz; run it again", broken=True)
    except BROKEN_ARCHIVE as error:
        return LeftOut(folder, f"confusion.npz is corrupt ({error}); run it again", broken=True)
    if not matrices.any():
        reason = (
            f"the {result['data_info']['split']} split has no labels, so there is nothing to "
            "compare; add masks, or score another split in a study of its own "
            "(segbench.evaluate ckpt=FILE split=val study=NAME)"
        )
        return LeftOut(folder, reason, broken=False)
    return Run(folder, str(result["name"]), result, names, groups, matrices, boundary)


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
    names: list[str], groups: list[str], matrices: np.ndarray, result: Mapping[str, Any]
) -> None:
    """Raises ValueError unless the matrices are whole and give the score in result.json."""
    classes = len(lookup(result, "classes.names") or ())
    expected = (len(names), classes, classes + 1)
    if not all(isinstance(text, str) for text in (*names, *groups)):
        raise ValueError("names or groups that are no text")
    if matrices.shape != expected or len(groups) != len(names):
        raise ValueError(
            f"matrices {matrices.shape}, {len(names)} names, {len(groups)} groups; "
            f"expected {expected}"
        )
    check_counts(matrices, "matrices")
    split, absent = result["data_info"]["split"], result["protocol"]["absent_classes"]
    stated = lookup(result, f"scores.{split}.mIoU")  # None without any label
    found = float(mean_over_classes(class_iou(matrices.sum(axis=0)), absent))
    if not _agree(stated, found):
        raise ValueError(f"it gives mIoU {found:.6f}, but result.json says {stated} on {split}")


def _agree(stated: float | None, found: float) -> bool:
    """Whether two scores are the same; None and NaN both stand for no score."""
    if stated is None or math.isnan(stated) or math.isnan(found):
        return (stated is None or math.isnan(stated)) and math.isnan(found)
    return abs(stated - found) <= 1e-6
