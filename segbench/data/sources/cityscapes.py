"""Cityscapes: 2975 / 500 / 1525 finely labeled street scenes of 2048x1024, 19 classes.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (CVPR 2016);
label table in `cityscapes_labels`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segbench.data.dataset import Arrays, Record, check_split
from segbench.data.files import all_paired, check_ids, pair, read_ids, read_rgb, require_folders
from segbench.data.sources.cityscapes_labels import CATEGORIES, CLASSES, LABELS
from segbench.errors import DataError
from segbench.system.machine import expanded

_LAYOUT = (
    "leftImg8bit/{train,val,test}/CITY/CITY_SEQ_FRAME_leftImg8bit.png and "
    "gtFine/{train,val,test}/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png"
)
_HOW = "Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com."


class Cityscapes:
    """Cityscapes as distributed; groups are cities.

    The labels of its test set are not published, so `test` is the val folder, as in papers. To
    select checkpoints on images that are not tested, name cities of train in `val_cities`.

    Args:
        root: folder that contains `leftImg8bit` and `gtFine` (and `gtCoarse`).
        train_labels: `fine`; `coarse` trains on the coarse labels of train and train_extra;
            `fine+coarse` on the fine ones of train and the coarse ones of train_extra. Val and
            test are always fine.
        labels: `trainIds` for the 19 classes of the benchmark, `categories` for its 7 categories.
        val_cities: cities of train that are held out as val.
        test: the folder of the test images; `test` has no labels, so there are no scores, only
            predictions for the benchmark's server (`segbench.evaluate save=cityscapes`).

    Raises:
        ValueError: unknown option.
    """

    comparable = True
    terms = (
        "The weights were trained on Cityscapes, which may be used for non-commercial purposes "
        "only: see its license."
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
        self.root = expanded(root, "data.root")
        self.train_labels = train_labels
        self.labels = labels
        self.val_cities = tuple(val_cities or ())
        self.test = test
        self.classes = CLASSES if labels == "trainIds" else CATEGORIES
        self.protocol = "cityscapes19" if labels == "trainIds" else "cityscapes7-categories"
        self._lut = np.full(256, 255, np.uint8)
        for label_id, (_, train_id, category, _) in LABELS.items():
            if train_id != 255:
                by_category = CATEGORIES.names.index(category)
                self._lut[label_id] = train_id if labels == "trainIds" else by_category

    def records(self, split: str) -> list[Record]:
        """See `Source`. The record of a test image without labels has no mask."""
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
        """Folders of the images and of the labels of a split."""
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
    return {p.name.removesuffix(suffix): p for p in sorted(folder.glob(f"*/[!.]*{suffix}"))}


def instance_file(mask: Path | None) -> Path | None:
    """The `*_instanceIds.png` next to a mask file, if there is one."""
    if mask is None or "_gtFine_" not in mask.name:
        return None
    file = mask.with_name(mask.name.partition("_gtFine_")[0] + "_gtFine_instanceIds.png")
    return file if file.is_file() else None


_KNOWN_IDS = np.isin(np.arange(256), list(LABELS))
_KNOWN_TRAIN_IDS = np.isin(np.arange(256), [*range(CLASSES.num_classes), 255])
