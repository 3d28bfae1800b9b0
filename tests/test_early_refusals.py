"""Settings that cannot work are refused with a message, if possible before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import check_split
from segbench.errors import ConfigError, DataError
from segbench.models.unet import UNet


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("trainer.check_val_every_n_epoch=5",), "selection=best: .*set selection=last"),
        (("trainer.limit_val_batches=0",), "selection=best: .*limit_val_batches=0"),
        (("trainer.limit_val_batches=0", "selection=last", "early_stopping=1"), "early_stopping: "),
        (
            ("trainer.limit_val_batches=0", "selection=last", "scheduler=plateau"),
            "scheduler=plateau: ",
        ),
    ],
)
def test_what_needs_a_validation_is_refused_before_the_first_step(
    words: tuple[str, ...], named: str, train_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=named):
        train_tiny("selection=best", *words)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.accumulate_grad_batches=0", "accumulate_grad_batches: must be at least 1, got 0"),
        ("trainer.gradient_clip_val=-1", "gradient_clip_val: must be at least 0, got -1"),
        ("trainer.limit_train_batches=0", "limit_train_batches=0: .*set trainer.max_epochs=0"),
        ("trainer.limit_test_batches=0", "limit_test_batches=0: .*set test=false"),
        ("trainer.devices=0", r"trainer: .*devices=0"),
        ("+trainer.fast_dev_run=true", "fast_dev_run: writes no checkpoint.*set trainer=debug"),
        ("scheduler.power=-1", "scheduler: power=-1 must be at least 0"),
        ("scheduler.min_factor=2", "scheduler: min_factor=2 must be between 0 and 1"),
        ("optimizer.weight_decay=-1", "optimizer: weight_decay=-1 and"),
        ("inference.divisor=0", "inference: divisor and window_batch must be at least 1"),
        ("data.cache_limit_gb=-1", "data: cache_limit_gb must be at least 0"),
        ("loss.class_weights=[1,2]", "loss.class_weights: 2 weights for 11 classes"),
    ],
)
def test_numbers_without_sense_are_refused(
    word: str, message: str, train_tiny: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_tiny(word)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.layer_decay=0.9", "optimizer: layer_decay=0.9, but UNet has no blocks"),
        ("optimizer.encoder_lr_factor=0.1", "optimizer: encoder_lr_factor=0.1, but UNet has no"),
        ("optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
    ],
)
def test_an_optimizer_that_does_not_fit_is_refused_before_masks_are_counted(
    word: str, message: str, train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(*_: object) -> None:
        raise AssertionError("the masks were read")

    monkeypatch.setattr(SegmentationData, "class_weights", counted)
    with pytest.raises(ConfigError, match=message):
        train_tiny("loss.class_weights=median_frequency", word)


def test_a_data_set_without_a_test_split_names_the_two_ways_out() -> None:
    with pytest.raises(
        DataError, match=r"no test images, only train and val: .*\{test: val\}.*test"
    ):
        check_split("test", absent=["test"])
    with pytest.raises(DataError, match="it is for evaluating checkpoints"):
        check_split("train", absent=["train", "val"])


def test_training_images_among_the_tested_ones_are_said(
    train_tiny: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def trained_on(self: SegmentationData, split: str) -> list[str]:
        return ["copy"] if split == "test" else []

    monkeypatch.setattr(SegmentationData, "trained_on", trained_on)
    train_tiny("trainer.max_epochs=1")
    said = " ".join(capsys.readouterr().out.split())
    assert "note: training images among the 4 test images: 1; so the test score will be" in said
    info = json.loads((tmp_path / "run/result.json").read_text())["data_info"]
    assert info["trained_on"] == {"test": 1}


def test_a_training_without_validation_may_keep_its_last_weights(
    train_tiny: Callable[..., Any],
) -> None:
    words = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=5", "selection=last")
    assert train_tiny(*words).status == "finished"


def test_an_operation_that_is_never_deterministic_is_named(
    train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: UNet, image: Any) -> Any:
        raise RuntimeError(
            "max_unpool_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'."
        )

    monkeypatch.setattr(UNet, "forward", forward)
    with pytest.raises(ConfigError, match=r"max_unpool_cuda.*set deterministic=false"):
        train_tiny("deterministic=true")
