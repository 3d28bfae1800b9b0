"""Problems that only show across splits: duplicate images, and groups that nobody defined."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segbench.check_data import check_data
from segbench.data.check import check
from segbench.data.sources.cityscapes import Cityscapes
from segbench.data.sources.folder import Folder
from tests.data.writers import SIZE, save, street, write_cityscapes


def test_a_val_equal_to_test_is_reported_once_and_is_not_a_leak(tmp_path: Path) -> None:
    findings, _ = check(Cityscapes(str(write_cityscapes(tmp_path))))
    assert not [finding for finding in findings if finding.severity == "error"]
    (same,) = [finding for finding in findings if finding.split == "val+test"]
    assert same.kind == "same"
    assert "selection=last" in same.message


def test_splits_without_a_readable_image_are_not_called_the_same(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for folder in (split, f"{split}_m"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / f"{split}0.png").write_bytes(b"no image")
    findings, _ = check(Folder(str(tmp_path), "{split}", "{split}_m", classes=["all"]))
    assert {finding.split for finding in findings} >= {"train", "val", "test"}
    assert not [finding for finding in findings if finding.kind in ("same", "leak", "duplicate")]


@pytest.mark.parametrize(("group_regex", "kinds"), [(None, ["ungrouped"]), (r"^\w+v", [])])
def test_images_without_groups_get_a_hint_not_an_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    group_regex: str | None,
    kinds: list[str],
) -> None:
    for split in ("train", "val", "test"):
        for index in range(3):
            save(tmp_path / split / f"{split}v{index}.png", street(split, index)[0])
            save(tmp_path / f"{split}_m" / f"{split}v{index}.png", np.zeros(SIZE, np.uint8))
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["all"], group_regex=group_regex)
    out = tmp_path / "report"
    assert check_data(source, out, strict=True) == 0
    report = json.loads((out / "report.json").read_text())
    assert [finding["kind"] for finding in report["findings"]] == kinds
    assert (report["errors"], report["warnings"]) == (0, 0)
    shown = " ".join(capsys.readouterr().out.split())
    for text in (shown, (out / "report.md").read_text()):
        assert ("set data.group_regex" in text) == bool(kinds)
    assert ("hint ungrouped (train+val+test)" in shown) == bool(kinds)


def test_blank_images_are_not_copies_of_each_other(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for index in range(2):
            blank = np.zeros(SIZE, np.uint8)
            save(tmp_path / split / f"{split}v{index}.png", blank)
            save(tmp_path / f"{split}_m" / f"{split}v{index}.png", blank)
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["all"])
    assert {finding.kind for finding in check(source)[0]} == {"ungrouped"}
    for split in ("train", "val"):
        blank[0, 0] = 1
        save(tmp_path / split / f"{split}v0.png", blank)
    (leak,) = (finding for finding in check(source)[0] if finding.kind == "leak")
    assert leak.files == [f"{tmp_path}/train/trainv0.png = {tmp_path}/val/valv0.png"]


def test_names_that_are_not_utf8_are_reported_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"b\xff")
    for split in ("train", "val", "test"):
        save(tmp_path / split / f"{split}.png", street(split, 0)[0])
        save(tmp_path / f"{split}_m" / f"{split}.png", np.zeros(SIZE, np.uint8))
        for folder in (split, f"{split}_m"):
            file = tmp_path / folder / f"{split}.png"
            file.rename(tmp_path / folder / f"{split}{name}.png")
    (tmp_path / "train_m" / f"train{name}.png").write_bytes(b"version https://git-lfs.github.com")
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["all"])
    assert check_data(source, tmp_path / "out", strict=False) == 1
    words = r"trainb\udcff.png: is a pointer of Git LFS; run `git lfs pull`"
    assert words in capsys.readouterr().out
    for file in ("index.html", "report.md", "pairs.csv"):
        assert "udcff" in (tmp_path / "out" / file).read_text(encoding="utf-8")
