"""Medical data sets: polyps, skin lesions, vessels, disc and cup of the eye, abdominal organs."""

from __future__ import annotations

import numpy as np

from tests.data.sets.layouts import Layout, pairs

Files = dict[str, list[tuple[str, str]]]

_STARE = (
    "0001 0002 0003 0004 0005 0044 0077 0081 0082 0139",
    "0162 0163 0235 0236 0239 0240 0255 0291 0319 0324",
)
_VESSELS: dict[int, tuple[str, None]] = {0: ("background", None), 1: ("vessel", None)}


def _val_is_test(image: str, mask: str, train: list[str], val: list[str]) -> Files:
    files = {"train": pairs(image, mask, train), "val": pairs(image, mask, val)}
    return {**files, "test": files["val"]}


def _chase() -> Files:
    names = [f"Image_{number:02d}{eye}" for number in range(1, 15) for eye in "LR"]
    return _val_is_test("{}.jpg", "{}_1stHO.png", names[:8], names[8:])


def _hrf() -> Files:
    names = [f"{number:02d}_{kind}" for number in range(1, 16) for kind in ("dr", "g", "h")]
    files = _val_is_test("images/{}.jpg", "manual1/{}.tif", names[:15], names[15:])
    return {
        split: [(image.replace("dr.jpg", "dr.JPG"), mask) for image, mask in chosen]
        for split, chosen in files.items()
    }


def _drive() -> Files:
    files = {
        split: [
            (f"{folder}/images/{n:02d}_{folder}.tif", f"{folder}/1st_manual/{n:02d}_manual1.gif")
            for n in numbers
        ]
        for split, folder, numbers in (("train", "training", (21, 22)), ("val", "test", (1, 2)))
    }
    return {**files, "test": files["val"]}


def _cvc() -> Files:
    image, mask = "PNG/Original/{}.png", "PNG/Ground Truth/{}.png"
    chosen = {
        "train": ["1", "2", "25", "104", "51", "68", "79"],
        "val": ["600", "612"],
        "test": ["26"],
    }
    return {split: pairs(image, mask, names) for split, names in chosen.items()}


def _busi() -> Files:
    image, mask = "{0}/{0} ({1}).png", "{0}/{0} ({1})_mask.png"
    chosen = {
        "train": [("benign", 1), ("benign", 100), ("malignant", 1), ("malignant", 2)],
        "val": [("normal", 1)],
        "test": [("benign", 2)],
    }
    return {
        split: [(image.format(*name), mask.format(*name)) for name in names]
        for split, names in chosen.items()
    }


# First frames of the sequences of the fake frames of CVC-ClinicDB.
_FIRST = {"2": 1, "25": 1, "600": 592, "612": 592}

