"""Images that are in two splits are found by their bytes, and blank ones are not counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segbench.data import overlap
from segbench.data.dataset import Record
from segbench.data.overlap import shared_images
from segbench.system.storage import write_png


class Reader:
    """A source that reads PNGs."""

    def read(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        from PIL import Image

        image = np.asarray(Image.open(str(record.image)))
        return image, image[..., 0]


def image(folder: Path, name: str, value: int | None) -> Record:
    """An image of noise with this seed; with None, a blank one."""
    noise = np.random.default_rng(value).integers(0, 256, (8, 8, 3), np.uint8)
    file = folder / f"{name}.png"
    write_png(file, np.zeros_like(noise) if value is None else noise)
    return Record(name, "g", file)


def names(records: list[Record]) -> list[str]:
    return [record.name for record in records]


def test_copies_are_found_under_any_name(tmp_path: Path) -> None:
    train = [image(tmp_path, f"train{value}", value) for value in (1, 2, 3)]
    test = [image(tmp_path, f"test{value}", value) for value in (3, 4, 1)]
    source: Any = Reader()
    assert names(shared_images(source, test, train)) == ["test3", "test1"]
    assert shared_images(source, test[1:2], train) == []
    assert shared_images(source, train, train) == train


def test_equal_size_and_beginning_are_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "_HEAD", 4)
    source: Any = Reader()
    train, test = image(tmp_path, "a", 1), image(tmp_path, "b", 1)
    data = bytearray(Path(str(test.image)).read_bytes())
    data[-1] ^= 1
    Path(str(test.image)).write_bytes(data)
    assert shared_images(source, [test], [train]) == []


def test_blank_copies_and_generated_images_do_not_count(tmp_path: Path) -> None:
    source: Any = Reader()
    blank, other = image(tmp_path, "a", None), image(tmp_path, "b", None)
    assert shared_images(source, [blank], [other]) == []
    assert shared_images(source, [blank], [blank]) == [blank]  # the same file is no coincidence
    pages = [Record(f"p{i}", "g", blank.image, index=i) for i in range(2)]
    assert shared_images(source, pages, [blank]) == []  # one file of many images
    generated = Record("c", "g")
    assert shared_images(source, [generated], [generated]) == []


def test_slices_of_a_volume_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "v.nii"
    file.write_bytes(b"volume")
    slices = [Record(f"v_{part}", "g", file, part=part) for part in range(3)]
    source: Any = SimpleNamespace()
    assert shared_images(source, slices[:2], slices[1:]) == [slices[1]]
