"""What the check of a data set proposes for images that are not RGB of 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segbench.check_data import check_data
from segbench.data.check import check
from segbench.data.sources.folder import Folder
from tests.data.writers import save


def test_what_to_write_for_other_images_is_told_once_for_all_splits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, top in (("train", 3999), ("val", 3000), ("test", 2000)):
        for index in range(3):
            image = rng.integers(0, top, (8, 9, 5)).astype(np.uint16)
            image[0, 0, :2] = top, 0
            for folder in ("images", "masks"):
                (tmp_path / folder / split).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "images" / split / f"{split}{index}.npy", image)
            save(tmp_path / "masks" / split / f"{split}{index}.png", image[..., 0] > 900)
    given: dict[str, Any] = {"mask_type": "binary", "classes": ["a", "b"]}
    patterns = ("images/{split}/{name}.npy", "masks/{split}/{name}.png")
    (finding,) = (
        f for f in check(Folder(str(tmp_path), *patterns, **given))[0] if f.kind == "bands"
    )
    assert finding.split == "train+val+test"
    assert "9 image(s) contain 5 band(s) of 16-bit integers, 0 to 3999" in finding.message
    keys = yaml.safe_load("\n".join(finding.yaml))
    assert keys.pop("mean") == keys.pop("std") == "auto"
    assert keys == {"channels": 5, "value_range": [0, 3999], "show": [2, 1, 0]}
    fine = Folder(str(tmp_path), *patterns, **given, **keys)
    assert not [f for f in check(fine)[0] if f.kind in ("bands", "range")]
    wide = Folder(str(tmp_path), *patterns, **given, channels=5, value_range=[0, 65535])
    (first, *_) = (f for f in check(wide)[0] if f.kind == "range")
    assert "[0, 65535], but the values are in 0 to 3999. Write value_range: [0, 3999]" in str(first)


def write_floats(root: Path, scale: float) -> dict[str, Any]:
    """Gray float images in `0..scale`, and their YAML."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        image = scale * rng.random((8, 9), np.float32)
        np.save(root / "images" / split / f"{split}.npy", image)
        save(root / "masks" / split / f"{split}.png", np.zeros((8, 9), np.uint8))
    patterns = {"images": "images/{split}/{name}.npy", "masks": "masks/{split}/{name}.png"}
    return {"root": str(root), "classes": ["all"], **patterns}


def test_the_terminal_and_the_reports_list_the_lines_to_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write_floats(tmp_path / "set", 0.5)
    assert check_data(Folder(**given), tmp_path / "out", strict=False) == 1
    printed = capsys.readouterr().out
    report = (tmp_path / "out" / "report.md").read_text()
    page = (tmp_path / "out" / "index.html").read_text()
    for text, indent in ((printed, "    "), (report, "      "), (page, "")):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        first = next(i for i, line in enumerate(lines) if "value_range: [" in line)
        copied = "\n".join(lines[first : first + 3]).partition("<pre>")[2] or "\n".join(
            lines[first : first + 3]
        )
        keys = yaml.safe_load(copied.replace("</pre>", ""))
        assert (keys["mean"], keys["std"]) == ("auto", "auto")
        assert keys["value_range"][0] == 0
        assert 0.49 < keys["value_range"][1] <= 0.5


@pytest.mark.parametrize("value_range", [[0, 0.5], [0, 500000], "percentile"])
def test_lines_for_the_yaml_are_never_zero_or_out_of_range(
    tmp_path: Path, value_range: Any
) -> None:
    given = write_floats(tmp_path / "set", 0.5)
    check_data(Folder(**given, channels=1, value_range=value_range), tmp_path / "out", strict=False)
    report = (tmp_path / "out" / "report.md").read_text()
    keys = yaml.safe_load(report.partition("```yaml\n")[2].partition("```")[0])
    if value_range == "percentile":
        assert (keys["mean"], keys["std"]) == ("auto", "auto")
    else:
        assert 0 < keys["mean"][0] < 1
        assert 0 < keys["std"][0] < 1