MEDICAL = {
    "kvasir_seg": Layout(
        files=_val_is_test(
            "images/{}.jpg",
            "masks/{}.jpg",
            ["cju0qkwl35piu0993l0dewei2", "cju0qoxqj9q6s0835b43399p4"],
            ["cju0s690hkp960855tjuaqvv0", "cju0sr5ghl0nd08789uzf1raf"],
        ),
        lists={
            "train.txt": "cju0qkwl35piu0993l0dewei2\ncju0qoxqj9q6s0835b43399p4\n",
            "val.txt": "cju0s690hkp960855tjuaqvv0\ncju0sr5ghl0nd08789uzf1raf\n",
        },
        raw=[(0, 0, 0), (255, 255, 255)],
        ignored=None,
        classes=2,
        table={0: ("background", None), 1: ("polyp", None)},
        gone="train.txt",
        named="missing train.txt of Kvasir-SEG",
    ),
    "isic2018": Layout(
        files={
            split: pairs(
                f"ISIC2018_Task1-2_{folder}_Input/{{}}.jpg",
                f"ISIC2018_Task1_{folder}_GroundTruth/{{}}_segmentation.png",
                names,
            )
            for split, folder, names in (
                ("train", "Training", ["ISIC_0000000", "ISIC_0000001"]),
                ("val", "Validation", ["ISIC_0012255", "ISIC_0012346"]),
                ("test", "Test", ["ISIC_0012169", "ISIC_0012236"]),
            )
        },
        raw=[0, 255],
        ignored=None,
        classes=2,
        table={0: ("background", None), 1: ("lesion", None)},
        fault=lambda ids: ids * 100,
        named="label 100 .*masks of task 1 contain 0 and 255",
    ),
    "drive": Layout(
        files=_drive(),
        raw=[0, 255],
        ignored=None,
        classes=2,
        table=_VESSELS,
        gone="test/1st_manual",
        named="missing test/1st_manual of DRIVE",
    ),
    "stare": Layout(
        files=_val_is_test(
            "stare-images/im{}.ppm", "labels-ah/im{}.ah.ppm", *(text.split() for text in _STARE)
        ),
        raw=[0, 255],
        ignored=None,
        classes=2,
        table=_VESSELS,
        gone="stare-images/im0324.ppm",
        named="1 of the 10 images named in data.lists are missing: im0324",
    ),
    "chase_db1": Layout(
        files=_chase(),
        groups={split: [image[:8] for image, _ in chosen] for split, chosen in _chase().items()},
        raw=[0, 255],
        ignored=None,
        classes=2,
        table=_VESSELS,
        gone="Image_04R_1stHO.png",
        named="1 image.s. without mask: .*Image_04R.jpg",
    ),
    "hrf": Layout(
        files=_hrf(),
        raw=[0, 255],
        ignored=None,
        classes=2,
        table=_VESSELS,
        gone="manual1",
        named="missing manual1 of HRF.*Only images is there",
    ),
    "refuge": Layout(
        files={
            split: pairs(f"images/{folder}/{{}}.png", f"annotations/{folder}/{{}}.png", names)
            for split, folder, names in (
                ("train", "training", ["g0001", "n0001"]),
                ("val", "validation", ["V0001", "V0002"]),
                ("test", "test", ["T0001", "T0002"]),
            )
        },
        raw=range(3),
        ignored=None,
        classes=3,
        table={0: ("background", None), 1: ("optic cup", None), 2: ("optic disc", None)},
        fault=lambda ids: np.array([255, 0, 128], np.uint8)[ids],
        named="label 128.*original BMP masks",
    ),
    "synapse": Layout(
        files={
            split: pairs(f"img_dir/{folder}/{{}}.jpg", f"ann_dir/{folder}/{{}}.png", names)
            for split, folder, names in (
                ("train", "train", ["case0005_slice000", "case0005_slice001", "case0006_slice000"]),
                ("val", "val", ["case0001_slice000", "case0008_slice000"]),
                ("test", "val", ["case0001_slice000", "case0008_slice000"]),
            )
        },
        groups={
            "train": ["case0005", "case0005", "case0006"],
            "val": ["case0001", "case0008"],
            "test": ["case0001", "case0008"],
        },
        raw=range(9),
        ignored=None,
        classes=9,
        table={
            0: ("background", (0, 0, 0)),
            1: ("aorta", (0, 0, 255)),
            5: ("liver", (255, 0, 255)),
            8: ("stomach", (240, 240, 240)),
        },
        fault=lambda ids: np.where(ids == 8, 13, ids).astype(np.uint8),
        named="label 13 .*all 13 organs",
    ),
    "cvc_clinicdb": Layout(
        files=_cvc(),
        groups={
            split: [
                f"frames from {_FIRST.get(number := image[13:-4], number)}" for image, _ in files
            ]
            for split, files in _cvc().items()
        },
        raw=[0, 255],
        ignored=None,
        classes=2,
        table={0: ("background", None), 1: ("polyp", None)},
        gone="PNG/Ground Truth",
        named="missing PNG/Ground Truth of CVC-ClinicDB.*Only PNG/Original",
    ),
    "nuclei": Layout(
        files={
            split: pairs(f"{split}/{{}}.jpg", f"{split}annot/{{}}.png", names)
            for split, names in (
                ("train", ["00ae65", "0b2e70"]),
                ("val", ["0a7d30"]),
                ("test", ["1c8b79"]),
            )
        },
        raw=[0, 1],
        ignored=None,
        classes=2,
        table={0: ("background", None), 1: ("nucleus", None)},
        fault=lambda ids: ids * 100,
        named="label 100 .*0 background, 1 nucleus, 2 boundary",
    ),
    "busi": Layout(
        files=_busi(),
        raw=[0, 255],
        ignored=None,
        classes=2,
        table={0: ("background", None), 1: ("lesion", None)},
        fault=lambda ids: ids * 100,
        named="label 100 .*masks contain 0 and 255",
    ),
}
