"""Slices of volumes (NIfTI) as images: each slice is an image, its volume is its group.

A volume is first reoriented to RAS+ (the first axis points right, the second to the front, the
third up), so that slices of all volumes have the same orientation: axis 2 gives axial slices with
the front on top. A fourth axis (time, or several contrasts) is the bands.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from segbench.data.extras import needed
from segbench.data.pixels import Pixels
from segbench.errors import DataError

SUFFIXES = (".nii", ".nii.gz")
AXES = (0, 1, 2)
_KEPT = 2  # decoded volumes; slices are read one after the other


def is_volume(path: Path | None) -> bool:
    """Whether a file is a volume, by its name."""
    return path is not None and path.name.lower().endswith(SUFFIXES)


def count_slices(path: Path, axis: int) -> int:
    """Number of slices of a volume along an axis of RAS+; reads only the header."""
    with _errors(path):
        nibabel = _nibabel()
        image = nibabel.load(path)
        order = nibabel.io_orientation(image.affine)[:, 0].astype(int).tolist()
        return int(image.shape[order.index(axis)])


def read_slice(path: Path, index: int, axis: int) -> Pixels:
    """Reads one slice, exactly as stored (scaled if the header says so).

    Args:
        path: the volume.
        index: position along the axis.
        axis: axis of RAS+; 0 gives sagittal, 1 coronal, 2 axial slices.

    Raises:
        DataError: damaged, or not a volume of numbers.
        ConfigError: nibabel is not installed.
    """
    with _errors(path):
        values = _values(path, path.stat().st_mtime_ns)
        found = np.rot90(np.take(values, index, axis))
    found = np.ascontiguousarray(found, found.dtype.newbyteorder("="))
    top = int(np.iinfo(found.dtype).max) if found.dtype.kind == "u" else 0
    return Pixels(found, top)


def write_volume(path: Path, like: Path, slices: np.ndarray, axis: int) -> None:
    """Writes labels as a volume with the orientation and position of another volume.

    Args:
        path: the file to write.
        like: the volume that was labeled.
        slices: uint8 `[slices, H, W]`, in the orientation of `read_slice`.
        axis: the axis along which they were cut.
    """
    nibabel = _nibabel()
    source = nibabel.load(like)
    own = nibabel.io_orientation(source.affine)
    upright = np.stack([np.rot90(labels, -1) for labels in slices], axis)
    back = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt(("R", "A", "S")), own
    )
    labels = nibabel.orientations.apply_orientation(upright, back)
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), source.affine), path)


@lru_cache(maxsize=_KEPT)
def _values(path: Path, changed: int) -> np.ndarray:
    """`[x, y, z]` or `[x, y, z, bands]` in RAS+."""
    nibabel = _nibabel()
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "uif" or values.ndim not in (3, 4):
        raise DataError(
            f"{path}: a volume of {values.dtype} of shape {list(values.shape)}; expected numbers "
            "on three axes, or four with bands last.",
            "unreadable",
        )
    return values


class _errors:  # noqa: N801  (a context manager)
    """Converts the various errors of nibabel to one that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or not isinstance(error, Exception) or hasattr(error, "exit_code"):
            return
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{self.path}: cannot be read as a NIfTI volume ({reason}). Replace the file.",
            "unreadable",
        ) from error


def _nibabel() -> Any:
    return needed("nibabel", "medical", "a NIfTI volume")
