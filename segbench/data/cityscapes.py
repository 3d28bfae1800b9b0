"""Cityscapes: 2975 / 500 / 1525 finely labelled street scenes of 2048x1024, 19 classes.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (CVPR 2016);
label table: https://github.com/mcordts/cityscapesScripts, helpers/labels.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segbench.data.classes import RGB, ClassSet, DataError
from segbench.data.dataset import Arrays, Record, check_split
from segbench.data.files import all_paired, check_ids, pair, read_ids, read_rgb, require_folders

# label ID: name, trainId (255 = ignored), category, colour
LABELS: dict[int, tuple[str, int, str, RGB]] = {
    0: ("unlabeled", 255, "void", (0, 0, 0)),
    1: ("ego vehicle", 255, "void", (0, 0, 0)),
    2: ("rectification border", 255, "void", (0, 0, 0)),
    3: ("out of roi", 255, "void", (0, 0, 0)),
    4: ("static", 255, "void", (0, 0, 0)),
    5: ("dynamic", 255, "void", (111, 74, 0)),
    6: ("ground", 255, "void", (81, 0, 81)),
    7: ("road", 0, "flat", (128, 64, 128)),
    8: ("sidewalk", 1, "flat", (244, 35, 232)),
    9: ("parking", 255, "flat", (250, 170, 160)),
    10: ("rail track", 255, "flat", (230, 150, 140)),
    11: ("building", 2, "construction", (70, 70, 70)),
    12: ("wall", 3, "construction", (102, 102, 156)),
    13: ("fence", 4, "construction", (190, 153, 153)),
    14: ("guard rail", 255, "construction", (180, 165, 180)),
    15: ("bridge", 255, "construction", (150, 100, 100)),
    16: ("tunnel", 255, "construction", (150, 120, 90)),
    17: ("pole", 5, "object", (153, 153, 153)),
    18: ("polegroup", 255, "object", (153, 153, 153)),
    19: ("traffic light", 6, "object", (250, 170, 30)),
    20: ("traffic sign", 7, "object", (220, 220, 0)),
    21: ("vegetation", 8, "nature", (107, 142, 35)),
    22: ("terrain", 9, "nature", (152, 251, 152)),
    23: ("sky", 10, "sky", (70, 130, 180)),
    24: ("person", 11, "human", (220, 20, 60)),
    25: ("rider", 12, "human", (255, 0, 0)),
    26: ("car", 13, "vehicle", (0, 0, 142)),
    27: ("truck", 14, "vehicle", (0, 0, 70)),
    28: ("bus", 15, "vehicle", (0, 60, 100)),
    29: ("caravan", 255, "vehicle", (0, 0, 90)),
    30: ("trailer", 255, "vehicle", (0, 0, 110)),
    31: ("train", 16, "vehicle", (0, 80, 100)),
    32: ("motorcycle", 17, "vehicle", (0, 0, 230)),
    33: ("bicycle", 18, "vehicle", (119, 11, 32)),
}
_TRAINED = sorted((entry for entry in LABELS.values() if entry[1] != 255), key=lambda e: e[1])
CLASSES = ClassSet(tuple(e[0] for e in _TRAINED), tuple(e[3] for e in _TRAINED))
# A category is painted in the colour of its first evaluated class.
_CATEGORY_COLORS = {category: color for _, _, category, color in reversed(_TRAINED)}
_CATEGORIES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
CATEGORIES = ClassSet(_CATEGORIES, tuple(_CATEGORY_COLORS[name] for name in _CATEGORIES))

_LAYOUT = (
    "leftImg8bit/{train,val,test}/CITY/CITY_SEQ_FRAME_leftImg8bit.png and "
    "gtFine/{train,val,test}/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png"
)
_HOW = "Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com."


class Cityscapes:
    """Cityscapes as distributed; groups are cities.

    The labels of its test set are not published, so `test` is the val folder, as in papers. To
    select checkpoints on other images than those of the test, name cities of train in `val_cities`.

    Args:
        root: folder that holds `leftImg8bit` and `gtFine` (and `gtCoarse`).
        train_labels: `fine`; `coarse` trains on the coarse labels of train and train_extra;
            `fine+coarse` on the fine ones of train and the coarse ones of train_extra. Val and
            test are always fine.
        labels: `trainIds` for the 19 classes of the benchmark, `categories` for its 7 categories.
        val_cities: cities of train that are held out as val.
        test: the folder of the images to test; `test` has no labels, so it gives no scores, but
            predictions for the benchmark's server (`segbench.evaluate save=cityscapes`).

    Raises:
        ValueError: an option that does not exist.
    """

    comparable = True
    terms = (
        "The weights were learned from Cityscapes, which may be used for non-commercial purposes "
        "only: see its licence."
    )

    def __init__(
        self,
        root: str,
        train_labels: Literal["fine", "coarse", "fine+coarse"] = "fine",
        labels: Literal["trainIds", "categories"] = "trainIds",
        val_cities: list[str] | None = None,
        test: Literal["val", "test"] = "val",
    ) -> None:
        if train_labels not in ("fine", "coarse", "fine+coarse"):
            raise ValueError(f"train_labels is {train_labels}; expected fine, coarse, fine+coarse")
        if labels not in ("trainIds", "categories"):
            raise ValueError(f"labels is {labels}; expected trainIds or categories")
        if test not in ("val", "test"):
            raise ValueError(f"test is {test}; expected val or test")
        self.root = Path(root).expanduser()
        self.train_labels = train_labels
        self.labels = labels
        self.val_cities = tuple(val_cities or ())
        self.test = test
        self.classes = CLASSES if labels == "trainIds" else CATEGORIES
        self.protocol = "cityscapes19" if labels == "trainIds" else "cityscapes7-categories"
        self._lut = np.full(256, 255, np.uint8)
        for label_id, (_, train_id, category, _) in LABELS.items():
            if train_id != 255:
                by_category = _CATEGORIES.index(category)
                self._lut[label_id] = train_id if labels == "trainIds" else by_category

    def records(self, split: str) -> list[Record]:
        """See `Source`. A test image without labels gets a record without mask."""
        check_split(split)
        parts = self._folders(split)
        records: list[Record] = []
        problems: list[str] = []
        for folder, kind in parts:
            images, masks = self._files(folder, kind)
            if folder == "test":
                masks = {name: masks.get(name) for name in images}
            pairs, unpaired = pair(images, masks)
            problems += unpaired
            for name, image, mask in pairs:
                city = image.parent.name
                if folder != "train" or (city in self.val_cities) == (split == "val"):
                    records.append(Record(name, city, image, mask, len(records)))
        return all_paired(records, problems)

    def read(self, record: Record) -> Arrays:
        """See `Source`. Without a mask every pixel is ignored."""
        image = read_rgb(record.image)
        if record.mask is None:
            return image, np.full(image.shape[:2], 255, np.uint8)
        ids = read_ids(record.mask)
        if record.mask.stem.endswith("_labelTrainIds"):
            check_ids(ids, _KNOWN_TRAIN_IDS, record.mask, "0..18 and 255 = ignore")
            return image, ids.astype(np.uint8, copy=False)
        check_ids(ids, _KNOWN_IDS, record.mask, "label IDs 0..33")
        return image, cv2.LUT(ids.astype(np.uint8, copy=False), self._lut)

    def fingerprint_key(self) -> str:
        """See `Source`."""
        return f"cityscapes v1 {self.labels}"

    def _folders(self, split: str) -> list[tuple[str, str]]:
        """Where the images and the labels of a split lie."""
        if split == "test":
            return [(self.test, "gtFine")]
        if split == "val" and self.val_cities:
            cities = {path.name for path in (self.root / "leftImg8bit/train").glob("*/")}
            if unknown := sorted(set(self.val_cities) - cities):
                raise DataError(
                    f"val_cities: there is no {', '.join(unknown)} in "
                    f"{self.root / 'leftImg8bit/train'}; there are {', '.join(sorted(cities))}."
                )
            return [("train", "gtFine")]
        if split == "train" and self.train_labels != "fine":
            labels = "gtCoarse" if self.train_labels == "coarse" else "gtFine"
            return [("train", labels), ("train_extra", "gtCoarse")]
        return [(split, "gtFine")]

    def _files(self, folder: str, kind: str) -> tuple[dict[str, Path], dict[str, Path | None]]:
        """Images and masks of a folder, by `CITY_SEQ_FRAME`."""
        needed = [f"leftImg8bit/{folder}"] + [f"{kind}/{folder}"] * (folder != "test")
        require_folders(self.root, needed, _LAYOUT, _HOW)
        images = _by_frame(self.root / "leftImg8bit" / folder, "_leftImg8bit.png")
        masks = _by_frame(self.root / kind / folder, f"_{kind}_labelIds.png")
        if self.labels == "trainIds":
            masks |= _by_frame(self.root / kind / folder, f"_{kind}_labelTrainIds.png")
        return images, dict(masks)


def _by_frame(folder: Path, suffix: str) -> dict[str, Path]:
    return {p.name.removesuffix(suffix): p for p in sorted(folder.glob(f"*/*{suffix}"))}


_KNOWN_IDS = np.isin(np.arange(256), list(LABELS))
_KNOWN_TRAIN_IDS = np.isin(np.arange(256), [*range(CLASSES.num_classes), 255])
