"""`folder` reads any layout through its arguments alone, and explains what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segbench.data.dataset import SPLITS
from segbench.data.sources.folder import Folder
from segbench.data.sources.streets import CLASSES
from segbench.errors import DataError, UnpairedError
from tests.data.writers import COUNTS, save, street, write_streets

NAMES = list(CLASSES.names)


def mask_of(source: Folder, split: str = "train", index: int = 0) -> np.ndarray:
    return source.read(source.records(split)[index])[1]


def test_ids_by_patterns_with_groups(tmp_path: Path) -> None:
    root = write_streets(tmp_path)
    source = Folder(
        root, "{split}/{name}.jpg", "{split}_m/{name}.png", classes=NAMES, group_regex="^[^_]+"
    )
    assert {s: len(source.records(s)) for s in SPLITS} == COUNTS
    assert [r.group for r in source.records("train")] == ["t0", "t0", "t1", "t1", "t2", "t2"]
    np.testing.assert_array_equal(mask_of(source, "val", 3), street("val", 3)[1])


def test_folders_replace_patterns_and_splits_can_be_renamed(tmp_path: Path) -> None:
    root = write_streets(tmp_path, images="img/{split}/{name}.png", masks="gt/{split}/{name}.png")
    (tmp_path / "img" / "val").rename(tmp_path / "img" / "validation")
    (tmp_path / "gt" / "val").rename(tmp_path / "gt" / "validation")
    source = Folder(root, "img/{split}", "gt/{split}", splits={"val": "validation"}, classes=NAMES)
    assert len(source.records("val")) == COUNTS["val"]


def test_nested_folders_and_suffixes(tmp_path: Path) -> None:
    root = write_streets(
        tmp_path, images="{split}/a/b/{name}_rgb.png", masks="{split}/a/b/{name}_label.png"
    )
    source = Folder(root, "{split}/**/{name}_rgb.png", "{split}/**/{name}_label.png", classes=NAMES)
    assert len(source.records("train")) == COUNTS["train"]


def test_rgb_masks_by_the_colors_of_the_classes(tmp_path: Path) -> None:
    root = write_streets(tmp_path, CLASSES.decode)
    where = {"images": "{split}", "masks": "{split}_m", "mask_type": "rgb"}
    colors = [list(color) for color in CLASSES.colors]
    source = Folder(root, **where, classes=NAMES, colors=colors, void_color=[0, 0, 0])
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1])
    with pytest.raises(DataError, match=r"label \(0, 0, 0\) on .* not in the label map"):
        mask_of(Folder(root, **where, classes=NAMES, colors=colors))  # void was not declared


def test_palette_png_contains_ids(tmp_path: Path) -> None:
    write_streets(tmp_path)
    for file in tmp_path.glob("*_m/*.png"):
        image = Image.open(file)
        image.putpalette([channel for color in CLASSES.colors for channel in color] + [9] * 735)
        image.save(file)
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=NAMES)
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1])


def test_binary_masks(tmp_path: Path) -> None:
    root = write_streets(tmp_path, lambda mask: np.where(mask == 3, 255, 0).astype(np.uint8))
    source = Folder(root, "{split}", "{split}_m", mask_type="binary", classes=["other", "road"])
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1] == 3)


BINARY = {
    "images": "{split}", "masks": "{split}_m", "mask_type": "binary", "classes": ["other", "road"],
}  # fmt: skip


@pytest.mark.parametrize("masks", ["{split}_m/{name}.png", "{split}_m/{name}.tif"])
def test_binary_masks_may_have_one_bit(tmp_path: Path, masks: str) -> None:
    source = Folder(write_streets(tmp_path, lambda mask: mask == 3, masks=masks), **BINARY)
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1] == 3)


def test_binary_masks_of_0_and_1_do_not_take_255_for_a_class(tmp_path: Path) -> None:
    source = Folder(write_streets(tmp_path, lambda mask: (mask == 3).astype(np.uint8)), **BINARY)
    save(tmp_path / "train_m" / "t0_1.png", np.full((48, 64), 255, np.uint8))
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1] == 3)
    with pytest.raises(
        DataError, match=r"label 255 on 100.00% .*the same in all masks; found 0 and 1"
    ):
        mask_of(source, index=1)


def test_binary_masks_of_other_values_are_reported(tmp_path: Path) -> None:
    source = Folder(
        write_streets(tmp_path, lambda mask: (mask == 3).astype(np.uint8) * 128), **BINARY
    )
    with pytest.raises(DataError, match=r"label 128 on .*binary expects 0 and 255, or 0 and 1"):
        mask_of(source)


def test_one_bit_masks_contain_0_and_1(tmp_path: Path) -> None:
    write_streets(tmp_path, lambda mask: mask == 3)
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["other", "road"])
    np.testing.assert_array_equal(mask_of(source), street("train", 0)[1] == 3)


def test_a_declared_map_merges_and_ignores(tmp_path: Path) -> None:
    source = Folder(
        write_streets(tmp_path),
        "{split}",
        "{split}_m",
        classes=["flat", "rest"],
        label_map={"flat": [3, 4], "rest": [1, 2, 5, 6, 7, 8, 9, 10], "ignore": [0, 255]},
    )
    mask, drawn = mask_of(source), street("train", 0)[1]
    np.testing.assert_array_equal(mask == 0, np.isin(drawn, [3, 4]))
    np.testing.assert_array_equal(mask == 255, np.isin(drawn, [0, 255]))


def test_a_declared_map_of_colors(tmp_path: Path) -> None:
    root = write_streets(tmp_path, CLASSES.decode)
    flat, others = (
        [list(CLASSES.colors[i]) for i in (3, 4)],
        [list(c) for i, c in enumerate(CLASSES.colors) if i not in (3, 4)],
    )
    label_map = {"flat": flat, "rest": others, "ignore": [[0, 0, 0]]}
    source = Folder(
        root, "{split}", "{split}_m", mask_type="rgb", classes=["flat", "rest"], label_map=label_map
    )
    np.testing.assert_array_equal(mask_of(source) == 0, np.isin(street("train", 0)[1], [3, 4]))


def test_auto_maps_the_values_found_in_order(tmp_path: Path) -> None:
    root = write_streets(
        tmp_path, lambda mask: np.where(mask == 255, 7, (mask % 3) * 50).astype(np.uint8)
    )
    source = Folder(root, "{split}", "{split}_m", label_map="auto", ignore_values=[7])
    assert source.found_label_map == {"0": 0, "7": 255, "50": 1, "100": 2}
    assert source.classes.names == ("label 0", "label 50", "label 100")
    drawn = street("train", 0)[1]
    np.testing.assert_array_equal(mask_of(source), np.where(drawn == 255, 255, drawn % 3))


def test_auto_does_not_guess_what_255_means(tmp_path: Path) -> None:
    where = {
        "root": write_streets(tmp_path),
        "images": "{split}",
        "masks": "{split}_m",
        "label_map": "auto",
    }
    with pytest.raises(DataError, match=r"is 255 a class or ignore\? Set ignore_values: \[255\]"):
        _ = Folder(**where).classes
    assert Folder(**where, ignore_values=[255]).classes.num_classes <= 11


def test_auto_refuses_interpolated_masks(tmp_path: Path) -> None:
    root = write_streets(tmp_path, lambda mask: np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    with pytest.raises(DataError, match="more than 255 distinct values"):
        _ = Folder(root, "{split}", "{split}_m", label_map="auto").classes


def test_auto_without_any_label_is_reported(tmp_path: Path) -> None:
    root = write_streets(tmp_path, np.zeros_like)
    with pytest.raises(DataError, match="found no label in any mask"):
        _ = Folder(root, "{split}", "{split}_m", label_map="auto", ignore_values=[0]).classes


def test_partners_that_are_missing_are_named(tmp_path: Path) -> None:
    root = write_streets(tmp_path)
    (tmp_path / "train_m" / "t0_0.png").unlink()
    (tmp_path / "train" / "t1_2.jpg").unlink()
    with pytest.raises(
        UnpairedError, match=r"without mask: \S*t0_0\.jpg; .*without image: \S*t1_2\.png"
    ):
        Folder(root, "{split}", "{split}_m", classes=NAMES).records("train")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"images": "images", "masks": "masks"}, "choose exactly one of"),
        ({"ratio": [1.0, 0.0, 0.0]}, "choose exactly one of"),
        ({"mask_type": "color"}, "mask_type is color"),
        ({"classes": None}, "classes are needed"),
        ({"mask_type": "rgb"}, "needs colors or a label_map"),
        ({"label_map": {"road": [0]}}, "'road' is not a class"),
        ({"label_map": {"a": [0], "b": [0]}}, "0 is given twice"),
        ({"label_map": {"a": [0]}}, "class 'b' has no values"),
        ({"label_map": "yes"}, "expected auto or a mapping"),
        ({"mask_type": "binary", "classes": ["a", "b", "c"]}, "needs two classes"),
    ],
)
def test_contradictions_are_refused(arguments: dict, problem: str) -> None:
    defaults = {"root": ".", "images": "{split}", "masks": "{split}_m", "classes": ["a", "b"]}
    with pytest.raises(ValueError, match=problem):
        Folder(**{**defaults, **arguments})


def test_nuclei_from_yaml_alone(shared_data) -> None:
    where = {
        "root": str(shared_data("nuclei")),
        "images": "{split}/{name}.jpg",
        "masks": "{split}annot/{name}.png",
    }
    two = Folder(
        **where, classes=["background", "nucleus"], label_map={"background": [0], "nucleus": [1, 2]}
    )
    auto = Folder(**where, label_map="auto")
    assert auto.found_label_map == {"0": 0, "1": 1, "2": 2}
    record = two.records("val")[0]
    np.testing.assert_array_equal(two.read(record)[1], np.minimum(auto.read(record)[1], 1))
