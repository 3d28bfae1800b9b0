"""Training steps, validation and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, NonFiniteLogitsError, NonFiniteLossError
from segbench.inference.predictor import Predictor
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.scores import scores
from segbench.training import finite, optim
from segbench.training.averaging import EMA
from segbench.training.task import SegmentationTask

CLASSES = ClassSet(names=("a", "b"), colors=((1, 0, 0), (2, 0, 0)))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NUM_IMAGES = 4


class Net(nn.Module):
    """A linear model, with an auxiliary head if `aux_weight` is above 0."""

    def __init__(self, aux_weight: float = 0.0) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 2, 1)
        self.aux = nn.Conv2d(3, 2, 1)
        self.aux_weight = aux_weight

    def forward(self, image: Tensor) -> Tensor:
        return self.head(image)

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.head(image), [self.aux(image)]


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """The simplest loss."""
    return F.cross_entropy(logits, mask.long(), ignore_index=255)


def images(shapes: list[tuple[int, int]] | None = None) -> list[dict[str, Any]]:
    """Samples as from the data set."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index, (height, width) in enumerate(shapes or [(6, 8)] * NUM_IMAGES):
        image = torch.randint(0, 256, (3, height, width), generator=generator).byte()
        mask = (image[0] > 127).byte()
        mask[0, 0] = 255
        samples.append({"image": image, "mask": mask, "name": f"i{index}", "index": index})
    return samples


