"""A training that diverges ends, with the step and the images named, and nothing of it is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from segbench.errors import NonFiniteLogitsError, NonFiniteLossError
from segbench.training import finite
from tests.training.tiny_task import (
    Net,
    cross_entropy,
    images,
    loader,
    make_task,
    make_trainer,
    together,
)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path, value: float) -> None:
    steps = 0

    def bad(logits: Tensor, mask: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return logits.sum() * (value if steps == 2 else 0.0)

    with pytest.raises(NonFiniteLossError) as caught:
        make_trainer(tmp_path, limit_val_batches=0).fit(make_task(loss=bad), loader(2))
    assert f"the loss became {value} at step 1 on i2, i3" in str(caught.value)
    dump = torch.load(tmp_path / "non_finite_step1.pt", weights_only=True)
    assert dump["step"] == 1
    assert torch.equal(dump["batch"]["image"], together(images()[2:])["image"])


def test_a_loss_that_is_not_finite_in_the_last_step_of_an_epoch_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a GPU the host does not wait for a loss: here it waits for none until it must.
    monkeypatch.setattr(finite._Step, "is_known", lambda step: False)
    task = make_task(loss=lambda logits, mask: logits.sum() * float("nan"))
    saving = ModelCheckpoint(tmp_path, save_on_train_epoch_end=True)
    options = {"callbacks": [saving], "enable_checkpointing": True, "limit_val_batches": 0}
    with pytest.raises(NonFiniteLossError):
        make_trainer(tmp_path, **options).fit(task, loader(4))
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_loss_is_checked_when_it_is_known_and_the_right_images_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = finite.LossWatch(tmp_path)
    monkeypatch.setattr(finite._Step, "is_known", lambda step: False)
    for number in range(5):
        value = float("inf") if number == 3 else 1.0
        watch.add(torch.tensor(value), number, {"name": [f"i{number}"]})
    with pytest.raises(NonFiniteLossError, match="became inf at step 3 on i3"):
        watch.check(wait=True)
    for number in range(finite.MOST_WAITING):
        watch.add(torch.tensor(float("nan")), number, {"name": ["a"]})
    with pytest.raises(NonFiniteLossError, match="at step 0 on a"):  # no more are kept
        watch.add(torch.tensor(1.0), 99, {"name": ["b"]})


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_the_last_step_ruined_are_noticed(value: float) -> None:
    model = Net()
    finite.check_weights(model, 7)
    with torch.no_grad():
        model.head.weight[0, 1] = value
    with pytest.raises(NonFiniteLossError, match=r"after step 7: head\.weight"):
        finite.check_weights(model, 7)


def test_a_validation_without_numbers_ends_the_run(tmp_path: Path) -> None:
    def bad_later(logits: Tensor, mask: Tensor) -> Tensor:
        return cross_entropy(logits, mask) + (0.0 if logits.requires_grad else float("nan"))

    with pytest.raises(NonFiniteLossError, match="val/loss is nan after step 1"):
        make_trainer(tmp_path).fit(make_task(loss=bad_later), loader(4), loader(4))
    task = make_task()
    nn.init.constant_(task.model.head.weight, 3e38)
    for run in (make_trainer(tmp_path).validate, make_trainer(tmp_path).test):
        with pytest.raises(NonFiniteLogitsError, match=r"on i0, i1, i2, i3 \(4 of 4"):
            run(task, loader(2), verbose=False)
