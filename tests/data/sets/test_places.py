"""A data set that is incomplete, or in another folder, is reported with what to do."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from segbench import check_data
from segbench.config.compose import compose_checked, register
from segbench.data.check import check
from segbench.data.sources.place import data_sets_in
from segbench.errors import DataError
from tests.data.sets.known import SETS, source_of


@pytest.mark.parametrize("name", ["ade20k", "acdc", "voc2012", "chase_db1"])
def test_the_folder_to_name_is_found_when_the_root_is_another(name: str, tmp_path: Path) -> None:
    right = tmp_path / "data" / "unpacked"
    SETS[name].write(right)
    below = [path for path in (right / "images", right / "images" / "training") if path.is_dir()]
    for wrong in (tmp_path / "data", tmp_path, *below):
        with pytest.raises(DataError) as caught:
            source_of(name, wrong).records("train")
        assert f"data.root={right}" in str(caught.value)


def test_a_partly_unpacked_archive_is_reported_with_what_is_missing(tmp_path: Path) -> None:
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


def test_a_set_without_training_images_is_reported(tmp_path: Path) -> None:
    SETS["nightdriving"].write(tmp_path)
    with pytest.raises(DataError, match="no train images, only test: it is for evaluating"):
        source_of("nightdriving", tmp_path).records("train")


def test_the_check_explains_how_to_get_a_missing_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register()
    words = ["data=ade20k", f"data.root={tmp_path}/nowhere", f"output={tmp_path}/report"]
    config = compose_checked("check_data", words)
    HydraConfig.instance().set_config(config)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert check_data.main(own) == 2
    printed = capsys.readouterr().out
    for part in (
        "data=ade20k",
        "20,210",
        "ADEChallengeData2016.zip",
        "BSD 3-Clause",
        "1. Download",
    ):
        assert part in printed
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("there", sorted(set(SETS) - {"voc2012_aug"}))
def test_another_data_set_in_the_folder_is_named(there: str, tmp_path: Path) -> None:
    SETS[there].write(tmp_path)
    assert there in data_sets_in(tmp_path)
    wanted = "ade20k" if there != "ade20k" else "voc2012"
    split = "train" if "train" in SETS[wanted].files else "test"
    with pytest.raises(DataError, match=rf"looks like .*data={there}\b"):
        source_of(wanted, tmp_path).records(split)
