"""`folder` finds files under the names that users have, and misses none silently."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segbench.data.dataset import SPLITS
from segbench.data.sources.folder import Folder
from segbench.data.sources.layout import read_list
from segbench.errors import DataError, UnpairedError
from tests.data.pixel_files import random_pixels

IMAGE = random_pixels("uint8", 3)
MASK = random_pixels("uint8", 1, top=1)
TWO = {"classes": ["a", "b"]}
RATIO = {**TWO, "ratio": [0.5, 0.25, 0.25]}


def put(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".JPG": "JPEG", ".jpg": "JPEG"}.get(path.suffix)
    Image.fromarray(pixels).save(path, kind)


def names(source: Folder) -> list[str]:
    return sorted(record.name for split in SPLITS for record in source.records(split))


def pairs(root: Path, count: int, image: str = "img/p{}.png", mask: str = "msk/p{}.png") -> str:
    for number in range(count):
        put(root / image.format(number), IMAGE)
        put(root / mask.format(number), MASK)
    return str(root)


@pytest.mark.parametrize("pattern", ["img/{name}.jpg", "img/{name}.JPG", "img/{name}.*", "img"])
def test_the_case_of_an_extension_does_not_matter(tmp_path: Path, pattern: str) -> None:
    for number in range(12):
        put(tmp_path / "img" / f"p{number}.{'JPG' if number % 3 == 0 else 'jpg'}", IMAGE)
        put(tmp_path / "msk" / f"p{number}.{'PNG' if number % 2 else 'png'}", MASK)
    source = Folder(str(tmp_path), pattern, "msk/{name}.png", **RATIO)
    assert len(names(source)) == 12


def test_a_ratio_misses_no_mask_without_image(tmp_path: Path) -> None:
    root = pairs(tmp_path, 8)
    (tmp_path / "img" / "p3.png").unlink()
    with pytest.raises(UnpairedError, match=r"1 mask\(s\) without image: \S*p3\.png"):
        Folder(root, "img", "msk", **RATIO).records("train")
    for number in (3, 5):
        (tmp_path / "msk" / f"p{number}.png").unlink()
    with pytest.raises(UnpairedError, match=r"without mask: \S*p5\.png"):
        names(Folder(root, "img", "msk", **RATIO))


@pytest.mark.parametrize("suffix", [".gif", ".ppm", ".bmp", ".tif", ".webp", ".npy"])
def test_masks_of_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    root = pairs(tmp_path, 4)
    for file in (tmp_path / "msk").iterdir():
        file.unlink()
        if suffix == ".npy":
            np.save(file.with_suffix(suffix), MASK)
        else:
            lossless = {"lossless": True} if suffix == ".webp" else {}
            Image.fromarray(MASK * 255).save(file.with_suffix(suffix), **lossless)
    kind = "rgb" if suffix == ".webp" else "binary"
    colors = {"colors": [[0, 0, 0], [255, 255, 255]]} if kind == "rgb" else {}
    source = Folder(root, "img", f"msk/{{name}}{suffix}", mask_type=kind, **colors, **RATIO)
    for split in SPLITS:
        for record in source.records(split):
            np.testing.assert_array_equal(source.read(record)[1], MASK)


@pytest.mark.parametrize("suffix", [".xcf", ".mat", ".json", ""])
def test_formats_that_are_not_read_are_named(tmp_path: Path, suffix: str) -> None:
    root = pairs(tmp_path, 3)
    for file in (tmp_path / "msk").iterdir():
        file.rename(file.with_suffix(suffix))
    shown = suffix or "no extension"
    pattern = f"msk/{{name}}{suffix}"
    with pytest.raises(
        DataError, match=rf"data\.masks: 3 file\(s\).*{shown} is not supported.*\.png"
    ):
        Folder(root, "img", pattern, **RATIO).records("train")


def test_arrays_are_read_if_the_pattern_names_them(tmp_path: Path) -> None:
    root = pairs(tmp_path, 12)
    for file in (tmp_path / "img").iterdir():
        np.save(file.with_suffix(".npy"), np.asarray(Image.open(file)))
        file.unlink()
    for pattern in ("img", "img/{name}.*", "img/{name}"):
        with pytest.raises(DataError, match=r"let data\.images end in {name}\.npy"):
            Folder(root, pattern, "msk", **RATIO).records("train")
    assert len(names(Folder(root, "img/{name}.npy", "msk", **RATIO))) == 12


@pytest.mark.parametrize("order", ["mask after image", "image after mask"])
def test_masks_in_the_folder_of_the_images_are_not_images(tmp_path: Path, order: str) -> None:
    image, mask = ("*/{name}.tif", "*/{name}_mask.tif")
    if order == "image after mask":
        image, mask = "*/{name}_photo.tif", "*/{name}.tif"
    for patient in range(4):
        for number in range(3):
            name = f"P{patient}_{number}"
            put(tmp_path / f"P{patient}" / image[2:].format(name=name), IMAGE)
            put(tmp_path / f"P{patient}" / mask[2:].format(name=name), MASK * 255)
    source = Folder(
        str(tmp_path), image, mask, mask_type="binary", group_regex="^(P[0-9]+)_", **RATIO
    )
    assert names(source) == sorted(f"P{p}_{n}" for p in range(4) for n in range(3))
    (tmp_path / "P1" / mask[2:].format(name="P1_1")).unlink()
    with pytest.raises(UnpairedError, match=r"without (mask|image): \S*P1_1"):
        names(source)


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = pairs(tmp_path / "root", 2, "data/real/p{}.png", "gt/real/p{}.png")
    pairs(tmp_path / "elsewhere", 2, "x/q{}.png", "y/q{}.png")
    (tmp_path / "root/data/link").symlink_to(tmp_path / "elsewhere/x")
    (tmp_path / "root/gt/link").symlink_to(tmp_path / "elsewhere/y")
    (tmp_path / "root/data/circle").symlink_to(tmp_path / "root/data")
    (tmp_path / "root/data/dangling.png").symlink_to(tmp_path / "nothing.png")
    source = Folder(root, "data/**/{name}.png", "gt/**/{name}.png", **RATIO)
    with pytest.raises(UnpairedError, match=r"1 image\(s\) without mask: \S*dangling\.png"):
        names(source)
    (tmp_path / "root/gt/dangling.png").symlink_to(tmp_path / "nothing.png")
    found = {record.name: record for split in SPLITS for record in source.records(split)}
    assert sorted(found) == ["dangling", "p0", "p1", "q0", "q1"]
    with pytest.raises(DataError, match=r"dangling\.png: cannot be read \(No such file"):
        source.read(found["dangling"])


def test_two_files_of_one_name_are_refused_with_a_remedy(tmp_path: Path) -> None:
    root = pairs(tmp_path, 1, "img/a/000{}.png", "msk/000{}.png")
    put(tmp_path / "img/b/0000.png", IMAGE)
    with pytest.raises(DataError, match=r"has the same name '0000' as .*column name.*data\.table"):
        Folder(root, "img/*/{name}.png", "msk", **RATIO).records("train")


def test_hidden_files_pipes_and_folders_are_not_images(tmp_path: Path) -> None:
    root = pairs(tmp_path, 4)
    put(tmp_path / "img" / "._p0.png", IMAGE)
    put(tmp_path / "msk" / ".ipynb_checkpoints" / "p0-checkpoint.png", MASK)
    (tmp_path / "img" / "folder.png").mkdir()
    os.mkfifo(tmp_path / "img" / "pipe.png")
    for images, masks in (("img", "msk"), ("img/**/{name}.png", "msk/**/{name}.png")):
        assert names(Folder(root, images, masks, **RATIO)) == ["p0", "p1", "p2", "p3"]


def test_a_missing_test_split_is_answered_with_what_to_do(tmp_path: Path) -> None:
    for split in ("train", "val"):
        pairs(tmp_path, 1, f"{split}/p{{}}.png", f"{split}_m/p{{}}.png")
    source = Folder(str(tmp_path), "{split}", "{split}_m", **TWO)
    with pytest.raises(DataError, match=r"no such folder.*splits=\{test: val\}.*selection"):
        source.records("test")
    with pytest.raises(DataError) as caught:
        Folder(str(tmp_path), "{split}", "{split}_m", splits={"val": "x"}, **TWO).records("val")
    assert "data.splits" not in str(caught.value)
    lists = {"train": "a.txt", "val": "b.txt"}
    for file in lists.values():
        (tmp_path / file).write_text("p0\n")
    with pytest.raises(DataError, match=r"no 'test'.*val's list"):
        Folder(str(tmp_path), "train", "train_m", lists=lists, **TWO).records("test")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("p1", "p1"),
        ("p1.png", "p1"),
        ("img/p1.png", "p1"),
        ("/old/home/img/p1.JPG /old/home/msk/p1.png", "p1"),
        ("img/p1.png msk/p0.png", "p1"),
        ("/img/p1.png /msk/p0.png", "p1"),
        ("photo (1)", "photo (1)"),
        ("photo (1).png", "photo (1)"),
        ("v1.2", "v1.2"),
        ("img\\p1.png", "p1"),
        ("p1.old", None),  # not the image p1
        ("p1 copy", None),
        ("other/p1.png", None),  # of another folder of this set
        ("p1 -1", None),
    ],
)
def test_a_line_of_a_list_matches_its_own_file_or_none(
    tmp_path: Path, line: str, expected: str | None
) -> None:
    known = {n: tmp_path / "img" / f"{n}.png" for n in ("p0", "p1", "photo (1)", "v1.2")}
    known["z"] = tmp_path / "other" / "z.png"
    (tmp_path / "list.txt").write_text(line + "\n")
    if expected is None:
        with pytest.raises(DataError, match=r"1 line\(s\) do not name an image"):
            read_list(tmp_path, "list.txt", known)
    else:
        assert read_list(tmp_path, "list.txt", known) == [expected]


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/home/me/x", "\\\\server\\x", "..\\x", "C:\\x", "a\x1b[2Jb", "a//b",
     "a/", "./a", "..", "x" * 2000],
)  # fmt: skip
def test_names_in_a_table_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    root = pairs(tmp_path, 1)
    table = f'image,mask,split,name\nimg/p0.png,msk/p0.png,test,"{name}"\n'
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(DataError, match=r"t\.csv: the name .*Files are named after it"):
        Folder(root, table="t.csv", **TWO).records("test")


def test_names_in_a_table_may_have_folders_and_any_characters(tmp_path: Path) -> None:
    root = pairs(tmp_path, 1)
    for name in ("city/frame 01", "道路", "a..b", "x=1, (y)"):
        (tmp_path / "t.csv").write_text(
            f'image,mask,split,name\nimg/p0.png,msk/p0.png,test,"{name}"\n'
        )
        assert Folder(root, table="t.csv", **TWO).records("test")[0].name == name


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"classes": ["a", "a"]}, "the same name twice: a"),
        ({"colors": [[0, 0, 0], [0, 0, 0]]}, "the same color twice"),
        ({"colors": [[1, 2, 3]]}, "2 names but 1 colors"),
        ({"colors": [[0, 0], [1, 1]]}, r"\[0, 0\] is not a color"),
        ({"colors": ["red", "blue"]}, "red is not a color"),
        ({"colors": [[0, 0, 300], [1, 1, 1]]}, "is not a color"),
        ({"colors": [[0.5, 0, 0], [1, 1, 1]]}, "is not a color"),
        ({"void_color": [1, 2]}, "is not a color"),
        ({"colors": [[0, 0, 0], [9, 9, 9]], "void_color": [9, 9, 9]}, "the same color twice"),
        ({"classes": [f"c{i}" for i in range(256)]}, "ignore_index 255 must lie between"),
        ({"classes": ["a", "ignore"]}, "cannot be called 'ignore'"),
        ({"label_map": {"a": ["x"], "b": [1]}}, "x is not a label"),
        ({"label_map": {"a": 0, "b": [1]}}, "a: 0 is not a list"),
        ({"label_map": {"a": [-1], "b": [1]}}, "-1 is not a label"),
        ({"label_map": {"a": [70000], "b": [1]}}, "70000 is not a label"),
        ({"label_map": "auto", "ignore_values": ["x"]}, "x is not a label"),
        ({"group_regex": "("}, r"group_regex '\('"),
        ({"images": "img", "ratio": [1.2, -0.1, -0.1]}, "shares of 0 or more"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(arguments: dict, problem: str) -> None:
    defaults = {"root": ".", "images": "{split}", "masks": "{split}_m", **TWO}
    with pytest.raises(ValueError, match=problem):
        Folder(**{**defaults, **arguments})


def test_a_void_color_is_found_for_any_class_colors() -> None:
    taken = [[0, 0, 0], [255, 255, 255], [255, 0, 255], [1, 1, 1]]
    source = Folder(".", "{split}", "{split}_m", classes=list("abcd"), colors=taken)
    assert source.classes.void_color not in source.classes.colors
