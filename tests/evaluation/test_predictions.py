"""Label maps from any program are found, read, or refused one by one with a reason."""

import os

import numpy as np
import pytest
from PIL import Image

from segbench.data.classes import ClassSet
from segbench.data.dataset import Record
from segbench.data.sources.cityscapes import CLASSES as CITYSCAPES
from segbench.errors import DataError
from segbench.evaluation.predictions import find_predictions, read_prediction, void_notes

CLASSES = ClassSet(("sky", "road"), ((0, 0, 255), (128, 64, 128)))
IDS = np.array([[0, 1, 255]], np.uint8)


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path) if mode else Image.fromarray(pixels).save(path)
    return path


def test_files_are_matched_by_name_or_prefix(tmp_path):
    records = [Record("berlin_000000_000019", "berlin"), Record("a", "a"), Record("a_b", "a")]
    files = [
        save(tmp_path / "berlin" / "berlin_000000_000019_leftImg8bit.png", IDS),
        save(tmp_path / "a.png", IDS),
        save(tmp_path / "a_b.png", IDS),
    ]
    found, problems = find_predictions(tmp_path, records)
    assert found == dict(enumerate(files))
    assert problems == []


def test_folders_of_a_file_may_be_part_of_the_name(tmp_path):
    names = ["P1/scan", "P2/scan", "P1_other", "scan:1", "CON", "a%3Ab", "50%"]
    stems = ["P1/scan", "P2/scan", "P1/other", "scan%3A1", "%43ON", "a%253Ab", "50%"]
    files = [save(tmp_path / f"{stem}.png", IDS) for stem in stems]
    found, problems = find_predictions(tmp_path, [Record(name, "g") for name in names])
    assert problems == []
    assert found == dict(enumerate(files))


def test_missing_extra_and_double_files_are_all_listed(tmp_path):
    records = [Record("a", "g"), Record("b", "g")]
    save(tmp_path / "a.png", IDS)
    save(tmp_path / "more" / "a.png", IDS)
    save(tmp_path / "c.png", IDS)
    found, problems = find_predictions(tmp_path, records)
    assert list(found) == [0]
    assert len(problems) == 3
    text = "\n".join(problems)
    assert "a: has two predictions, a.png and more/a.png" in text
    assert "b: has no prediction" in text
    assert "c.png: belongs to no image" in text


def test_a_folder_without_label_maps_is_refused(tmp_path):
    with pytest.raises(DataError, match="no label map"):
        find_predictions(tmp_path, [])
    with pytest.raises(DataError, match="no such folder"):
        find_predictions(tmp_path / "x", [])


def test_ids_palette_and_colors_mean_the_same(tmp_path):
    palette = Image.fromarray(IDS).convert("P")
    palette.putpalette(list(range(255, -1, -1)) * 3)
    palette.save(tmp_path / "palette.png")
    files = [
        save(tmp_path / "ids.png", IDS),
        tmp_path / "palette.png",
        save(tmp_path / "color.png", CLASSES.decode(IDS)),
        save(tmp_path / "ids16.png", IDS.astype(np.uint16)),
    ]
    for file in files:
        assert read_prediction(file, CLASSES).tolist() == [[0, 1, 255]], file


def test_cityscapes_label_ids_become_train_ids_and_ignored_ones_void(tmp_path):
    file = save(tmp_path / "a.png", np.array([[7, 33, 29, 0, 255]], np.uint8))
    labels = read_prediction(file, CITYSCAPES, "label_ids")
    assert labels.tolist() == [[0, 18, 255, 255, 255]]


def test_values_of_no_class_are_named(tmp_path):
    file = save(tmp_path / "a.png", np.array([[0, 1, 11, 11]], np.uint8))
    with pytest.raises(DataError, match=r"a\.png: value 11 on 50\.00% .*void_values"):
        read_prediction(file, CLASSES)
    assert read_prediction(file, CLASSES, void_values=[11]).tolist() == [[0, 1, 255, 255]]
    color = save(tmp_path / "c.png", np.full((1, 1, 3), 7, np.uint8))
    with pytest.raises(DataError, match="color that belongs to no class"):
        read_prediction(color, CLASSES)
    with pytest.raises(DataError, match="expects one channel"):
        read_prediction(color, CLASSES, "ids")
    with pytest.raises(DataError, match="one channel where format=color"):
        read_prediction(file, CLASSES, "color")
    with pytest.raises(DataError, match="19 classes of Cityscapes"):
        read_prediction(file, CLASSES, "label_ids")


def test_values_that_are_no_labels_are_refused_by_name(tmp_path):
    whole = save(tmp_path / "w.tif", IDS.astype(np.float32))
    assert read_prediction(whole, CLASSES).tolist() == [[0, 1, 255]]
    for name, pixels in (("i", IDS.astype(np.int32) * 1000), ("f", np.full((2, 2), 0.5, "f4"))):
        file = save(tmp_path / f"{name}.tif", pixels)
        with pytest.raises(DataError, match=rf"{name}\.tif: "):
            read_prediction(file, CLASSES)
    damaged = tmp_path / "d.tif"
    damaged.write_bytes(whole.read_bytes()[:8] + b"\xff" * 100)
    with pytest.raises(DataError, match=r"d\.tif: "):
        read_prediction(damaged, CLASSES)


def test_formats_without_loss_are_read_and_hidden_files_and_pipes_left_out(tmp_path):
    save(tmp_path / "a.gif", IDS[:, :2])
    np.save(tmp_path / "b.npy", IDS[:, :2])
    save(tmp_path / "c.pgm", IDS[:, :2])
    save(tmp_path / "._a.png", IDS)
    os.mkfifo(tmp_path / "d.png")
    found, problems = find_predictions(tmp_path, [Record(name, "g") for name in "abc"])
    assert problems == []
    for file in found.values():
        assert read_prediction(file, CLASSES).tolist() == [[0, 1]], file


def test_predictions_of_no_class_are_reported():
    matrices = np.zeros((2, 2, 3), np.int64)
    matrices[0] = [[90, 0, 0], [0, 0, 10]]
    (note,) = void_notes(matrices)
    assert note.startswith("10.0 % of the labeled pixels are predicted as 255 (no class)")
    assert "0 and 255?" in note
    matrices[1] = [[0, 50, 0], [0, 50, 0]]
    assert "0 and 255?" not in void_notes(matrices)[0]  # class 1 is predicted too
    matrices[:, :, 2] = 0
    assert void_notes(matrices) == []
    matrices[0, 0] = [10**6, 0, 1]
    assert void_notes(matrices)[0].startswith("fewer than 0.1 %")
