"""Every second of an epoch is attributed to an activity."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from segbench.training.callbacks import CudnnSearch
from segbench.training.progress import Bar
from segbench.training.speed import Speed
from segbench.training.step_times import StepTimes
from tests.training.tiny_task import loader, make_task, make_trainer

SLEEP = 0.1


class SlowFirst:
    """Batches of an epoch, the first of which is slow."""

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(loader(2)):
            time.sleep(0.0 if number else SLEEP)
            yield batch

    def __len__(self) -> int:
        return len(loader(2))


def test_the_wait_for_the_first_batch_and_the_validation_are_counted(tmp_path: Path) -> None:
    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        time.sleep(0.0 if logits.requires_grad else SLEEP / 2)
        return logits.sum() * 0.0

    speed = Speed()
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[speed])
    began = time.perf_counter()
    trainer.fit(make_task(loss=loss), SlowFirst(), loader(2))
    wall = time.perf_counter() - began
    found = speed.timings()
    assert 4 * SLEEP < found.epoch_seconds <= wall
    assert found.shares["data"] * found.epoch_seconds > 2 * SLEEP
    assert found.shares["validation"] * found.epoch_seconds > 2 * SLEEP
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.train_seconds > 2 * SLEEP
    assert found.images_per_s == pytest.approx(8 / found.train_seconds)


def test_totals_are_continued_when_a_run_is_resumed() -> None:
    speed, before = Speed(), Speed()
    before.totals |= {"images": 10, "epochs": 5.0, "steps": 3.0, "data": 1.0}
    speed.load_state_dict(before.state_dict())
    assert speed.timings().train_seconds == 4.0
    assert speed.timings().waiting_for_data == 0.25


def test_the_bar_reads_the_loss_only_when_it_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = Bar(read_every=3)
    read_at = []

    def note(trainer: pl.Trainer, task: Any) -> dict[str, Any]:
        if trainer.training:
            read_at.append(trainer.global_step)
        return {}

    monkeypatch.setattr(bar, "get_metrics", note)
    options = {"enable_progress_bar": True, "callbacks": [bar], "limit_val_batches": 0}
    make_trainer(tmp_path, **options).fit(make_task(), loader(1))
    assert read_at == [3, 4, 4]  # the last two at the end of the batches and of the epoch
    assert bar.train_progress_bar.n == 4
    assert bar.train_progress_bar.desc == "epoch 1/1: "  # as in the line of the epoch


def test_kernels_are_benchmarked_only_in_training(tmp_path: Path) -> None:
    seen: dict[str, set[bool]] = {"train": set(), "val": set()}
    task = make_task()

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        part = "train" if logits.requires_grad else "val"
        seen[part].add(torch.backends.cudnn.benchmark)
        return logits.sum() * 0.0

    task.loss = loss
    options = {"max_epochs": 2, "callbacks": [CudnnSearch()]}
    make_trainer(tmp_path, **options).fit(task, loader(2), loader(2))
    assert seen == {"train": {True}, "val": {False}}
    assert not torch.backends.cudnn.benchmark


def test_whole_steps_are_timed_without_syncs_and_parts_with_syncs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = StepTimes(torch.device("cpu"), steps=3, warmup=2)
    clock, waits = iter(range(1000)), []

    step = 0

    def now() -> float:
        waits.append(step)
        return float(next(clock))

    monkeypatch.setattr(times, "_now", now)
    for number in range(8):
        step = number
        for part in ("x.train_dataloader_next", "x.optimizer_step"):
            times.start(part)
            times.stop(part)
        times.stop("run_training_batch")
    assert set(waits) == {1, 4, 5, 6, 7}, "a clock that waits ran within whole steps"
    assert len(times.parts) == 3
    assert times.total > 0
    assert all(value >= 0 for value in times.parts[0].values())
