"""Runs GPU code without a GPU: every tensor must be on the device of the work.

    python -m tests.other_device

The device is one that torch only simulates, with fake tensors that have a shape, a dtype and a
device, but no values. So a tensor left on the CPU is an error here, as it would be on a GPU, and so
is reading a value in the middle of a step, which would be a sync. It needs its own process, because
torch cannot unregister a device.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

from segbench.artifacts import build
from segbench.artifacts.build_loss import build_loss
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import EpochSampler
from segbench.data.device import DeviceLoader
from segbench.data.sources.streets import Streets
from segbench.inference.labels import FiniteLogits
from segbench.inference.predictor import Predictor
from segbench.losses.ce_dice import CEDice
from segbench.models.custom import Custom
from segbench.training import optim
from segbench.training.task import SegmentationTask

CONF = Path(__file__).parents[1] / "conf"
ELSEWHERE = "pretended"
SIZE = (96, 128)
SOURCE = Streets(size=SIZE, train=4, val=2, test=2)
CLASSES = SOURCE.classes
WAITS = {"lovasz", "ce_lovasz"}  # read the list of classes
PREDICTORS: dict[str, dict[str, Any]] = {
    "whole": {},
    "slide": {"mode": "slide", "crop_size": (64, 64), "stride": (32, 32), "blend": "gaussian"},
    "tta": {"scales": (0.5, 1.0), "flip": True},
    "padded": {"divisor": 64},
    "without a class": {"drop_class": CLASSES.names[0]},
}


def moved(module: nn.Module) -> nn.Module:
    """Moves a module, with everything it has registered, to the simulated device."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(_empty(value.shape, value.dtype))
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = _empty(value.shape, value.dtype)
    return module


def _read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _empty(shape: Any, dtype: torch.dtype) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device=ELSEWHERE)


def batch() -> dict[str, Any]:
    """Two images of a loader, on the simulated device."""
    return {
        "image": _empty((2, 3, *SIZE), torch.uint8),
        "mask": _empty((2, *SIZE), torch.uint8),
        "name": ["a", "b"],
        "index": torch.arange(2, device=ELSEWHERE),
    }


# Larger models of the same code as others.
LARGER = {
    *("ddrnet23", "hrnet_w48", "pidnet_m", "segformer_b2", "segformer_b3", "segformer_b4"),
    *("segformer_b5", "segnext_s", "segnext_b", "unet_resnet34", "unet_resnet50"),
    *("vit_linear_base",),
}


def predictor(model: nn.Module, **arguments: Any) -> Predictor:
    """A predictor for images in 0..1, centered at 0.5."""
    return Predictor(model, CLASSES, (0.5,) * 3, (0.5,) * 3, **arguments)


def learns(model: Any, loss: Any) -> None:
    """Runs a training step and checks its output."""
    model, loss = moved(model), moved(loss)
    image, mask = _empty((2, 3, *SIZE), torch.float32), batch()["mask"]
    logits, auxiliary = (
        model.forward_with_aux(image) if getattr(model, "aux_weight", 0) else (model(image), [])
    )
    if hasattr(model, "aux_terms"):
        terms = model.aux_terms(logits, auxiliary, mask, loss, CLASSES.ignore_index).values()
    else:
        terms = [loss(each, mask) for each in auxiliary]
    sum(terms, start=loss(logits, mask)).backward()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.device.type == ELSEWHERE
    with torch.inference_mode():
        model.eval()(image)


def loses(loss: nn.Module) -> None:
    """Computes a loss and its gradient, in both precisions."""
    for dtype in (torch.float32, torch.float16):
        logits = _empty((2, CLASSES.num_classes, *SIZE), dtype).requires_grad_()
        moved(loss)(logits, batch()["mask"]).backward()
        assert logits.grad is not None
        assert logits.grad.device.type == ELSEWHERE


