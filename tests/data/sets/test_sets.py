"""Every data set of conf/data that is described by its YAML alone reads its own layout."""

from __future__ import annotations

import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from segbench.artifacts.build import build_source
from segbench.config import config_dir
from segbench.config.compose import compose_checked, register
from segbench.data.about import KEYS, OPTIONAL_KEYS, card
from segbench.data.check import check
from segbench.data.dataset import SPLITS
from segbench.data.sources.folder import Folder
from segbench.errors import DataError
from tests.data.sets.aerial import AERIAL
from tests.data.sets.driving import DRIVING, KITTI_VAL
from tests.data.sets.layouts import save
from tests.data.sets.scenes import SCENES

SETS = {**SCENES, **DRIVING, **AERIAL}
DESCRIBED = sorted(
    file.stem
    for file in (config_dir() / "data").glob("*.yaml")
    if (yaml.safe_load(file.read_text()) or {}).get("about")
)


@cache
def config_of(name: str) -> dict[str, Any]:
    register()
    config: Any = OmegaConf.to_container(
        compose_checked("check_data", [f"data={name}"]).data, resolve=True
    )
    return config


def source_of(name: str, root: Path) -> Folder:
    source: Folder = build_source({**config_of(name), **SETS[name].config, "root": str(root)})
    return source


def test_every_described_set_is_tested() -> None:
    assert sorted(SETS) == DESCRIBED


@pytest.mark.parametrize("name", SETS)
def test_a_set_reads_its_own_layout(name: str, tmp_path: Path) -> None:
    layout = SETS[name]
    truth = layout.write(tmp_path)
    source = source_of(name, tmp_path)
    findings, statistics = check(source)
    assert [f.message for f in findings if f.severity == "error"] == []
    assert source.absent == layout.absent
    assert sorted(statistics) == sorted(set(SPLITS) - set(layout.absent))
    for split, files in layout.files.items():
        records = source.records(split)
        found = [
            (r.image.relative_to(tmp_path).as_posix(), r.mask.relative_to(tmp_path).as_posix())
            for r in records
            if r.image and r.mask
        ]
        assert found == files
        if split in layout.names:
            assert [r.name for r in records] == layout.names[split]
        groups = layout.groups.get(split)
        if groups is None:
            assert len({r.group for r in records}) == len(records)
        else:
            assert [r.group for r in records] == groups
        for record, (_, mask) in zip(records, files, strict=True):
            np.testing.assert_array_equal(source.read(record)[1], truth[mask])


@pytest.mark.parametrize("name", SETS)
def test_classes_and_colors_of_a_set(name: str) -> None:
    layout, classes = SETS[name], source_of(name, Path("nowhere")).classes
    assert classes.num_classes == layout.classes
    for class_id, (class_name, color) in layout.table.items():
        assert classes.names[class_id] == class_name
        assert color is None or classes.colors[class_id] == color


@pytest.mark.parametrize("name", SETS)
def test_masks_of_the_wrong_kind_are_named(name: str, tmp_path: Path) -> None:
    layout = SETS[name]
    split, files = next(iter(layout.files.items()))
    truth = layout.write(tmp_path)
    source = source_of(name, tmp_path)
    save(tmp_path / files[0][1], layout.fault(truth[files[0][1]]))
    with pytest.raises(DataError, match=f"(?s){layout.named}"):
        source.read(source.records(split)[0])


@pytest.mark.parametrize("name", DESCRIBED)
def test_splits_that_are_listed_by_name_are_whole(name: str) -> None:
    lists = config_of(name)["lists"] or {}
    images = config_of(name)["about"]["images"]
    named = {split: names for split, names in lists.items() if isinstance(names, list)}
    assert {split: len(names) for split, names in named.items()} == {
        split: images[split] for split in named
    }
    distinct = {tuple(sorted(names)) for names in named.values()}  # test may be val
    assert len({name for names in distinct for name in names}) == sum(map(len, distinct))


def test_kitti_is_divided_as_in_mseg() -> None:
    lists = config_of("kitti")["lists"]
    val = {f"{int(number):06d}_10" for number in KITTI_VAL.split()}
    assert set(lists["val"]) == set(lists["test"]) == val
    assert set(lists["train"]) == {f"{n:06d}_10" for n in range(200)} - val


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_set_is_described_in_full(name: str) -> None:
    about = config_of(name)["about"]
    assert set(KEYS) <= set(about) <= {*KEYS, *OPTIONAL_KEYS}
    assert len(about["sources"]) >= 2
    assert set(about["images"]) == set(SPLITS)
    text = card(name, config_of(name))
    for part in (about["title"], about["licence"], *about["get"], f"data={name} data.root="):
        assert part.strip() in text


def test_the_folder_to_name_is_found_when_the_root_is_another(tmp_path: Path) -> None:
    right = tmp_path / "data" / "ADEChallengeData2016"
    SETS["ade20k"].write(right)
    for wrong in (tmp_path / "data", tmp_path, right / "images", right / "images" / "training"):
        with pytest.raises(DataError) as caught:
            source_of("ade20k", wrong).records("train")
        assert f"data.root={right}" in str(caught.value)


def test_half_an_archive_is_named_with_what_is_missing(tmp_path: Path) -> None:
    SETS["ade20k"].write(tmp_path)
    shutil.rmtree(tmp_path / "annotations" / "validation")
    source = source_of("ade20k", tmp_path)
    assert len(source.records("train")) == 3
    with pytest.raises(
        DataError, match=r"missing annotations/validation of ADE20K.*Only images/val"
    ):
        source.records("val")
    shutil.rmtree(tmp_path / "annotations")
    with pytest.raises(
        DataError, match=r"(?s)Found: images/.*Expected layout.*ADEChallengeData2016"
    ):
        source.records("train")


def test_a_missing_split_list_is_named(tmp_path: Path) -> None:
    SETS["voc2012"].write(tmp_path)
    (tmp_path / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(DataError, match=r"missing ImageSets/Segmentation/val\.txt of PASCAL VOC"):
        source_of("voc2012", tmp_path).records("val")


def test_fewer_images_than_published_are_a_warning(tmp_path: Path) -> None:
    SETS["ade20k"].write(tmp_path)
    kinds = defaultdict(list)
    for finding in check(source_of("ade20k", tmp_path))[0]:
        kinds[finding.kind].append(finding)
    found = {f.split: f for f in kinds["incomplete"]}
    assert sorted(found) == ["test", "train", "val"]
    assert "3 images, but ADE20K" in found["train"].message
    assert "20,210" in found["train"].message
    assert found["train"].severity == "warning"
