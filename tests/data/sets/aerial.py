"""Data sets from above: LoveDA, ISPRS Potsdam and Vaihingen, iSAID, DeepGlobe."""

from __future__ import annotations

import numpy as np

from tests.data.sets.layouts import IGNORE, Layout, pairs, shifted

_ISPRS = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
_ISPRS_TABLE = {
    0: ("impervious surface", (255, 255, 255)),
    1: ("building", (0, 0, 255)),
    2: ("low vegetation", (0, 255, 255)),
    3: ("tree", (0, 255, 0)),
    4: ("car", (255, 255, 0)),
    5: ("clutter", (255, 0, 0)),
}
_POTSDAM = {
    "train": "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 "
    "6_9 7_10 7_11 7_12 7_7 7_8 7_9",
    "val": "2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13",
}
_VAIHINGEN = {
    "train": "1 11 13 15 17 21 23 26 28 3 30 32 34 37 5 7",
    "val": "10 12 14 16 2 20 22 24 27 29 31 33 35 38 4 6 8",
}
_DEEPGLOBE = (
    (0, 255, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
)


def _tiles(
    image: str, mask: str, tiles: dict[str, str], prefix: str = ""
) -> dict[str, list[tuple[str, str]]]:
    names = {split: sorted(prefix + tile for tile in text.split()) for split, text in tiles.items()}
    names["test"] = names["val"]
    return {split: pairs(image, mask, chosen) for split, chosen in names.items()}


def _labels(ids: np.ndarray) -> np.ndarray:
    """One label per pixel instead of colors."""
    return np.where(ids == IGNORE, 0, ids + 1).astype(np.uint8)


def _loveda() -> dict[str, list[tuple[str, str]]]:
    scenes = {"Train": ["Rural/{}/0", "Urban/{}/1366"], "Val": ["Rural/{}/2522", "Urban/{}/3514"]}
    return {
        split: [
            (f"{folder}/{s.format('images_png')}.png", f"{folder}/{s.format('masks_png')}.png")
            for s in scenes[folder]
        ]
        for split, folder in (("train", "Train"), ("val", "Val"), ("test", "Val"))
    }


AERIAL = {
    "loveda": Layout(
        files=_loveda(),
        names={"train": ["Rural_0", "Urban_1366"], "val": ["Rural_2522", "Urban_3514"]},
        groups={split: ["Rural", "Urban"] for split in ("train", "val", "test")},
        raw=range(1, 8),
        ignored=0,
        classes=7,
        table={
            0: ("background", (255, 255, 255)),
            2: ("road", (255, 255, 0)),
            6: ("agricultural", (255, 195, 128)),
        },
        fault=shifted,
        named="label 255 .*already been shifted by one",
    ),
    "potsdam": Layout(
        files=_tiles(
            "2_Ortho_RGB/top_potsdam_{}_RGB.tif", "5_Labels_all/top_potsdam_{}_label.tif", _POTSDAM
        ),
        raw=_ISPRS,
        ignored=None,
        classes=6,
        table=_ISPRS_TABLE,
        fault=_labels,
        named="RGB was expected",
    ),
    "vaihingen": Layout(
        files=_tiles(
            "top/top_mosaic_09cm_{}.tif", "ground_truth/top_mosaic_09cm_{}.tif", _VAIHINGEN, "area"
        ),
        raw=_ISPRS,
        ignored=(0, 0, 0),
        classes=6,
        table=_ISPRS_TABLE,
        fault=_labels,
        named="RGB was expected",
    ),
    "isaid": Layout(
        files={
            split: pairs(
                f"img_dir/{folder}/{{}}.png",
                f"ann_dir/{folder}/{{}}_instance_color_RGB.png",
                names,
            )
            for split, folder, names in (
                (
                    "train",
                    "train",
                    ["P0000_0_896_0_896", "P0000_0_896_512_1408", "P0002_0_896_0_896"],
                ),
                ("val", "val", ["P0003_0_896_0_896", "P0004_0_896_0_896"]),
                ("test", "val", ["P0003_0_896_0_896", "P0004_0_896_0_896"]),
            )
        },
        groups={
            "train": ["P0000", "P0000", "P0002"],
            "val": ["P0003", "P0004"],
            "test": ["P0003", "P0004"],
        },
        raw=range(16),
        ignored=255,
        classes=16,
        table={
            0: ("background", (0, 0, 0)),
            1: ("ship", (0, 0, 63)),
            8: ("large vehicle", (0, 127, 127)),
            15: ("harbor", (0, 100, 155)),
        },
        fault=lambda ids: np.stack([ids] * 3, axis=-1),
        named="an RGB mask",
    ),
    "deepglobe": Layout(
        files={
            "train": pairs("train/{}_sat.jpg", "train/{}_mask.png", ["100694", "10233"]),
            "val": pairs("train/{}_sat.jpg", "train/{}_mask.png", ["102122", "114577"]),
            "test": pairs("train/{}_sat.jpg", "train/{}_mask.png", ["10452", "114473"]),
        },
        config={
            "lists": {
                "train": ["100694", "10233"],
                "val": ["102122", "114577"],
                "test": ["10452", "114473"],
            }
        },
        raw=_DEEPGLOBE,
        ignored=(0, 0, 0),
        classes=6,
        table={
            0: ("urban land", (0, 255, 255)),
            4: ("water", (0, 0, 255)),
            5: ("barren land", (255, 255, 255)),
        },
        fault=lambda ids: np.full((*ids.shape, 3), 127, np.uint8),
        named="label .127, 127, 127.*seven colors",
    ),
}
