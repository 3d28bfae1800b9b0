"""Reads image and mask files and reports what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from segbench.data.bands import Bands
from segbench.data.dataset import Record
from segbench.data.decoding import SUFFIXES, decode_image, decode_rgb, image_of, read_bytes
from segbench.data.folders import entries_in
from segbench.data.labels import decode_colors, decode_mask, labels_of
from segbench.data.pixels import orientation
from segbench.data.volumes import is_volume, read_slice
from segbench.errors import DataError, UnpairedError

Place = tuple[int, int]  # position and axis of a slice


def read_rgb(path: Path | None) -> np.ndarray:
    """Decodes an image file by the rules of `data.decoding`.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: missing, damaged, not an image, or an unsupported pixel type.
    """
    return decode_rgb(read_bytes(path), path)


def read_image(path: Path | None, bands: Bands, place: Place | None = None) -> np.ndarray:
    """Decodes the bands of an image that a model sees; see `decoding.decode_image`.

    Args:
        path: the file.
        bands: the bands to decode.
        place: the slice, if the file is a volume.
    """
    if place is not None and path is not None:
        return image_of(read_slice(path, *place), bands, path)
    return decode_image(read_bytes(path), path, bands)


def read_raw_mask(path: Path | None, place: Place | None = None) -> np.ndarray:
    """Decodes a mask file without interpreting it; an EXIF orientation is applied.

    Returns:
        uint8 or uint16 `[H, W]` raw label values (for a palette, indices), or uint8 `[H, W, 3]`
        RGB for a color mask. Integers of other types are converted.

    Raises:
        DataError: missing, damaged, not an image, or values that cannot be labels (fractions, below
            0 or above 65535).
    """
    if place is not None and path is not None:
        return labels_of(read_slice(path, *place), path)
    return decode_mask(read_bytes(path), path)


def read_colors(path: Path | None) -> np.ndarray:
    """Decodes a color mask, or a palette image to its colors; a mask of ids is an error.

    Returns:
        uint8 `[H, W, 3]` RGB.
    """
    return decode_colors(read_bytes(path), path)


def read_ids(path: Path | None, place: Place | None = None) -> np.ndarray:
    """Decodes a mask of label ids; a color mask is an error.

    Returns:
        uint8 or uint16 `[H, W]`.
    """
    mask = read_raw_mask(path, place)
    if mask.ndim != 2:
        colors = len(np.unique(mask.reshape(-1, 3), axis=0))
        raise DataError(
            f"{path}: an RGB mask ({colors} colors) where one label id per pixel was expected. "
            "Use the label-id version of the masks, or mask_type: rgb with colors (data=folder).",
            "rgb",
        )
    return mask


def check_ids(ids: np.ndarray, known: np.ndarray, path: Path | None, expected: str) -> None:
    """Raises DataError with file, values and their share if `ids` contains an unknown label.

    Args:
        ids: raw label values, integer `[H, W]`.
        known: bool `[256]`, true for legal values.
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
            f"the pixels; expected {expected}. Map these values, or fix the mask.",
            "label",
        )


def same_size(image: np.ndarray, mask: np.ndarray, record: Record) -> None:
    """Raises DataError if image and mask differ in size; names EXIF if that is the cause."""
    if image.shape[:2] == mask.shape[:2]:
        return
    for path, other in ((record.image, "mask"), (record.mask, "image")):
        turned = orientation_of(path)
        if turned >= 5 and image.shape[:2] == mask.shape[1::-1]:
            raise DataError(
                f"{path}: EXIF orientation {turned} rotates it by 90 degrees, but its {other} "
                f"{getattr(record, other) or record.name} matches the stored pixels: the image is "
                f"{_size(image)} as displayed, the mask {_size(mask)}. Rotate the {other} too, or "
                "remove the EXIF orientation without rotating the pixels.",
                "size",
            )
    raise DataError(
        f"{record.mask or record.name}: the mask is {_size(mask)} but the image "
        f"{record.image or record.name} is {_size(image)}. Export both at one size.",
        "size",
    )


def orientation_of(path: Path | None) -> int:
    """The EXIF orientation of an image file, 1 to 8; 1 (upright) if it has none."""
    try:
        if is_volume(path):  # has no EXIF
            return 1
        return orientation(path.read_bytes()) if path is not None else 1
    except OSError:
        return 1  # the error is reported when the file is decoded


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, sorted by name, without hidden files (leading dot)."""
    images = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return sorted(p for p in images if not p.name.startswith(".") and p.is_file())


def require_folders(root: Path, folders: Iterable[str], layout: str, how: str) -> None:
    """Raises DataError with what is missing below `root`, the expected layout, and how to fix it.

    Args:
        root: root folder of the data set.
        folders: paths below `root` that must exist.
        layout: one-line description of the expected layout.
        how: how to get the data.
    """
    missing = [name for name in folders if not (root / name).exists()]
    if not missing:
        return
    found = entries_in(root) if root.is_dir() else "no such folder"
    raise DataError(
        f"{root}: missing {', '.join(missing)}. Expected layout: {layout}. Found: {found}. {how} "
        "Then set data.root (with ckpt: root)."
    )


NO_MASK, NO_IMAGE = "image(s) without mask", "mask(s) without image"


def pair(
    images: dict[str, Path], masks: Mapping[str, Path | None]
) -> tuple[list[tuple[str, Path, Path | None]], list[str]]:
    """Pairs images with masks of the same key; a mask of None means that none is expected.

    Returns:
        `(key, image, mask)` in the order of `images`, and one sentence per kind of problem.
    """
    lonely = [key for key in images if key not in masks]
    strays = [key for key in masks if key not in images]
    problems = [
        f"{len(paths)} {what}: {', '.join(paths[:5])}{', ...' if len(paths) > 5 else ''}"
        for what, paths in (
            (NO_MASK, [str(images[key]) for key in lonely]),
            (NO_IMAGE, [str(masks[key]) for key in strays]),
        )
        if paths
    ]
    if problems and (hint := _naming(lonely, strays)):
        problems[-1] += f" ({hint})"
    return [(key, path, masks[key]) for key, path in images.items() if key in masks], problems


def _naming(images: list[str], masks: list[str], most: int = 100) -> str:
    """The rule that names masks after images, if one explains nearly all of them; else empty."""
    rules: Counter[str] = Counter()
    for image in images[:most]:
        for mask in masks:
            for shorter, longer, key in ((image, mask, "masks"), (mask, image, "images")):
                before, found, after = longer.partition(shorter)
                if found and (before or after):
                    name = f"{before}{{name}}{after}"
                    rules[f"all would match if data.{key} ended in {name}, as in {name}.png"] += 1
    rule, count = next(iter(rules.most_common(1)), ("", 0))
    return rule if count >= 0.9 * min(most, len(images)) and count > 1 else ""


def by_stem(paths: list[Path], suffix: str = "") -> dict[str, Path]:
    """Paths by file name without extension and without `suffix` (e.g. `_L`).

    Raises:
        DataError: two files differ only in their extension.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if (key := path.stem.removesuffix(suffix)) in found:
            raise DataError(f"{path}: has the same name as {found[key]}. Remove one.")
        found[key] = path
    return found


def all_paired(records: list[Record], problems: list[str]) -> list[Record]:
    """Returns the records, or raises UnpairedError if there are problems."""
    if problems:
        raise UnpairedError(problems, records)
    return records


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
