"""Findings about labels: wrong mask type, unknown labels, automatically found labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segbench.check_data import check_data
from segbench.data.check import check
from segbench.data.sources.camvid11 import CLASSES
from segbench.data.sources.folder import Folder
from segbench.errors import DataError
from tests.data.writers import SIZE, save, street


def test_binary_masks_read_as_ids_are_recognized(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for index in range(2):
            image, mask = street(split, index)
            save(tmp_path / split / f"{index}.png", image)
            save(
                tmp_path / f"{split}_m" / f"{index}.png",
                np.where(mask == 3, 255, 0).astype(np.uint8),
            )
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["other", "road"])
    findings, _ = check(source)
    assert {f.kind for f in findings if f.severity != "hint"} == {"binary"}
    assert "mask_type: binary" in findings[0].message


def test_an_unknown_color_is_named_with_its_share(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        image, mask = street(split, 0)
        save(tmp_path / split / "0.png", image)
        rgb = CLASSES.decode(mask)
        rgb[0, :16] = (1, 2, 3)
        save(tmp_path / f"{split}_m" / "0.png", rgb)
    colors = [list(c) for c in CLASSES.colors]
    source = Folder(
        str(tmp_path), "{split}", "{split}_m", mask_type="rgb", classes=list(CLASSES.names),
        colors=colors, void_color=[0, 0, 0],
    )  # fmt: skip
    found = [f for f in check(source)[0] if f.kind == "color"]
    assert len(found) == 3
    assert "(1, 2, 3) on 0.52% of the pixels" in found[0].message


@pytest.fixture
def auto_root(tmp_path: Path) -> Path:
    """Two images and masks of 0, 1 and 2 in each split."""
    for split in ("train", "val", "test"):
        for index in range(2):
            image, mask = street(split, index)
            save(tmp_path / "set" / split / f"{index}.png", image)
            save(tmp_path / "set" / f"{split}_m" / f"{index}.png", mask % 3)
    return tmp_path / "set"


def _auto(root: Path, **arguments) -> Folder:
    return Folder(str(root), "{split}", "{split}_m", label_map="auto", **arguments)


def test_found_labels_do_not_stop_at_bad_files(auto_root: Path, tmp_path: Path) -> None:
    (auto_root / "train_m" / "0.png").write_bytes(b"no image")
    (auto_root / "val_m" / "1.png").unlink()
    save(auto_root / "test_m" / "0.png", np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    source = _auto(auto_root)
    assert check_data(source, tmp_path / "report", strict=False) == 1
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    errors = {(f["kind"], f["split"]) for f in report["findings"] if f["severity"] == "error"}
    assert errors == {("unreadable", "train"), ("unpaired", "val"), ("interpolated", "test")}
    assert report["classes"]["names"] == ["label 0", "label 1", "label 2"]
    assert report["findings"][0]["files"] == [str(auto_root / "train_m" / "0.png")]
    with pytest.raises(DataError, match=r"train_m/0\.png"):
        _ = _auto(auto_root).classes  # as before, training stops at once


def test_doubts_about_found_labels_are_findings(auto_root: Path, tmp_path: Path) -> None:
    save(auto_root / "train_m" / "0.png", np.full(SIZE, 255, np.uint8))
    findings, _ = check(_auto(auto_root, classes=["a", "b"]))
    found = [f.message for f in findings if f.kind == "classes"]
    assert len(found) == 2
    assert "is 255 a class or ignore?" in found[0]
    assert "2 classes, but auto found 3 values" in found[1]
    shutil.rmtree(auto_root)
    assert check_data(_auto(auto_root), tmp_path / "report", strict=False) == 1
    assert "found no label in any mask" in (tmp_path / "report" / "report.md").read_text()
