"""Volumes, outlines and Hugging Face data sets: the same values as from the libraries."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.data import volumes
from segbench.data.check import check
from segbench.data.extras import needed
from segbench.data.fingerprint import fingerprint
from segbench.data.sources.folder import Folder
from segbench.data.sources.huggingface import HuggingFace
from segbench.errors import ConfigError, DataError
from tests.data.writers import save


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, extra in (("nibabel", "medical"), ("rasterio", "geo"), ("datasets", "hf")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=rf"needs the package {module} .*segbench\[{extra}\]"):
            needed(module, extra, "this")


def write_volumes(root: Path, affine: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Three volumes of different depth, with masks; returns their content in RAS+."""
    nibabel = pytest.importorskip("nibabel", reason="the extra medical is not installed")
    affine = np.diag([-1.0, 2.0, 1.0, 1.0]) if affine is None else affine  # LAS
    found = {}
    for number, depth in enumerate((2, 3, 4)):
        rng = np.random.default_rng(number)
        values = rng.integers(-500, 1500, (8, 6, depth)).astype(np.int16)
        labels = (values > 500).astype(np.uint8)
        for kind, array in (("image", values), ("mask", labels)):
            path = root / kind / f"case{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, affine), path)
        found[f"case{number}"] = values[::-1]  # from left to right
    return found


def of_volumes(root: Path, **options: Any) -> Folder:
    given = {"classes": ["air", "body"], "channels": 1, "value_range": [-500, 1500]}
    return Folder(
        str(root), "image/{name}.nii.gz", "mask/{name}.nii.gz",
        ratio=[0.4, 0.3, 0.3], **(given | options),
    )  # fmt: skip


def test_slices_of_volumes_are_images_and_the_volume_is_their_group(tmp_path: Path) -> None:
    stored = write_volumes(tmp_path)
    source = of_volumes(tmp_path)
    names = []
    for split in ("train", "val", "test"):
        records = source.records(split)
        assert len({record.group for record in records}) == 1
        for record in records:
            volume, _, part = record.name.partition("_")
            image, mask = source.read(record)
            expected = np.rot90(stored[volume][:, :, int(part)])
            assert image.dtype == np.float32
            np.testing.assert_array_equal(image[..., 0], expected)
            np.testing.assert_array_equal(mask, expected > 500)
            names.append(record.name)
    assert len(names) == len(set(names)) == 2 + 3 + 4
    sagittal = of_volumes(tmp_path, slice_axis=0)
    assert sum(len(sagittal.records(s)) for s in ("train", "val", "test")) == 3 * 8
    assert sagittal.fingerprint_key() != source.fingerprint_key()
    findings, _ = check(of_volumes(tmp_path))
    assert not [f for f in findings if f.severity == "error"]


