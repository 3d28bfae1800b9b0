"""A training set with fewer than two classes is refused before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segbench.data.balance import check_trainable
from segbench.data.cache import MemoryFrames
from segbench.data.classes import ClassSet
from segbench.data.datamodule import SegmentationData
from segbench.data.fingerprint import fingerprint
from segbench.data.sources.folder import Folder
from segbench.data.sources.streets import Streets
from segbench.errors import DataError
from tests.data.writers import save

CLASSES = ClassSet(("background", "thing"), ((0, 0, 0), (255, 0, 0)), void_color=(9, 9, 9))
IMAGE = np.zeros((2, 2, 3), np.uint8)


def frames(*masks: list[int]) -> MemoryFrames:
    return MemoryFrames([(IMAGE, np.array(mask, np.uint8).reshape(1, -1)) for mask in masks])


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([[255, 255], [255, 255]], "the training set has no labels"),
        (
            [[0, 255], [255, 255]],
            "is 'background'. The rest is ignored. Are these binary masks of 0 and 255",
        ),
        ([[0, 0], [0, 0]], "is 'background', so there is nothing to learn"),
        ([[1, 255], [1, 1]], "is 'thing', so there is nothing to learn"),
    ],
)
def test_a_single_class_is_refused(masks: list[list[int]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_trainable(frames(*masks), CLASSES)


def test_two_classes_are_enough_and_no_more_is_read_than_needed() -> None:
    class Watched(MemoryFrames):
        reads = 0

        def read(self, index: int):
            Watched.reads += 1
            return super().read(index)

    watched = Watched(frames([255, 255], [0, 255], [1, 1], [0, 1], [0, 1])._arrays)
    check_trainable(watched, CLASSES)
    assert Watched.reads == 3


def test_training_is_refused_before_its_first_step(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for number in range(2):
            save(tmp_path / split / f"{number}.png", np.zeros((4, 4, 3), np.uint8))
            save(tmp_path / f"{split}_m" / f"{number}.png", np.full((4, 4), 255, np.uint8))
    source = Folder(str(tmp_path), "{split}", "{split}_m", classes=["a", "b"])
    data = SegmentationData(source, 0, cache="none", num_workers=0)
    with pytest.raises(DataError, match="the training set has no labels"):
        data.records("train")
    assert len(data.records("val")) == 2  # unlabeled splits other than train are allowed


@pytest.mark.parametrize(
    "text", ["", "zz/../../x\n", "0123456789ABCDEF", "0123456789abcdef\n", "0" * 15, "é" * 16]
)
def test_a_damaged_fingerprint_cache_is_computed_again(tmp_path: Path, text: str) -> None:
    source = Streets((32, 32), 2, 1, 1)
    records = source.records("train")
    true = fingerprint(source, records, tmp_path)
    (memo,) = tmp_path.iterdir()
    memo.write_text(text)
    assert fingerprint(source, records, tmp_path) == true
    assert memo.read_text() == true
    assert list(tmp_path.iterdir()) == [memo]  # no draft is left behind
    memo.write_text("0123456789abcdef")
    assert fingerprint(source, records, tmp_path) == "0123456789abcdef"  # it is used at all
