"""Loaders prefetch, and load a GPU no more than necessary."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segbench.data import device as device_module
from segbench.data.dataset import Arrays, EpochSampler, Frames
from segbench.data.device import DeviceLoader
from segbench.data.loader import ThreadLoader
from segbench.errors import DataError
from tests.data.test_dataset import epoch, equal, module

CPU = torch.device("cpu")


class Noted(Frames):
    """Frames that record which ones were read."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.read_indices: list[int] = []

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> Arrays:
        self.read_indices.append(index)
        return self.frames.read(index)


def noted(**options: Any) -> tuple[Any, Noted]:
    """A training set, and a record of what is read from it."""
    dataset = module(**options).dataset("train")
    dataset.frames = Noted(dataset.frames)
    return dataset, dataset.frames


def settled(frames: Noted) -> int:
    """The number of reads once no more occur."""
    before = -1
    while before != len(frames.read_indices):
        before = len(frames.read_indices)
        time.sleep(0.1)
    return before


def thread_loader(dataset: Any, epochs: int) -> ThreadLoader:
    sampler = EpochSampler(len(dataset), 1, shuffle=True)
    return ThreadLoader(dataset, 2, sampler, num_workers=1, drop_last=True, epochs=epochs)


def test_the_first_batches_of_the_next_epoch_are_prefetched() -> None:
    dataset, frames = noted()
    loader = thread_loader(dataset, epochs=2)
    alone = [epoch(module(), number) for number in (0, 1)]
    assert equal(list(loader), alone[0])
    images = 2 * len(loader)
    assert settled(frames) == images + 4, "two batches of two images for the one thread"
    loader.sampler.set_epoch(1)
    assert equal(list(loader), alone[1])
    assert settled(frames) == 2 * images, "no image is read twice, and there is no third epoch"


@pytest.mark.parametrize("following", [0, 3])
def test_an_epoch_other_than_the_next_is_correct_too(following: int) -> None:
    dataset, _ = noted()
    loader = thread_loader(dataset, epochs=9)
    list(loader)
    loader.sampler.set_epoch(following)
    assert equal(list(loader), epoch(module(), following))
    loader.close()


def test_an_epoch_that_is_left_early_leaves_no_batches() -> None:
    dataset, frames = noted()
    loader = thread_loader(dataset, epochs=9)
    iterator = iter(loader)
    next(iterator)
    iterator.close()
    before = settled(frames)
    assert before <= 8
    assert equal(list(loader), epoch(module()))
    loader.close()
    settled(frames)


def test_an_evaluation_batch_on_a_gpu_has_as_many_pixels_as_a_training_batch() -> None:
    data = module(batch_size=8, crop_size=(48, 64), num_workers=0)
    height, width = data.dataset("val").frames.read(0)[0].shape[:2]
    assert data.images_at_once("val") == 1
    data.device = torch.device("cuda")
    assert data.images_at_once("val") == max(1, 8 * 48 * 64 // (height * width)) > 1
    whole = module(batch_size=8, crop_size=None)
    whole.device = torch.device("cuda")
    assert whole.images_at_once("test") == 8
    asked = module(eval_batch_size=3)
    asked.device = torch.device("cuda")
    assert asked.images_at_once("val") == 3


def device_loader(dataset: Any) -> DeviceLoader:
    return DeviceLoader(dataset, 2, EpochSampler(len(dataset), 1, shuffle=True), CPU)


@pytest.mark.parametrize(("options", "reads"), [({}, 0), ({"cat_max_ratio": 0.5}, 1)])
def test_a_mask_is_read_only_if_the_window_depends_on_it(
    options: dict[str, float], reads: int
) -> None:
    dataset, frames = noted(**options)
    loader = device_loader(dataset)
    loader._frames()
    frames.read_indices.clear()
    made = list(loader)
    assert len(frames.read_indices) == reads * sum(len(batch["name"]) for batch in made)
    assert equal(made, list(device_loader(module(**options).dataset("train"))))


def test_frames_that_do_not_fit_are_refused_before_they_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, frames = noted()
    monkeypatch.setattr(device_module, "_free_memory", lambda device: device_module.SPARE + 1000)
    with pytest.raises(DataError, match=r"training frames take .* GB free\. Set data\.resize"):
        next(iter(device_loader(dataset)))
    assert len(frames.read_indices) == 1


class Operators(TorchDispatchMode):
    """Counts the operators that torch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__.split(".")[0])
        return func(*args, **(kwargs or {}))


def test_a_batch_is_one_copy_and_colors_need_no_matrix_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies: list[np.ndarray] = []
    send = device_module._to

    def note(array: np.ndarray, device: torch.device) -> torch.Tensor:
        copies.append(array)
        return send(array, device)

    loader = device_loader(module(color_jitter=0.3).dataset("train"))
    loader._frames()
    monkeypatch.setattr(device_module, "_to", note)
    with Operators() as ran:
        next(iter(loader))
    assert len(copies) == 1
    assert not {"mm", "bmm", "matmul", "addmm"} & set(ran.names), "TF32 would round the colors"
