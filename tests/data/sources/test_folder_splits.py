"""Lists, tables and ratios divide the images of `folder` into splits."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from segbench.check_data import check_data
from segbench.data.dataset import SPLITS
from segbench.data.sources.camvid11 import CamVid11
from segbench.data.sources.folder import Folder
from segbench.data.sources.layout import split_groups
from segbench.data.sources.streets import CLASSES
from segbench.errors import DataError
from tests.data.writers import street, write_camvid11, write_streets

NAMES = list(CLASSES.names)


def test_list_files_of_several_styles(tmp_path: Path) -> None:
    write_streets(tmp_path, images="images/{name}.jpg", masks="masks/{name}.png")
    (tmp_path / "train.txt").write_text("t0_0\nt0_1.jpg\n")
    (tmp_path / "val.txt").write_text("images/v0_0.jpg masks/v0_0.png\n\n")
    lists = {"train": "train.txt", "val": "val.txt"}
    source = Folder(str(tmp_path), "images", "masks", lists=lists, classes=NAMES)
    assert [r.name for r in source.records("train")] == ["t0_0", "t0_1"]
    assert [r.name for r in source.records("val")] == ["v0_0"]
    (tmp_path / "val.txt").write_text("nobody\n")
    with pytest.raises(DataError, match=r"1 line\(s\) do not name an image, e\.g\. 'nobody'"):
        source.records("val")


def test_a_ratio_keeps_groups_together_and_is_deterministic(tmp_path: Path) -> None:
    root = write_streets(tmp_path, images="images/{name}.jpg", masks="masks/{name}.png")

    def make(seed: int) -> Folder:
        return Folder(
            root,
            "images",
            "masks",
            ratio=[0.5, 0.25, 0.25],
            split_seed=seed,
            group_regex="^([^_]+)_",
            classes=NAMES,
        )

    groups = {split: {r.group for r in make(0).records(split)} for split in SPLITS}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 5
    assert len(groups["train"]) == 3
    assert groups == {split: {r.group for r in make(0).records(split)} for split in SPLITS}
    divisions = {tuple(sorted(r.group for r in make(seed).records("val"))) for seed in range(6)}
    assert len(divisions) > 1


@pytest.mark.parametrize("seed", range(3))
def test_of_few_groups_the_larger_share_gets_the_larger_one(seed: int) -> None:
    groups = ["a"] * 204 + ["b"] * 62 + ["c"] * 101
    divided = split_groups(groups, [0.6, 0.1, 0.3], seed)
    assert divided == {"a": "train", "b": "val", "c": "test"}


def test_the_table_that_check_data_writes_is_read_back(tmp_path: Path) -> None:
    root = write_camvid11(tmp_path / "set")
    check_data(CamVid11(str(root)), tmp_path / "report", strict=False)
    label_map = {**{name: [i] for i, name in enumerate(NAMES)}, "ignore": [11]}
    source = Folder(
        str(root), table=str(tmp_path / "report" / "pairs.csv"), classes=NAMES, label_map=label_map
    )
    original = CamVid11(str(root))
    for split in SPLITS:
        for ours, theirs in zip(source.records(split), original.records(split), strict=True):
            assert (ours.name, ours.group, ours.image) == (theirs.name, theirs.group, theirs.image)
            np.testing.assert_array_equal(source.read(ours)[1], original.read(theirs)[1])


def test_a_table_may_lack_masks_but_no_columns(tmp_path: Path) -> None:
    write_streets(tmp_path)
    with (tmp_path / "t.csv").open("w") as file:
        csv.writer(file).writerows([["image", "mask", "split"], ["test/t0_0.jpg", "", "test"]])
    source = Folder(str(tmp_path), table="t.csv", classes=NAMES)
    assert (source.read(source.records("test")[0])[1] == 255).all()
    (tmp_path / "t.csv").write_text("image,split\n")
    with pytest.raises(DataError, match="no column mask"):
        source.records("test")


def write_table(root: Path, *lines: str) -> Folder:
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    return Folder(str(root), table="t.csv", classes=NAMES, splits={"val": "valid"})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_tables_of_other_programs(tmp_path: Path, separator: str, slash: str) -> None:
    write_streets(tmp_path)
    rows = ("image,mask,split", "test/t0_0.jpg,test_m/t0_0.png,valid")
    table = [row.replace(",", separator).replace("/", slash) for row in rows]
    (record,) = write_table(tmp_path, *table).records("val")
    assert record.image == tmp_path / "test/t0_0.jpg"
    assert record.mask == tmp_path / "test_m/t0_0.png"


def test_mistakes_in_a_table_are_named(tmp_path: Path) -> None:
    write_streets(tmp_path)
    row = "test/t0_0.jpg,test_m/t0_0.png,test"
    source = write_table(tmp_path, "image,mask,split", row, row)
    with pytest.raises(DataError, match="the rows in lines 2 and 3 have the same image"):
        source.records("test")
    source = write_table(tmp_path, "image,mask,split", row.replace(",test", ",Test"))
    with pytest.raises(
        DataError, match=r"no row has the split 'test'; found: Test\..*data\.splits"
    ):
        source.records("test")
    with pytest.raises(DataError, match="no row has the split 'valid'; found: Test"):
        source.records("val")
    assert write_table(tmp_path, "image,mask,split", row).records("train") == []
    for wrong in ("test/t0_0.jpg,", "a,b.jpg,a.png,test", ",test_m/t0_0.png,test"):
        source = write_table(tmp_path, "image,mask,split", row, wrong)
        with pytest.raises(DataError, match="line 3 does not have the columns of the header"):
            source.records("test")


def test_tables_and_lists_saved_by_excel(tmp_path: Path) -> None:
    write_streets(tmp_path)
    text = "image,mask,split\r\ntest/t0_0.jpg,test_m/t0_0.png,test\r\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig", newline="")
    source = Folder(str(tmp_path), table="t.csv", classes=NAMES)
    np.testing.assert_array_equal(source.read(source.records("test")[0])[1], street("test", 0)[1])
    lists = {split: f"{split}.txt" for split in SPLITS}
    (tmp_path / "train.txt").write_text("t0_1\r\n", encoding="utf-8-sig", newline="")
    source = Folder(str(tmp_path), "train", "train_m", lists=lists, classes=NAMES)
    assert [r.name for r in source.records("train")] == ["t0_1"]
    (tmp_path / "train.txt").write_bytes("stra\xdfe\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.txt: not UTF-8"):
        source.records("train")
