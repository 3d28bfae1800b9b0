"""Kaggle's cityscapes-image-pairs: composites of a 256x256 photo and its color labels, as JPEG.

https://www.kaggle.com/datasets/dansbecker/cityscapes-image-pairs. The labels are Cityscapes'
colors, resized with interpolation and compressed: only 16% of the pixels have an exact color, so
each pixel gets the label of the nearest color, or is ignored if that is too far. Scores are
comparable with each other, not with official Cityscapes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np

from segbench.data.classes import pack
from segbench.data.dataset import Arrays, Record, check_split
from segbench.data.files import list_images, read_rgb, require_folders
from segbench.data.sources.cityscapes_labels import CLASSES, LABELS
from segbench.errors import DataError
from segbench.system.machine import expanded

# The files are numbered in Cityscapes' file order: city by city, with these numbers of images.
_CITIES: dict[str, dict[str, int]] = {
    "train": {
        "aachen": 174,
        "bochum": 96,
        "bremen": 316,
        "cologne": 154,
        "darmstadt": 85,
        "dusseldorf": 221,
        "erfurt": 109,
        "hamburg": 248,
        "hanover": 196,
        "jena": 119,
        "krefeld": 99,
        "monchengladbach": 94,
        "strasbourg": 365,
        "stuttgart": 196,
        "tubingen": 144,
        "ulm": 95,
        "weimar": 142,
        "zurich": 122,
    },
    "val": {"frankfurt": 267, "lindau": 59, "munster": 174},
}
_LAYOUT = "{train,val}/N.jpg, 512x256, photo left and color labels right"
_HOW = "Get it from https://www.kaggle.com/datasets/dansbecker/cityscapes-image-pairs."


class CityscapesPairs:
    """The composites, 2975 in train and 500 in val; groups are cities.

    There is no test folder: `test` is the val folder. To select checkpoints on images that are not
    tested, name cities of train in `val_cities`.

    Args:
        root: folder that contains `train` and `val`, or the `cityscapes_data` folder of the archive
            (whose inner copy of itself is not read twice).
        max_distance: a pixel further than this (Euclidean, RGB 0-255) from its nearest label
            color is ignored; usually such pixels are the blurred edges of objects.
        palette: `all` matches against the 29 colors of Cityscapes, including those of ignored
            labels; `train` only against the 19 classes and black, so that pixels of ignored
            labels are assigned to classes.
        val_cities: cities of train that are held out as val.

    Raises:
        ValueError: an option is out of range.
    """

    classes = CLASSES
    comparable = False
    terms = (
        "The weights were trained on Cityscapes, which may be used for non-commercial purposes "
        "only: see its license."
    )

    def __init__(
        self,
        root: str,
        max_distance: float = 30.0,
        palette: Literal["all", "train"] = "all",
        val_cities: list[str] | None = None,
    ) -> None:
        if palette not in ("all", "train"):
            raise ValueError(f"palette is {palette}; expected all or train")
        if max_distance < 0:
            raise ValueError(f"max_distance is {max_distance}; expected 0 or more")
        unknown = sorted(set(val_cities or ()) - _CITIES["train"].keys())
        if unknown:
            raise ValueError(
                f"val_cities: there is no {', '.join(unknown)}; expected some of "
                + ", ".join(_CITIES["train"])
            )
        self.root = expanded(root, "data.root")
        if not (self.root / "train").is_dir() and (self.root / "cityscapes_data").is_dir():
            self.root = self.root / "cityscapes_data"
        self.max_distance = float(max_distance)
        self.palette = palette
        self.val_cities = tuple(val_cities or ())
        held_out = f"-val-{'+'.join(self.val_cities)}" if self.val_cities else ""
        self.protocol = f"cityscapes19-pairs-{palette}{self.max_distance:g}{held_out}"

    def records(self, split: str) -> list[Record]:
        """See `Source`."""
        check_split(split)
        folder = "train" if split == "train" or (split == "val" and self.val_cities) else "val"
        require_folders(self.root, (folder,), _LAYOUT, _HOW)
        numbered = sorted((_number(path), path) for path in list_images(self.root / folder))
        records = [(path, _city(folder, number)) for number, path in numbered]
        if folder == "train":
            wanted = split == "val"
            records = [r for r in records if (r[1] in self.val_cities) == wanted]
        return [
            Record(f"{folder}_{path.stem}", city, path, path, index)
            for index, (path, city) in enumerate(records)
        ]

    def read(self, record: Record) -> Arrays:
        """See `Source`."""
        both = read_rgb(record.image)
        height, width = both.shape[:2]
        if width != 2 * height:
            raise DataError(
                f"{record.image}: {width}x{height}; expected a composite twice as wide as high "
                "(photo left, labels right)."
            )
        table = nearest_train_ids(self.palette, self.max_distance)
        mask = table.take(pack(both[:, height:])).reshape(height, height)
        return np.ascontiguousarray(both[:, :height]), mask

    def fingerprint_key(self) -> str:
        """See `Source`."""
        return f"cityscapes_pairs v1 {self.palette} {self.max_distance}"


@lru_cache(maxsize=2)
def nearest_train_ids(palette: str, max_distance: float) -> np.ndarray:
    """The trainId (255 = ignored) of every color; uint8 `[2^24]`, indexed as by `pack`.

    If labels share a color (car and license plate, pole and polegroup), the evaluated one wins.
    """
    by_color: dict[tuple[int, int, int], int] = {}
    for _, train_id, _, color in LABELS.values():
        if palette == "all" or train_id != 255 or color == (0, 0, 0):
            by_color[color] = min(train_id, by_color.get(color, 255))
    axis = np.arange(256, dtype=np.int32)
    table = np.empty((256, 256, 256), np.uint8)
    for blue in range(256):  # one slab at a time limits the memory
        closest = np.full((256, 256), max_distance**2 + 1e-6)
        ids = np.full((256, 256), 255, np.uint8)
        for color, train_id in by_color.items():
            squares = (blue - color[2]) ** 2 + (axis[:, None] - color[1]) ** 2
            squares = squares + (axis[None, :] - color[0]) ** 2
            nearer = squares < closest
            closest[nearer] = squares[nearer]
            ids[nearer] = train_id
        table[blue] = ids
    return table.ravel()


def _number(path: Path) -> int:
    if not re.fullmatch(r"\d+", path.stem):
        raise DataError(f"{path}: expected a number as file name. {_LAYOUT}.")
    return int(path.stem)


def _city(folder: str, number: int) -> str:
    ends = list(accumulate(_CITIES[folder].values()))
    position = bisect_right(ends, number - 1)
    return list(_CITIES[folder])[position] if position < len(ends) else f"after_{ends[-1]}"
