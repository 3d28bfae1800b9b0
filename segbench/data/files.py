"""Reading image and mask files, and saying clearly what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from segbench.data.dataset import Record
from segbench.data.decoding import (
    PNG_MAGIC,
    decode_mask,
    decode_palette,
    decode_rgb,
    orientation,
)
from segbench.errors import DataError, UnpairedError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")


def cores() -> int:
    """The processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def read_rgb(path: Path | None) -> np.ndarray:
    """Decodes an image file, the way up that viewers show it: its EXIF orientation is applied.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: missing, truncated or no image.
    """
    return decode_rgb(_bytes(path), path)


def read_raw_mask(path: Path | None) -> np.ndarray:
    """Decodes a mask file without interpreting it; an EXIF orientation is applied.

    Returns:
        uint8 or uint16 `[H, W]` raw label values (palette PNG: palette positions), or uint8
        `[H, W, 3]` RGB for a colour mask. Whole numbers of any other type are converted.

    Raises:
        DataError: missing, truncated, no image, or values that are no labels (fractions, below 0
            or above 65535).
    """
    return decode_mask(_bytes(path), path)


def read_colors(path: Path | None) -> np.ndarray:
    """Decodes a colour mask, or a palette PNG by its palette; ids are refused.

    Returns:
        uint8 `[H, W, 3]` RGB.
    """
    data = _bytes(path)
    rgb = decode_palette(data, path)
    if rgb is None:
        rgb = decode_mask(data, path)
    if rgb.ndim == 2:
        raise DataError(f"{path}: a grey mask where RGB was expected; use mask_type: ids.")
    return rgb


def read_ids(path: Path | None) -> np.ndarray:
    """Decodes a mask of label ids; a colour mask is refused.

    Returns:
        uint8 or uint16 `[H, W]`.
    """
    mask = read_raw_mask(path)
    if mask.ndim != 2:
        colors = len(np.unique(mask.reshape(-1, 3), axis=0))
        raise DataError(
            f"{path}: an RGB mask ({colors} colours) where one label id per pixel was expected. "
            "Use the label-id version of the masks, or a source that reads colours.",
            "rgb",
        )
    return mask


def check_ids(ids: np.ndarray, known: np.ndarray, path: Path | None, expected: str) -> None:
    """Raises DataError naming the file, the values and their share if `ids` holds a stranger.

    Args:
        ids: raw label values, integer `[H, W]`.
        known: bool `[256]`, which values are legal.
        path: the file.
        expected: the legal values in words.
    """
    unknown = (~known).astype(np.uint8)
    if ids.dtype == np.uint8 and not cv2.LUT(ids, unknown).any():
        return
    fine = known[np.clip(ids, 0, 255)] & (ids < 256)
    if not fine.all():
        values = np.unique(ids[~fine])
        raise DataError(
            f"{path}: label {', '.join(map(str, values[:8].tolist()))} on {(~fine).mean():.2%} of "
            f"the pixels; expected {expected}. Map these values, or repair the mask.",
            "label",
        )


def same_size(image: np.ndarray, mask: np.ndarray, record: Record) -> None:
    """Raises DataError when image and mask differ in size; it names EXIF if that is the cause."""
    if image.shape[:2] == mask.shape[:2]:
        return
    for path, other in ((record.image, "mask"), (record.mask, "image")):
        turned = orientation(path)
        if turned >= 5 and image.shape[:2] == mask.shape[1::-1]:
            raise DataError(
                f"{path}: displayed turned by a quarter (EXIF orientation {turned}), but its "
                f"{other} {getattr(record, other) or record.name} fits the stored pixels: the "
                f"image is {_size(image)} as displayed, the mask {_size(mask)}. Turn the {other} "
                "likewise, or remove the EXIF orientation without turning the pixels.",
                "size",
            )
    raise DataError(
        f"{record.mask or record.name}: the mask is {_size(mask)} but the image "
        f"{record.image or record.name} is {_size(image)}. Export both at one size.",
        "size",
    )


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


def require_folders(root: Path, folders: Iterable[str], layout: str, how: str) -> None:
    """Raises DataError listing what is missing under `root`, the layout expected, and a remedy.

    Args:
        root: root folder of the data set.
        folders: paths below `root` that must exist.
        layout: one-line description of the expected layout.
        how: how to get the data.
    """
    missing = [name for name in folders if not (root / name).exists()]
    if not missing:
        return
    if root.is_dir():
        entries = sorted(p.name + "/" * p.is_dir() for p in root.iterdir())
        found = ", ".join(entries[:12]) + (", ..." if len(entries) > 12 else "") or "nothing"
    else:
        found = "no such folder"
    raise DataError(
        f"{root}: missing {', '.join(missing)}. Expected layout: {layout}. Found: {found}. "
        f"{how} Then set data.root (beside a ckpt: root)."
    )


def pair(
    images: dict[str, Path], masks: Mapping[str, Path | None]
) -> tuple[list[tuple[str, Path, Path | None]], list[str]]:
    """Pairs images with masks of the same key; a mask of None says that none is expected.

    Returns:
        `(key, image, mask)` in the order of `images`, and one sentence per kind of problem.
    """
    problems = [
        f"{len(paths)} {what}: {', '.join(paths[:5])}{', ...' if len(paths) > 5 else ''}"
        for what, paths in (
            ("image(s) without mask", [str(p) for key, p in images.items() if key not in masks]),
            ("mask(s) without image", [str(p) for key, p in masks.items() if key not in images]),
        )
        if paths
    ]
    return [(key, path, masks[key]) for key, path in images.items() if key in masks], problems


def by_stem(paths: list[Path], suffix: str = "") -> dict[str, Path]:
    """Paths by file name without extension and without `suffix` (e.g. `_L`).

    Raises:
        DataError: two files that differ by the extension alone.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if (key := path.stem.removesuffix(suffix)) in found:
            raise DataError(f"{path}: a second file of the name of {found[key]}. Remove one.")
        found[key] = path
    return found


def all_paired(records: list[Record], problems: list[str]) -> list[Record]:
    """The records, or an UnpairedError if there are problems."""
    if problems:
        raise UnpairedError(problems, records)
    return records


def _bytes(path: Path | None) -> bytes:
    if path is None:
        raise DataError("a record without a file cannot be read from disk")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).", "unreadable") from error
    # OpenCV pads a truncated file with grey and only warns, so the end marks are checked here.
    truncated = (data.startswith(PNG_MAGIC) and b"IEND" not in data[-64:]) or (
        data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data[-1024:]
    )
    if truncated or not data:
        message = f"{path}: truncated after {len(data)} bytes. Copy or download it again."
        raise DataError(message, "unreadable")
    return data


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
