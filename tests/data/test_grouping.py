"""A problem that many files share is reported once, with the number of files and an example."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segbench.check_data import check_data
from segbench.data.check import check
from segbench.data.sources.folder import Folder
from segbench.errors import DataError


def write(root: Path, masks: dict[str, int], mask_name: str = "{name}.png") -> Folder:
    """Images 8x8 with masks of one value each, in train; val and test are valid."""
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for name, value in (masks if split == "train" else {f"{split}1": 1}).items():
            seed = int.from_bytes(name.encode()[-4:], "big")
            image = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
            mask = np.full((8, 8), value, np.uint8)
            mask[0] = 0
            cv2.imwrite(str(root / "images" / split / f"{name}.png"), image)
            cv2.imwrite(str(root / "masks" / split / mask_name.format(name=name)), mask)
    return Folder(
        root=str(root), images="images/{split}/{name}.png", masks="masks/{split}/{name}.png",
        classes=["a", "b"],
    )  # fmt: skip


def test_an_unknown_label_is_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = {f"im{i}": 2 if i < 4 else 1 for i in range(6)} | {"im6": 9}
    source = write(tmp_path / "data", masks)
    assert check_data(source, tmp_path / "report", strict=False, name="mine") == 1
    found = [finding for finding in check(source)[0] if finding.kind == "label"]
    assert [len(finding.files) for finding in found] == [4, 1]
    assert found[0].message.startswith("label 2 on 4 of 7 masks, e.g. ")
    assert found[0].message.count("im0.png") == 1
    assert "label 9" in found[1].message
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<h1>Data check: mine</h1>" in page
    assert "label 2 on 4 of 7 masks" in page
    assert 'src="samples.png"' in page
    assert "mean: [" in page
    assert "index.html" in capsys.readouterr().out


def test_one_suffix_that_explains_all_is_proposed(tmp_path: Path) -> None:
    source = write(tmp_path, {"im1": 1, "im2": 1, "im3": 1}, "{name}_gt.png")
    with pytest.raises(
        DataError, match=r"data\.masks ended in \{name\}_gt, as in \{name\}_gt\.png"
    ):
        source.records("train")


def test_a_hostile_name_stays_text_in_the_page(tmp_path: Path) -> None:
    source = write(tmp_path / "data", {"<b>x</b>".replace("/", ""): 9, "b": 1})
    check_data(source, tmp_path / "report", strict=False, name="<script>")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
