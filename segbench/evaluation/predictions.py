"""A folder of label maps from any program: matching files to images, and reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Record
from segbench.data.files import read_raw_mask
from segbench.data.folders import files_below
from segbench.errors import DataError
from segbench.metrics.cityscapes_protocol import LABEL_IDS, NUM_LABELS, is_cityscapes
from segbench.system.escaping import file_path

SUFFIXES = (".bmp", ".gif", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff")  # lossless


def find_predictions(
    folder: Path, records: Sequence[Record], key: str = "predictions"
) -> tuple[dict[int, Path], list[str]]:
    """Matches the files of a folder and its subfolders to images.

    A file belongs to the image of the same name; its folders may be part of the name
    (`city/frame.png` is of `city/frame` or `city_frame`), and characters that some system forbids
    may be written as `escaping.file_path` does. Otherwise it belongs to the image whose name
    followed by `_` is the start of the file's name (`berlin_000000_000019_leftImg8bit.png`).

    Args:
        folder: contains the label maps.
        records: the images to score.

    Returns:
        The file of each image by position, and a message for each image without a file, each file
        without an image, and each image with two files.

    Raises:
        DataError: the folder does not exist or contains no label map.
    """
    if not folder.is_dir():
        raise DataError(f"{key}={folder}: there is no such folder")
    files = sorted(f for f in files_below(folder) if f.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"{key}={folder}: contains no label map ({', '.join(SUFFIXES)}), not even in subfolders"
        )
    whole = {file_path(record.name): i for i, record in enumerate(records)}
    whole |= {record.name: i for i, record in enumerate(records)}
    tails = Counter(PurePosixPath(record.name).name for record in records)
    ends = {PurePosixPath(r.name).name: i for i, r in enumerate(records)}
    ends = {name: i for name, i in ends.items() if tails[name] == 1}
    found: dict[int, Path] = {}
    problems = []
    for file in files:
        index = _owner(file.relative_to(folder), whole, ends)
        if index is None:
            problems.append(f"{file.relative_to(folder)}: belongs to no image")
        elif index in found:
            problems.append(
                f"{records[index].name}: has two predictions, "
                f"{found[index].relative_to(folder)} and {file.relative_to(folder)}"
            )
        else:
            found[index] = file
    problems += [f"{r.name}: has no prediction" for i, r in enumerate(records) if i not in found]
    return found, problems


def _owner(path: Path, whole: dict[str, int], ends: dict[str, int]) -> int | None:
    """The image that a file belongs to.

    Args:
        path: of the file below the folder.
        whole: position of each image by its name.
        ends: the same by the last part of its name, where it is the only one.
    """
    parts = (*path.parts[:-1], path.stem)
    for first in range(len(parts)):
        for joint in ("/", "_"):
            if (name := joint.join(parts[first:])) in whole:
                return whole[name]
    return _by_start(path.stem, ends)


def _by_start(stem: str, position: dict[str, int]) -> int | None:
    """The image with this name, or with the longest name that this one starts with."""
    while stem not in position:
        if "_" not in stem:
            return None
        stem = stem.rpartition("_")[0]
    return position[stem]


def read_prediction(
    file: Path, classes: ClassSet, format: str = "auto", void_values: Sequence[int] = ()
) -> np.ndarray:
    """Reads one label map.

    Args:
        file: a file with one of `SUFFIXES`.
        classes: the class set of the ids or colors.
        format: `ids`: class ids, also as a palette image; `color`: the colors of the class set;
            `label_ids`: Cityscapes label IDs 0..33; `auto`: `color` if the file has three
            channels, else `ids`.
        void_values: further ids that mean "no class", in addition to `ignore_index`.

    Returns:
        uint8 `[H, W]`, class ids or 255.

    Raises:
        DataError: the file is damaged, or contains an unknown label.
    """
    raw = read_raw_mask(file)
    if format == "auto":
        format = "color" if raw.ndim == 3 else "ids"
    if format == "color":
        if raw.ndim != 3:
            raise DataError(f"{file}: has one channel where format=color expects RGB")
        labels = classes.encode(raw, str(file))
        return np.where(labels == classes.ignore_index, 255, labels).astype(np.uint8)
    if raw.ndim != 2:
        raise DataError(f"{file}: is an RGB image where format={format} expects one channel")
    table = np.full(1 << 16, -1, np.int16)
    if format == "label_ids":
        if not is_cityscapes(classes.names):
            raise DataError("format=label_ids is for the 19 classes of Cityscapes")
        table[:NUM_LABELS] = 255
        table[list(LABEL_IDS)] = np.arange(len(LABEL_IDS))
    else:
        table[: classes.num_classes] = np.arange(classes.num_classes)
    table[[classes.ignore_index, 255, *void_values]] = 255
    labels = table[raw]
    if (labels < 0).any():
        values = np.unique(raw[labels < 0])
        raise DataError(
            f"{file}: value {', '.join(map(str, values[:8]))} on {(labels < 0).mean():.2%} of the "
            "pixels is neither a class nor void; if it means void add it to void_values"
        )
    return labels.astype(np.uint8)


def read_confidence(file: Path, size: tuple[int, ...]) -> np.ndarray:
    """Reads the confidence of the predicted class at every pixel.

    Args:
        file: floating point in 0..1 (.npy, .tif), or 8 or 16 bits that stand for 0..1.
        size: `(H, W)` of the mask.

    Returns:
        float32 `[H, W]`.

    Raises:
        DataError: the file is damaged, of another size, or has values outside 0..1.
    """
    try:
        raw = np.load(file) if file.suffix.lower() == ".npy" else _decode(file)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from None
    if raw.shape != size:
        shown = "x".join(map(str, raw.shape[1::-1])) if raw.ndim == 2 else f"{raw.shape}"
        raise DataError(
            f"{file}: the confidence is {shown} but the mask is {size[1]}x{size[0]}; it needs one "
            "channel of the size of the mask"
        )
    if raw.dtype.kind == "u" and raw.dtype.itemsize <= 2:
        return (raw / np.float32(np.iinfo(raw.dtype).max)).astype(np.float32)
    if raw.dtype.kind != "f":
        raise DataError(
            f"{file}: confidences of {raw.dtype}; expected floats in 0..1 or uint8, uint16"
        )
    if not ((raw >= 0) & (raw <= 1)).all():  # false for NaN
        raise DataError(f"{file}: confidences from {raw.min()} to {raw.max()}, expected 0..1")
    return raw.astype(np.float32)


def _decode(file: Path) -> np.ndarray:
    """The values of an image file as they are stored."""
    raw = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise ValueError("not an image")
    return raw


def void_notes(matrices: np.ndarray) -> list[str]:
    """A message about labeled pixels that are predicted as no class, if there are any.

    Args:
        matrices: int64 `[N, C, C + 1]`; the last column counts predictions of no class.
    """
    share = matrices[:, :, -1].sum() / max(1, matrices.sum())
    if not share:
        return []
    shown = f"{100 * share:.1f} %" if share >= 0.001 else "fewer than 0.1 %"
    hint = (
        " Are these binary label maps of 0 and 255? Write the class ID instead of 255."
        if share >= 0.01 and not matrices[:, :, 1:-1].any()
        else ""
    )
    return [
        (
            f"{shown} of the labeled pixels are predicted as 255 (no class), and each counts as a "
            f"miss.{hint}"
        )
    ]