def together(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch as from `collate`: lists if sizes differ."""
    same = len({sample["image"].shape for sample in samples}) == 1
    batch = {key: [sample[key] for sample in samples] for key in samples[0]}
    if same:
        batch |= {key: torch.stack(batch[key]) for key in ("image", "mask")}
    return {**batch, "index": torch.tensor(batch["index"])}


def loader(batch_size: int, samples: list[dict[str, Any]] | None = None) -> DataLoader:
    return DataLoader(samples or images(), batch_size=batch_size, collate_fn=together)


def make_task(model: nn.Module | None = None, loss: Any = cross_entropy, **options: Any):
    torch.manual_seed(0)
    model = model or Net()
    names = [f"i{i}" for i in range(NUM_IMAGES)]
    return SegmentationTask(
        model=model,
        loss=loss,
        classes=CLASSES,
        predictor=Predictor(model, CLASSES, MEAN, STD),
        make_optimizer=lambda m: optim.sgd(m, lr=0.1, momentum=0.0),
        make_scheduler=lambda o, steps: optim.constant(o, steps),
        image_names={"val": names, "test": names},
        **options,
    )


def make_trainer(folder: Path, **options: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 1,
            "num_sanity_val_steps": 0,
            "default_root_dir": folder,
            "use_distributed_sampler": False,
            "enable_checkpointing": False,
            **quiet,
            **options,
        }
    )


def weights(task: SegmentationTask) -> Tensor:
    return task.model.head.weight.detach().clone()


def test_images_are_normalized_with_mean_and_std() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    normal = make_task().normalize(pixels.contiguous())
    assert normal.dtype == torch.float32
    assert normal.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normal, (pixels.float() / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_a_step_descends_the_loss(tmp_path: Path) -> None:
    task = make_task()
    before = weights(task)
    batch = together(images())
    logits = task.model(task.normalize(batch["image"]))
    (gradient,) = torch.autograd.grad(cross_entropy(logits, batch["mask"]), task.model.head.weight)
    make_trainer(tmp_path, limit_val_batches=0).fit(task, loader(4))
    torch.testing.assert_close(weights(task), before - 0.1 * gradient)


def test_accumulating_two_batches_is_one_step_of_both(tmp_path: Path) -> None:
    small, large = make_task(), make_task()
    trainer = make_trainer(tmp_path, accumulate_grad_batches=2, limit_val_batches=0)
    trainer.fit(small, loader(2))
    make_trainer(tmp_path, limit_val_batches=0).fit(large, loader(4))
    assert trainer.global_step == 1
    torch.testing.assert_close(weights(small), weights(large))


def test_the_auxiliary_loss_is_weighted_and_logged(tmp_path: Path) -> None:
    task = make_task(Net(aux_weight=0.4), log_every=1)
    batch = together(images())
    logits, (aux,) = task.model.forward_with_aux(task.normalize(batch["image"]))
    main, extra = (cross_entropy(x, batch["mask"]).item() for x in (logits, aux))
    trainer = make_trainer(tmp_path, limit_val_batches=0)
    trainer.fit(task, loader(4))
    logged = {key: value.item() for key, value in trainer.callback_metrics.items()}
    assert logged["train/loss/main"] == pytest.approx(main)
    assert logged["train/loss/aux"] == pytest.approx(0.4 * extra)
    assert logged["train/loss"] == pytest.approx(main + 0.4 * extra)


def test_a_model_may_define_the_losses_of_its_auxiliary_heads(tmp_path: Path) -> None:
    class Edges(Net):
        def aux_terms(
            self, logits: Tensor, aux: list[Tensor], mask: Tensor, loss: Any, ignore_index: int
        ) -> dict[str, Tensor]:
            assert ignore_index == 255
            return {"aux": 3 * loss(aux[0], mask), "edges": logits.square().mean()}

    task = make_task(Edges(aux_weight=0.4), log_every=1)
    batch = together(images())
    logits, (aux,) = task.model.forward_with_aux(task.normalize(batch["image"]))
    main, extra = (cross_entropy(x, batch["mask"]).item() for x in (logits, aux))
    trainer = make_trainer(tmp_path, limit_val_batches=0)
    trainer.fit(task, loader(4))
    logged = {key: value.item() for key, value in trainer.callback_metrics.items()}
    edges = logits.square().mean().item()
    assert logged["train/loss/aux"] == pytest.approx(3 * extra)
    assert logged["train/loss/edges"] == pytest.approx(edges)
    assert logged["train/loss"] == pytest.approx(main + 3 * extra + edges)


def test_without_weight_the_auxiliary_head_is_never_run(tmp_path: Path) -> None:
    model = Net(aux_weight=0.0)
    model.forward_with_aux = None  # type: ignore[method-assign, assignment]
    make_trainer(tmp_path, limit_val_batches=0).fit(make_task(model), loader(4))


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("shapes", [None, [(6, 8), (5, 9), (6, 8), (7, 7)]])
def test_scores_are_those_of_the_images_one_by_one(
    tmp_path: Path, batch_size: int, shapes: Any
) -> None:
    task, samples = make_task(), images(shapes)
    matrices = []
    for sample in samples:
        pred = task.model(task.normalize(sample["image"][None])).argmax(1)[0].byte().numpy()
        matrices.append(confusion_matrix(pred, sample["mask"].numpy(), 2))
    trainer = make_trainer(tmp_path)
    (found,) = trainer.test(task, loader(batch_size, samples), verbose=False)
    index, counted = task.counts("test")
    assert index.tolist() == [0, 1, 2, 3]
    assert np.array_equal(counted, matrices)
    assert found["test/mIoU"] == pytest.approx(scores(sum(matrices), "ab")["mIoU"])
    assert found["test/IoU/a"] == pytest.approx(scores(sum(matrices), "ab")["IoU"]["a"])


def test_a_resized_image_is_scored_at_the_size_of_its_mask(tmp_path: Path) -> None:
    samples = images()
    for sample in samples:
        sample["mask"] = sample["mask"].repeat_interleave(2, 0).repeat_interleave(2, 1)
    task = make_task()
    make_trainer(tmp_path).validate(task, loader(2, samples), verbose=False)
    assert task.counts("val")[1].sum() == sum((s["mask"] != 255).sum() for s in samples)


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


def test_fewer_steps_than_requested_are_refused(tmp_path: Path) -> None:
    options = {"limit_val_batches": 0, "max_steps": 3}
    with pytest.raises(ConfigError, match=r"ends after 2 steps; set trainer\.max_epochs=-1"):
        make_trainer(tmp_path, **options).fit(make_task(), loader(2))
    trainer = make_trainer(tmp_path, **options, max_epochs=-1)
    trainer.fit(make_task(), loader(2))
    assert trainer.global_step == 3


def test_averaged_weights_are_evaluated_and_saved(tmp_path: Path) -> None:
    plain, averaged = make_task(), make_task()
    start = weights(plain)
    make_trainer(tmp_path, limit_val_batches=0).fit(plain, loader(4))
    callback = EMA(decay=0.75)
    trainer = make_trainer(tmp_path, callbacks=[callback], limit_val_batches=0)
    seen = []
    averaged.on_validation_epoch_start = lambda: seen.append(weights(averaged))  # type: ignore
    trainer = make_trainer(tmp_path, callbacks=[callback], max_epochs=2)
    saved = []

    def remember(checkpoint: dict[str, Any]) -> None:
        SegmentationTask.on_save_checkpoint(averaged, checkpoint)
        saved.append(checkpoint)

    averaged.on_save_checkpoint = remember  # type: ignore[method-assign]
    trainer.fit(averaged, loader(4), loader(4))
    # The average starts as a copy of the weights after the first step.
    torch.testing.assert_close(seen[0], weights(plain))
    assert not torch.equal(seen[0], start)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    torch.testing.assert_close(saved[-1]["state_dict"]["model.head.weight"], weights(averaged))
    assert set(saved[-1]["state_dict"]) == {f"model.{key}" for key in averaged.model.state_dict()}


def test_each_epoch_draws_only_from_seed_and_epoch() -> None:
    def draws(seed: int, epoch: int) -> Tensor:
        task = make_task(seed=seed)
        task._trainer = type("Trainer", (), {"current_epoch": epoch, "global_rank": 0})()
        torch.rand(epoch + 3)  # whatever came before
        task.on_train_batch_start({}, 0)
        return torch.rand(3)

    assert torch.equal(draws(1, 0), draws(1, 0))
    assert not torch.equal(draws(1, 0), draws(1, 1))
    assert not torch.equal(draws(1, 0), draws(2, 0))


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


def test_what_ranks_share_of_a_test_is_gathered_while_the_metrics_are_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, trainer = make_task(), make_trainer(tmp_path)
    trainer.test(task, loader(2), verbose=False)
    for metric in (task.confusion["test"], task.boundary):
        monkeypatch.setattr(metric, "compute", lambda: pytest.fail("NCCL gathers nothing here"))
    index, matrices, boundary = task.tested
    assert index.tolist() == list(range(NUM_IMAGES))
    assert boundary.shape == (NUM_IMAGES, 2, matrices.shape[1])
