"""Every source reads its exact layout: splits, groups, labels, protocols, missing folders."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from segbench.data.classes import pack
from segbench.data.dataset import SPLITS, Source
from segbench.data.sources import camvid, cityscapes
from segbench.data.sources.camvid import CamVid, segnet_split
from segbench.data.sources.camvid11 import CamVid11
from segbench.data.sources.cityscapes import Cityscapes
from segbench.data.sources.cityscapes_pairs import CityscapesPairs, nearest_train_ids
from segbench.data.sources.streets import CLASSES as STREET_CLASSES
from segbench.errors import DataError, UnpairedError
from tests.data.writers import (
    CITYSCAPES_NAME,
    COUNTS,
    camvid_ids,
    cityscapes_ids,
    save,
    street,
    write_camvid,
    write_camvid11,
    write_cityscapes,
    write_pairs,
)


def counts(source: Source) -> dict[str, int]:
    return {split: len(source.records(split)) for split in SPLITS}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_camvid11_reads_the_segnet_layout(tmp_path: Path, suffix: str) -> None:
    source = CamVid11(str(write_camvid11(tmp_path, suffix)))
    assert counts(source) == COUNTS
    record = source.records("train")[1]
    assert (record.name, record.group, record.index) == ("0001TP_000001", "0001TP", 1)
    image, mask = source.read(record)
    np.testing.assert_array_equal(mask, street("train", 1)[1])  # void 11 has become 255
    assert np.abs(image.astype(int) - street("train", 1)[0]).mean() < (1 if suffix == ".png" else 9)


def test_camvid11_refuses_a_label_above_void(tmp_path: Path) -> None:
    source = CamVid11(str(write_camvid11(tmp_path)))
    mask = np.zeros((48, 64), np.uint8)
    mask[:24] = 12
    save(tmp_path / "valannot" / "0016E5_000000.png", mask)
    with pytest.raises(DataError, match=r"0016E5_000000\.png: label 12 on 50\.00%.*11 = void"):
        source.read(source.records("val")[0])


@pytest.mark.parametrize("kaggle", [True, False])
def test_camvid_reads_both_layouts(tmp_path: Path, kaggle: bool) -> None:
    source = CamVid(str(write_camvid(tmp_path, kaggle)))
    assert counts(source) == COUNTS
    assert source.comparable is not kaggle  # Kaggle's split is another one
    assert source.protocol == "camvid32-raw" + "-kaggle-split" * kaggle
    _, mask = source.read(source.records("val")[1])
    raw = camvid_ids(street("val", 1)[1])
    names = np.array([*camvid.CLASSES_31.names, *["Void"] * 225])
    np.testing.assert_array_equal(names[mask], np.array(camvid.CLASSES_32.names)[raw])


def test_camvid_grouping_merges_and_exact_drops(tmp_path: Path) -> None:
    root = str(write_camvid(tmp_path, kaggle=True))
    merged, exact = CamVid(root, grouping=11), CamVid(root, protocol="exact")
    assert merged.protocol != exact.protocol
    expected = street("train", 0)[1].copy()
    expected[0] = STREET_CLASSES.names.index("Road")  # lane markings
    np.testing.assert_array_equal(merged.read(merged.records("train")[0])[1], expected)
    expected[0] = 255
    np.testing.assert_array_equal(exact.read(exact.records("train")[0])[1], expected)


def test_camvid_can_count_void_as_a_class(tmp_path: Path) -> None:
    source = CamVid(str(write_camvid(tmp_path, kaggle=True)), void_class=True)
    assert source.classes.num_classes == 32
    _, mask = source.read(source.records("train")[0])
    np.testing.assert_array_equal(mask, camvid_ids(street("train", 0)[1]))


def test_camvid_accepts_both_spellings_and_refuses_other_class_lists(tmp_path: Path) -> None:
    file = write_camvid(tmp_path, kaggle=True) / "class_dict.csv"
    text = file.read_text()
    file.write_text(text.replace("MotorcycleScooter", "MotorcycycleScooter"))
    CamVid(str(tmp_path)).records("train")
    file.write_text(text + "Bird,255,255,255\n")
    with pytest.raises(DataError, match=r"class_dict\.csv, line 34: 'Bird.*data=folder"):
        CamVid(str(tmp_path)).records("train")


def test_the_split_of_segnet_is_a_rule_on_names(shared_data) -> None:
    root = shared_data("camvid11")
    for split in SPLITS:
        assert {segnet_split(file.stem) for file in (root / split).iterdir()} == {split}


def test_cityscapes_reads_label_ids_and_prefers_train_ids(tmp_path: Path) -> None:
    source = Cityscapes(str(write_cityscapes(tmp_path)))
    assert counts(source) == COUNTS
    records = source.records("train")
    assert [r.group for r in records] == ["traincity0"] * 3 + ["traincity1"] * 3
    assert records[0].name == "traincity0_000000_000019"
    _, mask = source.read(records[0])
    raw = cityscapes_ids(street("train", 0)[1])
    expected = np.array([cityscapes.LABELS[int(v)][1] for v in raw.ravel()]).reshape(raw.shape)
    np.testing.assert_array_equal(mask, expected)

    folder = tmp_path / "gtFine" / "train" / "traincity0"
    save(
        folder / "traincity0_000000_000019_gtFine_labelTrainIds.png",
        np.full((48, 64), 18, np.uint8),
    )
    assert set(np.unique(source.read(source.records("train")[0])[1])) == {18}


def test_cityscapes_tests_what_has_labels(tmp_path: Path) -> None:
    root = str(write_cityscapes(tmp_path))
    plain = Cityscapes(root)
    assert plain.records("test") == plain.records("val")
    held_out = Cityscapes(root, val_cities=["traincity1"], train_labels="fine+coarse")
    assert {r.group for r in held_out.records("val")} == {"traincity1"}
    assert {r.mask.parts[-4] for r in held_out.records("val") if r.mask} == {"gtFine"}
    assert "traincity1" not in {r.group for r in held_out.records("train")}
    assert held_out.records("test") == plain.records("test")
    with pytest.raises(DataError, match=r"val_cities: there is no ulm in .*there are traincity0"):
        Cityscapes(root, val_cities=["ulm"]).records("val")


def test_cityscapes_predicts_a_test_without_labels(tmp_path: Path) -> None:
    source = Cityscapes(str(write_cityscapes(tmp_path)), test="test")
    record = source.records("test")[0]
    assert record.mask is None
    assert (source.read(record)[1] == 255).all()


def test_cityscapes_coarse_and_categories(tmp_path: Path) -> None:
    root = str(write_cityscapes(tmp_path))
    assert len(Cityscapes(root, train_labels="coarse").records("train")) == 12
    both = Cityscapes(root, train_labels="fine+coarse").records("train")
    assert {r.mask.parts[-4] for r in both if r.mask} == {"gtFine", "gtCoarse"}
    source = Cityscapes(root, labels="categories")
    _, mask = source.read(source.records("train")[0])
    names = np.array(source.classes.names)
    raw = cityscapes_ids(street("train", 0)[1])
    for value in np.unique(raw):
        _, train_id, category, _ = cityscapes.LABELS[int(value)]
        got = mask[raw == value]
        assert set(names[got]) == {category} if train_id != 255 else set(got) == {255}


def test_cityscapes_names_images_without_mask(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path)
    next((root / "gtFine" / "val" / "valcity0").iterdir()).unlink()
    with pytest.raises(UnpairedError, match=r"1 image\(s\) without mask: .*valcity0") as caught:
        Cityscapes(str(root)).records("val")
    assert len(caught.value.records) == COUNTS["val"] - 1


def test_pairs_are_read_once_and_nearly_as_drawn(tmp_path: Path) -> None:
    source = CityscapesPairs(str(write_pairs(tmp_path)))
    assert counts(source) == {"train": 6, "val": 4, "test": 4}
    assert not source.comparable
    record = source.records("train")[0]
    assert (record.name, record.group) == ("train_1", "aachen")
    image, mask = source.read(record)
    assert image.shape == (256, 256, 3)
    drawn = cv2.resize(street("train", 0)[1], (256, 256), interpolation=cv2.INTER_NEAREST)
    to_train = {
        i: source.classes.names.index(CITYSCAPES_NAME[n])
        for i, n in enumerate(STREET_CLASSES.names)
    }
    expected = np.vectorize(lambda v: to_train.get(v, 255))(drawn)
    labeled = (mask != 255) & (expected != 255)
    assert labeled.mean() > 0.6
    assert (mask == expected)[labeled].mean() > 0.97  # despite blur and JPEG noise


def test_pairs_hold_out_cities_for_selection(tmp_path: Path) -> None:
    root = write_pairs(tmp_path) / "cityscapes_data"
    image = next((root / "train").iterdir()).read_bytes()
    (root / "train" / "2975.jpg").write_bytes(image)
    source = CityscapesPairs(str(root), val_cities=["zurich"])
    assert [r.name for r in source.records("val")] == ["train_2975"]
    assert counts(source) == {"train": 6, "val": 1, "test": 4}
    with pytest.raises(ValueError, match="there is no paris"):
        CityscapesPairs(str(root), val_cities=["paris"])


def test_pairs_use_the_nearest_color_up_to_the_limit() -> None:
    table = nearest_train_ids("all", 30.0)

    def look_up(*color: int) -> int:
        return int(table[pack(np.array(color, np.uint8))[0]])

    assert look_up(0, 0, 142) == 13  # car, whose color license plate shares
    assert look_up(140, 70, 120) == 0  # road with noise
    assert look_up(250, 170, 160) == 255  # parking is no class
    assert look_up(128, 255, 0) == 255  # too far from everything


@pytest.mark.parametrize(
    "source", [CamVid11, CamVid, Cityscapes, CityscapesPairs], ids=lambda s: s.__name__
)
def test_a_missing_root_is_reported_with_the_expected_layout_and_how_to_get_it(
    source, tmp_path: Path
) -> None:
    with pytest.raises(
        DataError, match=r"(?s)missing .*Expected layout: .*Found: .*Get .*data\.root"
    ):
        source(str(tmp_path / "nowhere")).records("train")
    pickle.loads(pickle.dumps(source(str(tmp_path))))  # sources travel to worker processes


@pytest.mark.parametrize("source", [CamVid11, CamVid, Cityscapes, CityscapesPairs])
def test_an_unknown_split_is_refused(source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'trian'"):
        source(str(tmp_path)).records("trian")
