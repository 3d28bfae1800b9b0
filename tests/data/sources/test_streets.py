"""The built-in streets: reproducible, not solvable by color alone, without leaks between splits."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from segbench.data.dataset import Record
from segbench.data.sources.street_scene import shapes
from segbench.data.sources.streets import CLASSES, SPLITS, Streets
from segbench.errors import DataError

SMALL = (72, 96)


def digest(source: Streets, split: str, index: int) -> str:
    image, mask = source.read(source.records(split)[index])
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def frames() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    source = Streets(size=SMALL, train=96, val=32, test=48)
    return {split: [source.read(r) for r in source.records(split)] for split in SPLITS}


def test_a_frame_depends_only_on_seed_split_and_position():
    first = Streets(size=SMALL)
    later = Streets(size=SMALL, train=40, val=3, test=2000)
    for index in (17, 3, 17):  # neither the order of reading nor other frames matter
        assert digest(first, "train", index) == digest(later, "train", index)
    seen = {digest(first, split, index) for split in SPLITS for index in range(3)}
    seen.add(digest(Streets(size=SMALL, seed=1), "train", 0))
    assert len(seen) == 10


def test_another_process_draws_the_same_bits():
    code = (
        "import hashlib; from segbench.data.sources.streets import Streets;"
        "s = Streets(size=(72, 96));"
        "i, m = s.read(s.records('val')[9]);"
        "print(hashlib.sha256(i.tobytes() + m.tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(Streets(size=SMALL), "val", 9)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (53, 37), (720, 960), (64, 512)])
def test_any_size(size: tuple[int, int]):
    source = Streets(size=size)
    image, mask = source.read(source.records("test")[5])
    assert image.shape == (*size, 3)
    assert mask.shape == size
    assert image.dtype == mask.dtype == np.uint8
    assert image.flags.c_contiguous
    assert mask.flags.c_contiguous
    CLASSES.check(mask)


def test_the_size_changes_the_resolution_but_not_the_scene():
    record = Streets().records("train")[0]
    _, small = Streets(size=(90, 120)).read(record)
    _, large = Streets(size=(360, 480)).read(record)
    shrunk = cv2.resize(large, (120, 90), interpolation=cv2.INTER_NEAREST)
    assert (small == shrunk).mean() > 0.9


def test_class_set_is_camvid_and_matches_the_ids_of_the_painter():
    assert CLASSES.num_classes == 11
    assert CLASSES.ignore_index == shapes.VOID
    for name in ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "Fence", "Car"):
        assert CLASSES.names[getattr(shapes, name.upper())] == name
    assert CLASSES.names[shapes.SIGN] == "SignSymbol"
    assert CLASSES.names[shapes.PEDESTRIAN] == "Pedestrian"
    assert CLASSES.names[shapes.BICYCLIST] == "Bicyclist"


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_shows_every_class_and_some_void(frames, split: str):
    masks = np.stack([mask for _, mask in frames[split]])
    CLASSES.check(masks)
    assert set(np.unique(masks)) == {*range(CLASSES.num_classes), CLASSES.ignore_index}


def test_class_shares_are_those_of_a_street(frames):
    masks = np.stack([mask for split in SPLITS for _, mask in frames[split]])
    share = dict(
        zip(CLASSES.names, np.bincount(masks.ravel(), minlength=256) / masks.size, strict=False)
    )
    assert 0.25 < share["Road"] < 0.45
    assert 0.15 < share["Building"] < 0.35
    assert 0.10 < share["Sky"] < 0.25
    assert all(0.002 < share[name] < 0.025 for name in ("Pole", "Pedestrian", "Bicyclist"))
    assert (masks == CLASSES.ignore_index).mean() < 0.06


def test_records_are_ordered_grouped_and_disjoint_between_splits():
    source = Streets(train=20, val=5, test=9, frames_per_drive=8)
    records = {split: source.records(split) for split in SPLITS}
    assert [len(records[split]) for split in SPLITS] == [20, 5, 9]
    assert [r.group for r in records["train"]] == sorted(r.group for r in records["train"])
    assert [r.index for r in records["train"]] == list(range(20))
    assert [len({r.group for r in records[split]}) for split in SPLITS] == [3, 1, 2]
    names = [record.name for split in SPLITS for record in records[split]]
    assert len(set(names)) == len(names)
    groups = [{record.group for record in records[split]} for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_frames_of_a_drive_resemble_each_other():
    source = Streets(size=SMALL, train=64, frames_per_drive=8)
    images, masks = zip(*(source.read(r) for r in source.records("train")), strict=True)
    color = np.stack([image.mean((0, 1)) for image in images])
    mask = np.stack(masks)
    drive = np.arange(64) // 8
    same = (drive[:, None] == drive) & ~np.eye(64, dtype=bool)
    other = drive[:, None] != drive
    far = np.linalg.norm(color[:, None] - color, axis=-1)
    agree = (mask[:, None] == mask).mean((2, 3))
    assert far[same].mean() < 0.5 * far[other].mean()
    assert agree[same].mean() > agree[other].mean() + 0.05


def test_a_drive_moves_and_near_frames_resemble_each_other_more():
    source = Streets(size=SMALL, frames_per_drive=20)
    masks = [source.read(record)[1] for record in source.records("train")[:20]]
    agree = [
        np.mean([(a == b).mean() for a, b in zip(masks, masks[gap:], strict=False)])
        for gap in (1, 8)
    ]
    assert 1 > agree[0] > agree[1]


def test_color_alone_does_not_solve_it(frames):
    """Naive Bayes on a 16^3 color histogram, the optimum of a per-pixel color rule."""

    def bins(images: np.ndarray) -> np.ndarray:
        r, g, b = np.moveaxis(images.astype(np.int64) >> 4, -1, 0)
        return (r << 8) | (g << 4) | b

    (images, masks), (test_images, test_masks) = (
        [np.stack(part) for part in zip(*frames[split], strict=True)] for split in ("train", "test")
    )
    known = masks != CLASSES.ignore_index
    count = np.zeros((16**3, CLASSES.num_classes))
    np.add.at(count, (bins(images)[known], masks[known]), 1)
    known = test_masks != CLASSES.ignore_index
    for prior in (np.ones(CLASSES.num_classes), 1 / count.sum(0)):
        pred = (count * prior).argmax(1)[bins(test_images)]
        matrix = np.zeros((CLASSES.num_classes, CLASSES.num_classes), np.int64)
        np.add.at(matrix, (test_masks[known], pred[known]), 1)
        iou = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
        assert 0.03 < iou.mean() < 0.35


def test_the_source_can_be_pickled_and_has_a_fingerprint_key():
    source = Streets(size=SMALL, seed=3)
    assert digest(pickle.loads(pickle.dumps(source)), "test", 1) == digest(source, "test", 1)
    assert source.fingerprint_key() == Streets(size=SMALL, seed=3).fingerprint_key()
    assert source.fingerprint_key() != Streets(size=SMALL, seed=4).fingerprint_key()


def test_bad_arguments_are_all_named():
    with pytest.raises(DataError, match=r"size.*frames_per_drive.*seed"):
        Streets(size=(0, 10), frames_per_drive=0, seed=-1)
    with pytest.raises(DataError, match="no split 'trian': choose one of train, val, test"):
        Streets().records("trian")
    with pytest.raises(DataError, match="record 'frame7' is not one of data=streets"):
        Streets().read(Record("frame7", "somewhere"))
