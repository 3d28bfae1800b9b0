"""A label or file that the config does not explain: the message proposes the key to change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segbench.data.check import check
from segbench.data.grouping import INTERPOLATED
from segbench.data.sources.folder import Folder
from segbench.errors import DataError, UnpairedError
from tests.data.writers import save

WHERE = {"images": "{split}/{name}.png", "masks": "{split}_m/{name}.png"}
NAMES = ["sky", "road"]


def made(root: Path, mask: np.ndarray, splits: tuple[str, ...] = ("train",)) -> Path:
    """An image of noise with a mask in each split."""
    image = np.random.default_rng(0).integers(0, 255, (*mask.shape[:2], 3), np.uint8)
    for split in splits:
        save(root / split / "a.png", image)
        save(root / f"{split}_m" / "a.png", mask)
    return root


def message(source: Folder) -> str:
    with pytest.raises(DataError) as caught:
        source.read(source.records("train")[0])
    return str(caught.value)


def test_an_unknown_id_gets_a_label_map_that_can_be_pasted(tmp_path: Path) -> None:
    mask = np.array([[0, 1], [1, 7]], np.uint8)
    source = Folder(str(made(tmp_path, mask)), **WHERE, classes=NAMES)
    assert "write label_map: {sky: [0], road: [1], ignore: [7]}" in message(source)
    pasted = Folder(
        str(tmp_path), **WHERE, classes=NAMES, label_map={"sky": [0], "road": [1], "ignore": [7]}
    )
    np.testing.assert_array_equal(pasted.read(pasted.records("train")[0])[1], [[0, 1], [1, 255]])


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        ([[0, 0, 0], [10, 20, 250]], "swap red and blue in data.colors"),
        ([[0, 0, 0], [245, 20, 10]], r"is close to (245, 20, 10): if that is meant, correct it"),
        ([[0, 0, 0], [0, 250, 0]], "Add it to data.classes and data.colors"),
    ],
)
def test_an_unknown_color_is_compared_with_the_known_ones(
    tmp_path: Path, colors: list[list[int]], expected: str
) -> None:
    mask = np.array([[[0, 0, 0], [250, 20, 10]]], np.uint8)
    root = str(made(tmp_path, mask))
    by_colors = message(Folder(root, **WHERE, classes=NAMES, colors=colors, mask_type="rgb"))
    assert expected in by_colors
    assert "label_map" not in by_colors
    by_map = {"sky": [colors[0]], "road": [colors[1]]}
    assert "data.label_map" in message(Folder(root, **WHERE, label_map=by_map, mask_type="rgb"))


def test_interpolated_masks_are_one_finding(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for name in "abc":
        save(tmp_path / "train" / f"{name}.png", random.integers(0, 255, (8, 8, 3), np.uint8))
        save(tmp_path / "train_m" / f"{name}.png", random.integers(0, 255, (8, 8), np.uint8))
    source = Folder(str(tmp_path), **WHERE, splits={"val": None, "test": None}, classes=NAMES)
    found = [f for f in check(source)[0] if f.kind == INTERPOLATED]
    assert [len(f.files) for f in found] == [3]
    assert found[0].message.startswith("3 of 3 files")
    assert "label_map" not in found[0].message.partition("is not in the label map")[2]


def test_a_partner_with_another_extension_is_named(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.uint8)
    made(tmp_path, mask)
    save(tmp_path / "train" / "b.jpg", np.zeros((4, 4, 3), np.uint8))
    save(tmp_path / "train_m" / "b.png", mask)
    with pytest.raises(UnpairedError) as caught:
        Folder(str(tmp_path), **WHERE, classes=NAMES).records("train")
    assert "b.jpg exists: let data.images end in {name}.*" in str(caught.value)
    (tmp_path / "train_m" / "a.png").rename(tmp_path / "train_m" / "a.tif")
    with pytest.raises(UnpairedError) as caught:
        Folder(str(tmp_path), **WHERE | {"images": "{split}"}, classes=NAMES).records("train")
    assert "a.tif exists: let data.masks end in {name}.*" in str(caught.value)


def test_the_hint_stands_at_its_own_problem(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.uint8)
    made(tmp_path, mask)
    save(tmp_path / "train_m" / "stray.png", mask)  # a mask without any image
    (tmp_path / "train_m" / "a.png").rename(tmp_path / "train_m" / "a.tif")
    with pytest.raises(UnpairedError) as caught:
        Folder(str(tmp_path), **WHERE, classes=NAMES).records("train")
    without_mask, without_image = str(caught.value).split("mask(s) without image")
    assert "a.tif exists" in without_mask
    assert "exists" not in without_image