def test_labels_keep_the_position_of_the_volume(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    oblique = np.array([[0, 0, 3.0, 5], [-2.0, 0, 0, 7], [0, 1.5, 0, 9], [0, 0, 0, 1]])
    for number, affine in enumerate((None, oblique, np.diag([1.0, -1, -1, 1]))):
        root = tmp_path / str(number)
        write_volumes(root, affine)
        file = root / "mask" / "case1.nii.gz"
        for axis in volumes.AXES:
            count = volumes.count_slices(file, axis)
            slices = np.stack([volumes.read_slice(file, i, axis).values for i in range(count)])
            volumes.write_volume(root / "out.nii.gz", file, slices, axis)
            written, original = nibabel.load(root / "out.nii.gz"), nibabel.load(file)
            np.testing.assert_array_equal(written.affine, original.affine)
            np.testing.assert_array_equal(
                np.asanyarray(written.dataobj), np.asanyarray(original.dataobj)
            )


def test_a_damaged_volume_is_named(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    (tmp_path / "image" / "case0.nii.gz").write_bytes(b"\x1f\x8b and nothing more")
    file = tmp_path / "image" / "case0.nii.gz"
    with pytest.raises(DataError, match=r"case0\.nii\.gz: cannot be read as a NIfTI volume"):
        volumes.count_slices(file, 2)


SIZE = (30, 40)


def coco_file(root: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    polygons = [[5.0, 4.0, 30.5, 6.0, 22.0, 25.0], [1, 1, 8, 1, 8, 9, 1, 9]]
    content: dict[str, Any] = {
        "images": [], "annotations": [],
        "categories": [{"id": 7, "name": "cell"}, {"id": 9, "name": "crowd"}],
    }  # fmt: skip
    for split, number in (("train", 0), ("train", 1), ("val", 2), ("test", 3)):
        name = f"im{number}.png"
        save(root / split / name, rng.integers(0, 255, (*SIZE, 3), np.uint8))
        content["images"].append(
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        )
        runs = {"size": list(SIZE), "counts": [200, 90, SIZE[0] * SIZE[1] - 290]}
        for shape, category, crowd in ((polygons, 7, 0), (runs, 9, 1)):
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": number, "category_id": category,
                 "segmentation": shape, "iscrowd": crowd, "area": 1, "bbox": [0, 0, 1, 1]}
            )  # fmt: skip
    (root / "all.json").write_text(json.dumps(content))
    return content


def test_masks_of_coco_are_those_of_ann_to_mask(tmp_path: Path) -> None:
    coco_api = pytest.importorskip("pycocotools.coco", reason="the extra coco is not installed")
    content = coco_file(tmp_path)
    source = Folder(
        str(tmp_path), "{split}/{name}.png", "all.json", mask_type="coco",
        classes=["background", "cell", "crowd"],
    )  # fmt: skip
    with pytest.raises(DataError, match="without image"):  # one file for all splits
        source.records("train")
    lists = {"train": ["im0", "im1"], "val": ["im2"], "test": ["im3"]}
    source = Folder(
        str(tmp_path), "**/{name}.png", "all.json", mask_type="coco", lists=lists,
        classes=["background", "cell", "crowd"],
    )  # fmt: skip
    api = coco_api.COCO()
    api.dataset = content
    api.createIndex()
    for record in source.records("train") + source.records("val"):
        _, mask = source.read(record)
        number = int(record.name.removeprefix("im"))
        expected = np.zeros(SIZE, np.uint8)
        for one in api.loadAnns(api.getAnnIds(imgIds=number)):
            expected[api.annToMask(one) > 0] = {7: 1, 9: 2}[one["category_id"]]
        np.testing.assert_array_equal(mask, expected)
        assert set(np.unique(mask).tolist()) == {0, 1, 2}
    ignoring = Folder(
        str(tmp_path), "**/{name}.png", "all.json", mask_type="coco", lists=lists,
        classes=["cell", "crowd"],
    )  # fmt: skip
    _, mask = ignoring.read(ignoring.records("val")[0])
    assert set(np.unique(mask).tolist()) == {0, 1, 255}
    wrong = Folder(
        str(tmp_path), "**/{name}.png", "all.json", mask_type="coco", lists=lists,
        classes=["background", "cell"],
    )  # fmt: skip
    with pytest.raises(DataError, match=r"class 'crowd' is not in data\.classes"):
        wrong.read(wrong.records("val")[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": None}, "not a COCO instances file"),
        ({"categories": [{"id": 7, "name": "cell"}]}, "unknown category 9"),
        ("[", "is not JSON"),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, change: Any, words: str) -> None:
    pytest.importorskip("pycocotools")
    content = coco_file(tmp_path)
    text = change if isinstance(change, str) else json.dumps(content | change)
    (tmp_path / "all.json").write_text(text)
    source = Folder(
        str(tmp_path), "**/{name}.png", "all.json", mask_type="coco",
        lists={"train": ["im0"]}, classes=["background", "cell", "crowd"],
    )  # fmt: skip
    with pytest.raises(DataError, match=words):
        source.read(source.records("train")[0])


def test_shapes_of_labelme(tmp_path: Path) -> None:
    masks = pytest.importorskip("pycocotools.mask", reason="the extra coco is not installed")
    polygon = [[5.0, 4.0], [30.5, 6.0], [22.0, 25.0]]
    shapes = [
        {"label": "cell", "points": polygon, "shape_type": "polygon"},
        {"label": "box", "points": [[2, 20], [10, 28]], "shape_type": "rectangle"},
        {"label": "box", "points": [[33, 20], [33, 24]], "shape_type": "circle"},
    ]
    for split in ("train", "val", "test"):
        save(tmp_path / split / "a.png", np.zeros((*SIZE, 3), np.uint8))
        text = json.dumps({"imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": shapes})
        (tmp_path / split / "a.json").write_text(text)
    source = Folder(
        str(tmp_path), "{split}/{name}.png", "{split}/{name}.json", mask_type="labelme",
        classes=["background", "cell", "box"],
    )  # fmt: skip
    (record,) = source.records("train")
    _, mask = source.read(record)
    runs = masks.frPyObjects([[v for point in polygon for v in point]], *SIZE)
    np.testing.assert_array_equal(mask == 1, masks.decode(masks.merge(runs)) > 0)
    assert (mask[21:27, 3:9] == 2).all()
    assert mask[20, 33] == 2
    assert 35 < (mask[:, 28:] == 2).sum() < 60  # pi * 4^2
    assert pickle.loads(pickle.dumps(source)).read(record)[1].shape == SIZE
    bad = {"label": "cell", "points": [[1, 1], [2, 2]], "shape_type": "line"}
    (tmp_path / "train" / "a.json").write_text(
        json.dumps({"imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": [bad]})
    )
    with pytest.raises(DataError, match="of type line, which has no area"):
        source.read(record)
    (tmp_path / "train" / "a.json").write_text(
        json.dumps({"imageHeight": 9, "imageWidth": 9, "shapes": []})
    )
    with pytest.raises(DataError, match=r"says that a\.png is 9x9, but the file is 40x30"):
        source.read(record)


def png_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra hf is not installed")
    rng = np.random.default_rng(0)
    stored: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    parts = {}
    for split, count in (("train", 4), ("validation", 2), ("test", 2)):
        pairs = [
            (rng.integers(0, 65536, (9, 7), np.uint16), rng.integers(1, 4, (9, 7), np.uint8))
            for _ in range(count)
        ]
        stored[split] = pairs
        rows = {
            "picture": [{"bytes": png_bytes(image), "path": None} for image, _ in pairs],
            "labels": [{"bytes": png_bytes(mask), "path": None} for _, mask in pairs],
            "id": [f"case-{i}" for i in range(count)],  # repeated in every split
            "patient": [i // 2 for i in range(count)],
        }
        kinds = datasets.Features(
            {"picture": datasets.Image(), "labels": datasets.Image(),
             "id": datasets.Value("string"), "patient": datasets.Value("int64")}
        )  # fmt: skip
        parts[split] = datasets.Dataset.from_dict(rows, features=kinds)
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
    options: dict[str, Any] = {
        "image": "picture", "mask": "labels", "name": "id", "group": "patient", "channels": 1,
        "value_range": [0, 65535], "label_map": {"a": [1], "b": [2], "ignore": [3]},
    }  # fmt: skip
    source = HuggingFace(str(tmp_path / "set"), **options)
    for split, theirs in (("train", "train"), ("val", "validation"), ("test", "test")):
        for record in source.records(split):
            image, mask = pickle.loads(pickle.dumps(source)).read(record)
            expected, labels = stored[theirs][int(record.name.removeprefix("case-"))]
            np.testing.assert_array_equal(image[..., 0], expected)
            np.testing.assert_array_equal(mask, np.array([9, 0, 1, 255], np.uint8)[labels])
    assert [record.group for record in source.records("train")] == ["0", "0", "1", "1"]
    before = fingerprint(source, source.records("val"))
    again = HuggingFace(str(tmp_path / "set"), **options)
    assert fingerprint(again, again.records("val")) == before
    with pytest.raises(DataError, match=r"no column 'mask' .*picture, labels, id, patient"):
        HuggingFace(str(tmp_path / "set"), image="picture", classes=["a"]).records("train")
    with pytest.raises(DataError, match="is not a data set written by save_to_disk"):
        HuggingFace(str(tmp_path), classes=["a"]).records("train")