def predicts(model: nn.Module, **arguments: Any) -> None:
    """Predicts label maps and probabilities, at the size of the image and at another."""
    image, predict = batch()["image"], predictor(moved(model).eval(), **arguments)
    for size in (None, (48, 64)):
        finite = FiniteLogits()  # checked when the host has to sync anyway
        labels, probs = predict.labels_and_probs(image, size, finite=finite)
        once = predict.labels(image, size, finite=finite)
        answers = (once, predict.probs(image, size), labels, probs)
        assert all(answer.device.type == ELSEWHERE for answer in answers)


def works(task: SegmentationTask) -> None:
    """Runs the steps of the task, except for boundaries, which are counted on the host."""
    moved(task)
    task.predictor = predictor(task.model)
    shared = {"current_epoch": 0, "global_step": 0, "max_steps": -1, "is_last_batch": True}
    shared["default_root_dir"] = "."
    schedule = SimpleNamespace(param_groups=[{"lr": 1.0}])
    task._trainer = SimpleNamespace(**shared, optimizers=[schedule])  # type: ignore[assignment]
    task.log = task.log_dict = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    task.boundary.update = lambda *_: None  # type: ignore[method-assign]
    for number in range(3):  # later steps may check what earlier ones left
        task.training_step(batch(), number).backward()
    task.eval()
    for step, split in ((task.validation_step, "val"), (task.test_step, "test")):
        assert all(pred.device.type == ELSEWHERE for pred in step(batch(), 0)["pred"])
        assert task.confusion[split].matrix[0].device.type == ELSEWHERE


def cuts(data: SegmentationData) -> None:
    """Makes training batches from frames on the simulated device."""
    sampler = EpochSampler(4, 0, shuffle=True)
    loader = DeviceLoader(data.dataset("train"), 2, sampler, torch.device(ELSEWHERE))
    made = next(iter(loader))
    assert made["image"].device.type == made["mask"].device.type == ELSEWHERE


def optimizes(make: Callable[..., Any], model: nn.Module) -> None:
    """Runs one step of an optimizer."""
    optimizer = make(moved(model), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def jobs() -> Iterator[tuple[str, Callable[[], None]]]:
    """All jobs, by name; built on the CPU."""
    small = {"width": 8, "dilations": (2,)}
    for file in sorted((CONF / "model").glob("*.yaml")):
        if "???" in file.read_text("utf-8") or file.stem in LARGER:  # the first need a path
            continue
        model = build.build_model(_read(file), CLASSES.num_classes)
        if hasattr(model, "training_loss"):  # matches queries on the host, which needs their values
            continue
        yield f"model {file.stem}", lambda model=model: learns(model, CEDice(CLASSES.ignore_index))
    for file in sorted((CONF / "loss").glob("*.yaml")):
        if file.stem not in WAITS:
            loss = build_loss(_read(file), CLASSES, {})
            yield f"loss {file.stem}", lambda loss=loss: loses(loss)
    for name, arguments in PREDICTORS.items():
        model = Custom(CLASSES.num_classes, **small)
        yield f"predictor {name}", lambda m=model, a=arguments: predicts(m, **a)
    for make in (optim.adam, optim.adamw, optim.sgd):
        model = Custom(CLASSES.num_classes, **small)
        yield f"optimizer {make.__name__}", lambda f=make, m=model: optimizes(f, m)
    data = SegmentationData(SOURCE, 0, batch_size=2, cache="none", color_jitter=0.3)
    yield "frames_on_device", lambda: cuts(data)
    model = Custom(CLASSES.num_classes, **small)
    loss = CEDice(CLASSES.ignore_index, class_weights=[1.0] * CLASSES.num_classes)
    names = {split: ["a", "b"] for split in ("val", "test")}
    task = SegmentationTask(
        model, loss, CLASSES, predictor(model), optim.adam, lambda *_: None, names
    )
    yield "task", lambda: works(task)


def main() -> int:
    """Prints what fails and why; returns the number of failures."""
    backend_registration._setup_privateuseone_for_python_backend(ELSEWHERE)
    failed = 0
    for name, job in jobs():
        try:
            with FakeTensorMode():
                job()
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc(limit=-12)[:3000]}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
