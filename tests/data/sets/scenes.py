"""Data sets of scenes: ADE20K, PASCAL VOC and Context, COCO-Stuff."""

from __future__ import annotations

import numpy as np

from tests.data.sets.layouts import IGNORE, Layout, pairs, shifted

_VOC = {
    "train": ["2007_000032", "2007_000039"],
    "sbd": ["2008_000002", "2008_000003", "2007_000032"],
    "val": ["2007_000033", "2007_000042"],
}
_VOC_TABLE = {
    0: ("background", (0, 0, 0)),
    1: ("aeroplane", (128, 0, 0)),
    15: ("person", (192, 128, 128)),
    20: ("tvmonitor", (0, 64, 128)),
}
# Labels of COCO, 1..182, that have no segmentation.
_NEVER = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
_COCO = [label for label in range(1, 183) if label not in _NEVER]
_COCO_TABLE = {
    0: ("person", None),
    11: ("stop sign", None),
    79: ("toothbrush", None),
    80: ("banner", None),
    170: ("wood", None),
}


def _listed(name: str) -> str:
    return "".join(f"{entry}\n" for entry in _VOC[name])


SCENES = {
    "ade20k": Layout(
        files={
            split: pairs(
                f"images/{folder}/ADE_{name}_{{}}.jpg",
                f"annotations/{folder}/ADE_{name}_{{}}.png",
                ["00000001", "00000002", "00000003"],
            )
            for split, folder, name in (
                ("train", "training", "train"),
                ("val", "validation", "val"),
                ("test", "validation", "val"),
            )
        },
        raw=range(1, 151),
        ignored=0,
        classes=150,
        table={
            0: ("wall", (120, 120, 120)),
            6: ("road", (140, 140, 140)),
            12: ("person", (150, 5, 61)),
            149: ("flag", (92, 0, 255)),
        },
        fault=shifted,
        named="label 255 .*already been shifted by one",
    ),
    "voc2012": Layout(
        files={
            split: pairs("JPEGImages/{}.jpg", "SegmentationClass/{}.png", _VOC[names])
            for split, names in (("train", "train"), ("val", "val"), ("test", "val"))
        },
        lists={
            "ImageSets/Segmentation/train.txt": _listed("train"),
            "ImageSets/Segmentation/val.txt": _listed("val"),
        },
        raw=range(21),
        ignored=255,
        classes=21,
        table=_VOC_TABLE,
        palette=True,
        fault=lambda ids: np.stack([ids] * 3, axis=-1),
        named="RGB mask",
    ),
    "voc2012_aug": Layout(
        files={
            "train": pairs("JPEGImages/{}.jpg", "SegmentationClassAug/{}.png", sorted(_VOC["sbd"])),
            "val": pairs("JPEGImages/{}.jpg", "SegmentationClass/{}.png", _VOC["val"]),
            "test": pairs("JPEGImages/{}.jpg", "SegmentationClass/{}.png", _VOC["val"]),
        },
        lists={
            "ImageSets/Segmentation/trainaug.txt": _listed("sbd"),
            "ImageSets/Segmentation/val.txt": _listed("val"),
        },
        raw=range(21),
        ignored=255,
        classes=21,
        table=_VOC_TABLE,
        fault=lambda ids: np.where(ids == IGNORE, 21, ids).astype(np.uint8),
        named="label 21 .*0 .background. to 20, and 255",
    ),
    "pascal_context59": Layout(
        files={
            split: pairs("JPEGImages/{}.jpg", "SegmentationClassContext/{}.png", names)
            for split, names in (
                ("train", ["2008_000008", "2008_000015"]),
                ("val", ["2008_000002", "2008_000003"]),
                ("test", ["2008_000002", "2008_000003"]),
            )
        },
        lists={
            "ImageSets/SegmentationContext/train.txt": "2008_000008\n2008_000015\n",
            "ImageSets/SegmentationContext/val.txt": "2008_000002\n2008_000003\n",
        },
        raw=range(1, 60),
        ignored=0,
        classes=59,
        table={
            0: ("aeroplane", (180, 120, 120)),
            36: ("person", (102, 8, 255)),
            58: ("wood", (31, 0, 255)),
        },
        fault=shifted,
        named="label 255 .*already been shifted by one",
    ),
    "coco_stuff164k": Layout(
        files={
            split: pairs(f"images/{folder}/{{}}.jpg", f"annotations/{folder}/{{}}.png", names)
            for split, folder, names in (
                ("train", "train2017", ["000000000009", "000000000025"]),
                ("val", "val2017", ["000000000139", "000000000285"]),
                ("test", "val2017", ["000000000139", "000000000285"]),
            )
        },
        raw=[label - 1 for label in _COCO],
        ignored=255,
        classes=171,
        table=_COCO_TABLE,
        fault=lambda ids: np.array([*_COCO, *[0] * 85], np.uint8)[ids],
        named="182.*labels 0..181",
    ),
    "coco_stuff10k": Layout(
        files={
            split: pairs("images/COCO_train2014_{}.jpg", "annotations/COCO_train2014_{}.png", names)
            for split, names in (
                ("train", ["000000000077", "000000000086"]),
                ("val", ["000000000349", "000000000581"]),
                ("test", ["000000000349", "000000000581"]),
            )
        },
        lists={
            "imageLists/train.txt": "COCO_train2014_000000000077\nCOCO_train2014_000000000086\n",
            "imageLists/test.txt": "COCO_train2014_000000000349\nCOCO_train2014_000000000581\n",
        },
        raw=_COCO,
        ignored=0,
        classes=171,
        table=_COCO_TABLE,
        fault=shifted,
        named="255.*already been shifted by one",
    ),
}
