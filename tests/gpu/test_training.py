"""A real training on a GPU never syncs within an epoch, keeps tensors there, fails correctly."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from benchmarks.gpu import CountReads
from segbench.errors import NonFiniteLossError
from segbench.training.averaging import EMA

pytestmark = pytest.mark.gpu


class Places(pl.Callback):
    """Records the device of the averaged weights during training."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        ema = next(c for c in trainer.callbacks if isinstance(c, EMA))
        assert ema._average_model is not None
        self.seen |= {value.device.type for value in ema._average_model.state_dict().values()}


@pytest.mark.parametrize("loader", ["false", "true"], ids=["threads", "frames_on_device"])
def test_the_host_never_waits_within_an_epoch(
    train: Any, device: torch.device, loader: str
) -> None:
    reads = CountReads(device)
    words = ("ema=0.9", "trainer.limit_val_batches=0", f"data.frames_on_device={loader}")
    train(*words, callbacks=[reads])
    steps = reads.per_step[1:]  # the first one uploads and benchmarks kernels
    # On a CPU, where reading is not a sync, losses and labels are checked immediately.
    assert max(steps) <= (0 if device.type == "cuda" else 3), reads.per_step


def test_the_average_is_on_the_device(train: Any, device: torch.device) -> None:
    places = Places()
    train("ema=0.9", callbacks=[places])
    assert places.seen == {device.type}


def test_a_loss_that_is_not_finite_names_its_images(train: Any) -> None:
    with pytest.raises(NonFiniteLossError, match=r"became (nan|inf) at step \d+ on train_"):
        train("optimizer=sgd", "optimizer.lr=1e20", "trainer.max_epochs=20")


@pytest.mark.parametrize(
    "words",
    [
        ("precision=16-mixed",),
        ("precision=bf16-mixed", "trainer.gradient_clip_val=1.0"),
        ("scheduler=plateau",),
        ("loss=ce_dice",),
        ("deterministic=true",),
    ],
    ids=lambda words: words[-1],
)
def test_it_runs(train: Any, device: torch.device, words: tuple[str, ...]) -> None:
    if device.type == "cpu" and "precision=16-mixed" in words:
        pytest.skip("a CPU has no fp16 mode")
    try:
        task, data, trainer = train(*words)
    finally:
        torch.use_deterministic_algorithms(False)
    trainer.test(task, data, verbose=False)
    assert task.tested is not None
    assert task.tested[1].sum() > 0
