"""What the check of a data set proposes for images that are not RGB of 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
    assert "{channels: 5, value_range: [0, 3999], mean: auto, std: auto" in finding.message
    fine = Folder(str(tmp_path), *patterns, **given, channels=5, value_range=[0, 3999])
    assert not [f for f in check(fine)[0] if f.kind in ("bands", "range")]
    wide = Folder(str(tmp_path), *patterns, **given, channels=5, value_range=[0, 65535])
    (first, *_) = (f for f in check(wide)[0] if f.kind == "range")
    assert "[0, 65535], but the values are in 0 to 3999. Write value_range: [0, 3999]" in str(first)
