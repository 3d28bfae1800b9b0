"""Data sets of driving: BDD100K, KITTI, IDD, ACDC, Dark Zurich, Nighttime Driving, Mapillary."""

from __future__ import annotations

import numpy as np

from tests.data.sets.layouts import IGNORE, Layout, pairs

# Cityscapes label IDs of its 19 classes, in the order of the trainIds.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES = {
    0: ("road", (128, 64, 128)),
    10: ("sky", (70, 130, 180)),
    11: ("person", (220, 20, 60)),
    18: ("bicycle", (119, 11, 32)),
}
# The validation images of KITTI in MSeg's division of its 200 images.
KITTI_VAL = (
    "52 26 76 43 24 3 169 49 149 131 190 30 121 115 175 8 60 128 1 57 22 61 63 7 196 141 86 96 68 "
    "50 142 157 156 139 146 101 20 178 25 134 71 129 144 192 79 133 137 72 140 37"
)


_KITTI = {
    "train": ["000000_10", "000002_10"],
    "val": ["000001_10", "000003_10"],
    "test": ["000001_10", "000003_10"],
}


def _label_ids(ids: np.ndarray) -> np.ndarray:
    """Cityscapes label IDs instead of trainIds."""
    table = np.zeros(256, np.uint8)
    table[: len(_LABEL_IDS)] = _LABEL_IDS
    return table[ids]


def _train_ids(ids: np.ndarray) -> np.ndarray:
    """TrainIds instead of Cityscapes label IDs."""
    return ids


def _idd() -> dict[str, list[tuple[str, str]]]:
    frames = {"train": ["0/005506", "0/005626", "1/005506"], "val": ["119/035471", "119/038937"]}
    frames["test"] = frames["val"]
    return {
        split: pairs(
            f"leftImg8bit/{'val' if split == 'test' else split}/{{}}_leftImg8bit.png",
            f"gtFine/{'val' if split == 'test' else split}/{{}}_gtFine_labellevel3Ids.png",
            names,
        )
        for split, names in frames.items()
    }


def _acdc() -> dict[str, list[tuple[str, str]]]:
    frames = {
        "fog": "GOPR0475/GOPR0475_frame_0000{}",
        "night": "GOPR0351/GOPR0351_frame_0001{}",
        "rain": "GP010402/GP010402_frame_0002{}",
        "snow": "GOPR0122/GOPR0122_frame_0003{}",
    }
    return {
        split: [
            (
                f"rgb_anon/{condition}/{folder}/{name.format(number)}_rgb_anon.png",
                f"gt/{condition}/{folder}/{name.format(number)}_gt_labelTrainIds.png",
            )
            for condition, name in frames.items()
        ]
        for split, folder, number in (
            ("train", "train", 41),
            ("val", "val", 42),
            ("test", "val", 42),
        )
    }


