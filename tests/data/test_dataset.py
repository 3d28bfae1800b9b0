"""Batches depend only on the seed, the epoch and the data, however they are loaded."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import Arrays, EpochSampler, Record, SegmentationDataset, collate
from segbench.data.device import DeviceLoader
from segbench.data.frames import SourceFrames, resize_image
from segbench.data.loader import ProcessLoader, ThreadLoader
from segbench.data.sources.camvid11 import CamVid11
from segbench.data.sources.streets import Streets
from segbench.errors import DataError
from tests.data.writers import SIZE, STREETS, save, write_camvid11


def module(source: Any = STREETS, **arguments: Any) -> SegmentationData:
    defaults = {"batch_size": 2, "cache": "none", "num_workers": 0, "crop_size": (32, 40)}
    return SegmentationData(source, **{"seed": 1, **defaults, **arguments})


def epoch(data: SegmentationData, number: int = 0) -> list[dict[str, Any]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def equal(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x["image"], y["image"])
        and torch.equal(x["mask"], y["mask"])
        and x["name"] == y["name"]
        for x, y in zip(a, b, strict=True)
    )


def test_a_batch_is_uint8_channels_last_with_origins() -> None:
    batch = epoch(module())[0]
    assert batch["image"].shape == (2, 3, 32, 40)
    assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    records = STREETS.records("train")
    assert [records[i].name for i in batch["index"]] == batch["name"]
    assert [records[i].group for i in batch["index"]] == batch["group"]


@pytest.mark.parametrize("workers", ["thread", "process"])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(workers: str, num_workers: int) -> None:
    knobs = {"color_jitter": 0.3, "blur": 0.5, "noise": 0.5, "cutout": 0.5, "class_uniform": 0.5}
    alone = epoch(module(**knobs), 3)
    data = module(workers=workers, num_workers=num_workers, **knobs)
    assert isinstance(
        data.train_dataloader(), ThreadLoader if workers == "thread" else ProcessLoader
    )
    assert equal(epoch(data, 3), alone)


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_caches_change_nothing(cache: str, tmp_path) -> None:
    data = module(cache=cache, cache_dir=str(tmp_path), num_workers=1)
    assert isinstance(data.train_dataloader(), ThreadLoader)
    assert equal(epoch(data, 1), epoch(module(), 1))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    data = module()
    assert equal(epoch(data, 2), epoch(module(), 2))
    assert not equal(epoch(data, 2), epoch(data, 3))
    assert not equal(epoch(data, 2), epoch(module(seed=5), 2))


def test_ranks_together_see_the_images_of_one_process() -> None:
    whole = list(EpochSampler(11, 0, shuffle=True))
    ranks = [list(EpochSampler(11, 0, True, rank, 2)) for rank in (0, 1)]
    assert [key for pair in zip(*ranks, strict=True) for key in pair] == whole[:10]
    uneven = [list(EpochSampler(11, 0, False, rank, 2, even=False)) for rank in (0, 1)]
    assert sorted(index for keys in uneven for _, index in keys) == list(range(11))


def test_evaluation_keeps_masks_at_original_resolution() -> None:
    data = module(resize=(24, 32), crop_size=None)
    batch = next(iter(data.val_dataloader()))
    assert batch["image"].shape == (1, 3, 24, 32)
    assert batch["mask"].shape == (1, *SIZE)
    image, mask = STREETS.read(STREETS.records("val")[0])
    assert torch.equal(batch["mask"][0], torch.from_numpy(mask))
    np.testing.assert_array_equal(batch["image"][0].permute(1, 2, 0), resize_image(image, (24, 32)))
    train = epoch(data)[0]
    assert train["image"].shape[2:] == train["mask"].shape[1:] == (24, 32)


def test_frames_of_several_sizes_make_lists() -> None:
    parts = [Streets(size, train=1) for size in ((24, 32), (30, 32))]
    datasets = [
        SegmentationDataset(s.records("train"), SourceFrames(s, s.records("train")), None, 0)
        for s in parts
    ]
    batch = collate([dataset[0, 0] for dataset in datasets])
    assert [tuple(image.shape) for image in batch["image"]] == [(3, 24, 32), (3, 30, 32)]
    assert [tuple(mask.shape) for mask in batch["mask"]] == [(24, 32), (30, 32)]


class TwoSizes(Streets):
    """Every second image is taller than the others."""

    def read(self, record: Record) -> Arrays:
        image, mask = super().read(record)
        more = ((0, 8 * (record.index % 2)), (0, 0))
        return np.pad(image, (*more, (0, 0)), "edge"), np.pad(mask, more, "edge")


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_training_batch_of_several_sizes_is_refused(workers: str) -> None:
    source = TwoSizes(SIZE, train=8, val=4, test=2, frames_per_drive=2)
    many = {"crop_size": None, "batch_size": 4, "eval_batch_size": 4}
    data = module(source, workers=workers, num_workers=1, **many)
    with pytest.raises(DataError, match=r"is 64x\d+, .* is 64x\d+ .*data\.crop_size or data\.res"):
        epoch(data)
    assert len(next(iter(data.val_dataloader()))["image"]) == 4
    assert len(epoch(module(source, **many | {"batch_size": 1}))) == 8


def test_several_sizes_are_reported_before_the_first_batch_if_known() -> None:
    source = TwoSizes(SIZE, train=8, val=4, test=2, frames_per_drive=2)
    with pytest.raises(DataError, match="several sizes"):
        module(source, crop_size=None, cache="ram").train_dataloader()
    assert len(epoch(module(source, cache="ram"))) == 4
    assert len(epoch(module(source, crop_size=None, cache="ram", resize=(24, 32)))) == 4


@pytest.mark.parametrize(("color_jitter", "tolerance"), [(0.0, 1), (0.4, 3)])
def test_the_device_makes_the_same_batches(color_jitter: float, tolerance: int) -> None:
    data = module(cat_max_ratio=0.75, crop_size=(40, 72), color_jitter=color_jitter)
    sampler = EpochSampler(len(data.records("train")), 1, shuffle=True)
    device = DeviceLoader(data.dataset("train"), 2, sampler, torch.device("cpu"))
    for ours, theirs in zip(epoch(data), device, strict=True):
        assert torch.equal(ours["mask"], theirs["mask"])
        assert (ours["image"].int() - theirs["image"].int()).abs().max() <= tolerance
        assert ours["name"] == theirs["name"]


def test_the_device_refuses_what_it_cannot_do() -> None:
    data = module(noise=0.5)
    with pytest.raises(ValueError, match="frames_on_device supports only scale_range"):
        DeviceLoader(data.dataset("train"), 2, EpochSampler(6, 0, True), torch.device("cpu"))


@pytest.mark.parametrize("knob", ["blur", "noise", "cutout", "vflip", "rot90", "rotate"])
def test_what_the_device_cannot_do_is_refused_before_anything_is_loaded(knob: str) -> None:
    with pytest.raises(ValueError, match=r"frames_on_device supports only 8-bit RGB.*=false"):
        module(frames_on_device=True, **{knob: 0.5})


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_fault_in_a_worker_arrives_as_it_was_raised(tmp_path, workers: str) -> None:
    root = write_camvid11(tmp_path)
    save(root / "trainannot" / "0001TP_000003.png", np.full(SIZE, 77, np.uint8))
    data = module(CamVid11(str(root)), workers=workers, num_workers=1)
    with pytest.raises(DataError, match=r"^\S*0001TP_000003\.png: label 77 on 100\.00%"):
        epoch(data)


def test_a_loader_can_be_left_early_and_used_again() -> None:
    loader = module(workers="thread", num_workers=2).train_dataloader()
    assert len(list(islice(loader, 1))) == 1
    assert len(list(loader)) == len(loader) == 3


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(DataError, match="exceeds the 6 training images"):
        module(batch_size=7).train_dataloader()


def test_all_wrong_arguments_are_named_together() -> None:
    with pytest.raises(ValueError, match=r"std must be above 0.*cache is cloud"):
        module(cache="cloud", std=(0.0, 1.0, 1.0))


def test_preview_and_weights_and_fingerprint(tmp_path) -> None:
    data = module(cache_dir=str(tmp_path))
    data.write_preview(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert len(data.class_weights("enet")) == 11
    assert data.fingerprint("train") != data.fingerprint("val")
