"""Every data set of conf/data that only YAML describes reads its own layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench.artifacts.build import build_source
from segbench.artifacts.licenses import terms
from segbench.artifacts.run_directory import RunDirectory
from segbench.data.about import KEYS, OPTIONAL_KEYS, card
from segbench.data.check import check
from segbench.data.dataset import SPLITS
from segbench.data.fingerprint import fingerprint
from segbench.data.sources.cityscapes import Cityscapes
from segbench.errors import ConfigError, DataError
from tests.conftest import ROOT
from tests.data.sets.driving import KITTI_VAL
from tests.data.sets.known import DESCRIBED, SETS, config_of, source_of
from tests.data.sets.layouts import save


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
def test_the_usual_mistake_with_a_set_is_named(name: str, tmp_path: Path) -> None:
    layout = SETS[name]
    truth = layout.write(tmp_path)
    source = source_of(name, tmp_path)
    first = next(iter(layout.files.values()))[0][1]
    if layout.fault is not None:
        save(tmp_path / first, layout.fault(truth[first]))
    elif (tmp_path / layout.gone).is_dir():
        shutil.rmtree(tmp_path / layout.gone)
    else:
        (tmp_path / layout.gone).unlink()
    with pytest.raises(DataError, match=f"(?s){layout.named}"):
        _ = [source.read(source.records(split)[0]) for split in layout.files]


@pytest.mark.parametrize("name", DESCRIBED)
def test_splits_that_are_listed_by_name_are_complete(name: str) -> None:
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
    for part in (about["title"], about["license"], *about["get"], f"data={name} data.root="):
        assert part.strip() in text


@pytest.mark.parametrize("name", ["acdc", "bdd100k", "dark_zurich", "kitti", "nightdriving"])
def test_checkpoints_of_cityscapes_fit_sets_with_its_classes(name: str) -> None:
    assert source_of(name, Path("nowhere")).classes == Cityscapes("nowhere").classes


def test_eroded_borders_are_ignored(tmp_path: Path) -> None:
    layout = SETS["potsdam"]
    layout.write(tmp_path)
    eroded = "5_Labels_all_noBoundary/top_potsdam_{name}_label_noBoundary.tif"
    for _, mask in layout.files["train"]:
        colors = np.full((24, 32, 3), 255, np.uint8)  # impervious surface
        colors[:, 8:12] = 0
        save(
            tmp_path / eroded.format(name=Path(mask).stem.split("_", 2)[2][: -len("_label")]),
            colors,
        )
    config = {**config_of("potsdam"), "root": str(tmp_path), "masks": eroded}
    source = build_source(config)
    ids = source.read(source.records("train")[0])[1]
    assert (ids[:, 8:12] == 255).all()
    assert (np.delete(ids, range(8, 12), axis=1) == 0).all()


def test_masks_of_several_lesions_are_merged(tmp_path: Path) -> None:
    layout = SETS["busi"]
    truth = layout.write(tmp_path)
    second = np.zeros_like(truth["benign/benign (100)_mask.png"])
    second[:5] = 1
    save(tmp_path / "benign/benign (100)_mask_1.png", layout.paint(second))
    source = source_of("busi", tmp_path)
    records = {record.name: record for split in SPLITS for record in source.records(split)}
    assert len(records) == 6
    expected = np.maximum(truth["benign/benign (100)_mask.png"], second)
    np.testing.assert_array_equal(source.read(records["benign (100)"])[1], expected)
    before = fingerprint(source, list(records.values()))
    save(tmp_path / "benign/benign (100)_mask_1.png", layout.paint(second[::-1]))
    assert fingerprint(source, list(records.values())) != before
    save(tmp_path / "benign/benign (100)_mask_1.png", layout.paint(second)[:9])
    with pytest.raises(DataError, match=r"has another size than .*_mask\.png"):
        source.read(records["benign (100)"])


def test_a_frame_before_the_first_sequence_is_named(tmp_path: Path) -> None:
    SETS["cvc_clinicdb"].write(tmp_path)
    for folder in ("Original", "Ground Truth"):
        (tmp_path / f"PNG/{folder}/2.png").rename(tmp_path / f"PNG/{folder}/extra.png")
    with pytest.raises(DataError, match=r"'extra' does not end in a number from 1 on"):
        source_of("cvc_clinicdb", tmp_path).records("train")


@pytest.mark.parametrize("starts", [["a"], [-5], [True]])
def test_first_frames_are_numbers(starts: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"group_starts is .*; expected numbers of frames"):
        build_source({**config_of("cvc_clinicdb"), "root": "x", "group_starts": starts})


def test_a_model_card_states_the_license_of_the_data() -> None:
    assert "License of LoveDA: CC BY-NC-SA 4.0" in terms(config_of("loveda"))


@pytest.mark.parametrize("name", ["ade20k", "acdc"])
def test_a_set_trains_and_is_evaluated(
    name: str, tmp_path: Path, train_tiny: Callable[..., Any]
) -> None:
    SETS[name].write(tmp_path / "data")
    train_tiny(
        f"data={name}",
        f"data.root={tmp_path}/data",
        "data.crop_size=[24,32]",
        "data.batch_size=3",
        "selection=last",
        "trainer.max_epochs=2",
    )
    result = RunDirectory(tmp_path / "run").read_result()
    assert result.data_info.protocol == config_of(name)["protocol"]
    assert result.classes.num_classes == SETS[name].classes
    assert 0 <= result.scores["test"].mIoU <= 1


def test_the_page_on_data_sets_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import datasets_page

    assert datasets_page.PAGE.read_text(encoding="utf-8") == datasets_page.page(), (
        "run: make datasets"
    )