DRIVING = {
    "bdd100k": Layout(
        files={
            split: pairs(
                f"images/10k/{folder}/{{}}.jpg", f"labels/sem_seg/masks/{folder}/{{}}.png", names
            )
            for split, folder, names in (
                ("train", "train", ["0004a4c0-d4dff0ad", "00054602-3bf57337"]),
                ("val", "val", ["7d06fefd-f7be05a6", "7d128593-0ccfea4c"]),
                ("test", "val", ["7d06fefd-f7be05a6", "7d128593-0ccfea4c"]),
            )
        },
        raw=range(19),
        ignored=255,
        classes=19,
        table=_CITYSCAPES,
        fault=_label_ids,
        named="label 19, .*trainIds 0..18 and 255",
    ),
    "kitti": Layout(
        files={
            split: pairs("training/image_2/{}.png", "training/semantic/{}.png", names)
            for split, names in _KITTI.items()
        },
        config={"lists": _KITTI},
        raw=_LABEL_IDS,
        ignored=0,
        classes=19,
        table=_CITYSCAPES,
        fault=_train_ids,
        named="255.*If they contain 255, they were converted to trainIds",
    ),
    "idd": Layout(
        files=_idd(),
        names={
            "train": ["0_005506", "0_005626", "1_005506"],
            "val": ["119_035471", "119_038937"],
        },
        groups={"train": ["0", "0", "1"], "val": ["119", "119"], "test": ["119", "119"]},
        raw=range(26),
        ignored=255,
        classes=26,
        table={
            0: ("road", (128, 64, 128)),
            8: ("autorickshaw", (255, 204, 54)),
            21: ("obs-str-bar-fallback", (169, 187, 214)),
            24: ("vegetation", (107, 142, 35)),
        },
        fault=lambda ids: np.where(ids == IGNORE, 35, ids).astype(np.uint8),
        named="label 35 .*they are of another level",
    ),
    "acdc": Layout(
        files=_acdc(),
        names={
            "val": [
                "fog_GOPR0475_frame_000042",
                "night_GOPR0351_frame_000142",
                "rain_GP010402_frame_000242",
                "snow_GOPR0122_frame_000342",
            ]
        },
        groups={split: ["fog", "night", "rain", "snow"] for split in ("train", "val", "test")},
        raw=range(19),
        ignored=255,
        classes=19,
        table=_CITYSCAPES,
        fault=_label_ids,
        named="label 19, .*they are Cityscapes label IDs",
    ),
    "dark_zurich": Layout(
        files=dict.fromkeys(
            ("val", "test"),
            pairs(
                "rgb_anon/val/night/GOPR0356/{}_rgb_anon.png",
                "gt/val/night/GOPR0356/{}_gt_labelTrainIds.png",
                ["GOPR0356_frame_000321", "GOPR0356_frame_000324"],
            ),
        ),
        groups={"val": ["GOPR0356", "GOPR0356"], "test": ["GOPR0356", "GOPR0356"]},
        absent=("train",),
        raw=range(19),
        ignored=255,
        classes=19,
        table=_CITYSCAPES,
        fault=_label_ids,
        named="label 19, .*they are Cityscapes label IDs",
    ),
    "nightdriving": Layout(
        files={
            "test": pairs(
                "leftImg8bit/test/night/{}_leftImg8bit.png",
                "gtCoarse_daytime_trainvaltest/test/night/{}_gtCoarse_labelTrainIds.png",
                ["01_frame_0555", "01_frame_0744"],
            )
        },
        absent=("train", "val"),
        raw=range(19),
        ignored=255,
        classes=19,
        table=_CITYSCAPES,
        fault=_label_ids,
        named="label 19, .*they are Cityscapes label IDs",
    ),
    "mapillary_v1": Layout(
        files={
            split: pairs(f"{folder}/images/{{}}.jpg", f"{folder}/v1.2/labels/{{}}.png", names)
            for split, folder, names in (
                ("train", "training", ["--NSVcUgfVhFd6uzkqHOOg", "--SWG8TJo7vrbZ_x5YLj6A"]),
                ("val", "validation", ["--BJs76vloEaiH-wppzWNA", "-3-MmXdwhyIQhtb4-8NqHQ"]),
                ("test", "validation", ["--BJs76vloEaiH-wppzWNA", "-3-MmXdwhyIQhtb4-8NqHQ"]),
            )
        },
        raw=range(65),
        ignored=65,
        classes=65,
        table={
            0: ("Bird", (165, 42, 42)),
            13: ("Road", (128, 64, 128)),
            55: ("Car", (0, 0, 142)),
            64: ("Ego Vehicle", (120, 10, 10)),
        },
        palette=True,
        fault=lambda ids: np.where(ids == IGNORE, 123, ids).astype(np.uint8),
        named="label 123 .*from v2.0",
    ),
    "mapillary_v2": Layout(
        files={
            split: pairs(f"{folder}/images/{{}}.jpg", f"{folder}/v2.0/labels/{{}}.png", names)
            for split, folder, names in (
                ("train", "training", ["--NSVcUgfVhFd6uzkqHOOg", "--SWG8TJo7vrbZ_x5YLj6A"]),
                ("val", "validation", ["--BJs76vloEaiH-wppzWNA", "-3-MmXdwhyIQhtb4-8NqHQ"]),
                ("test", "validation", ["--BJs76vloEaiH-wppzWNA", "-3-MmXdwhyIQhtb4-8NqHQ"]),
            )
        },
        raw=range(123),
        ignored=123,
        classes=123,
        table={
            0: ("Bird", None),
            21: ("Road", None),
            45: ("Lane Marking - Crosswalk", None),
            92: ("Traffic Light - General (Upright)", None),
            108: ("Car", None),
            122: ("Static", None),
        },
        palette=True,
        gone="validation/v2.0",
        named="missing validation/v2.0/labels of Mapillary Vistas v2.0",
    ),
}
