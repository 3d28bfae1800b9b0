"""A GPU computes the same as the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn import functional as F

from segbench.artifacts import build
from segbench.artifacts.build_loss import build_loss
from segbench.config import config_dir
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import EpochSampler
from segbench.data.device import DeviceLoader
from segbench.data.sources.streets import Streets
from segbench.inference.labels import checked_argmax
from segbench.inference.predictor import Predictor
from segbench.metrics.confusion import confusion_matrices
from segbench.models.custom import Custom

pytestmark = pytest.mark.gpu

SOURCE = Streets(size=(96, 128), train=8, val=2, test=2)
CLASSES = SOURCE.classes
CONF = config_dir()
MODES: dict[str, dict[str, Any]] = {
    "whole": {},
    "slide": {"mode": "slide", "crop_size": (64, 64), "stride": (40, 40), "blend": "gaussian"},
    "tta": {"scales": (0.75, 1.25), "flip": True},
    "padded": {"divisor": 32},
    "without a class": {"drop_class": CLASSES.names[0]},
}


def options(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def random_labels(*shape: int) -> torch.Tensor:
    """Classes, void, and a label that is neither."""
    labels = torch.randint(0, CLASSES.num_classes + 2, shape).byte()
    labels[labels == CLASSES.num_classes] = CLASSES.ignore_index
    return labels


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Without TF32."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, conv.allow_tf32
    matmul.allow_tf32 = conv.allow_tf32 = False
    yield
    matmul.allow_tf32, conv.allow_tf32 = before


@pytest.mark.parametrize("file", options("loss"), ids=lambda file: file.stem)
def test_a_loss_and_its_gradient(file: Path, device: torch.device) -> None:
    torch.manual_seed(0)
    loss = build_loss(read(file), CLASSES, {})
    logits = torch.randn(2, CLASSES.num_classes, 60, 80) * 3
    mask = random_labels(2, 60, 80).clamp(max=CLASSES.ignore_index)
    mask[mask == CLASSES.num_classes + 1] = CLASSES.ignore_index
    found = []
    for place in (torch.device("cpu"), device):
        x = logits.clone().to(place).requires_grad_()
        value = loss.to(place)(x, mask.to(place))
        value.backward()
        assert x.grad is not None
        found.append((value.detach().cpu(), x.grad.cpu()))
    (value, gradient), (other, other_gradient) = found
    torch.testing.assert_close(other, value, rtol=2e-4, atol=2e-4)
    assert (other_gradient - gradient).abs().max() <= 2e-4 * gradient.abs().max()
    narrow = logits.to(device, torch.bfloat16).requires_grad_()
    loss(narrow, mask.to(device)).backward()
    assert narrow.grad is not None
    assert torch.isfinite(narrow.grad).all()


def test_counts_and_labels(device: torch.device) -> None:
    pred, mask = random_labels(5, 90, 120), random_labels(5, 90, 120)
    ours = confusion_matrices(pred, mask, CLASSES.num_classes)
    theirs = confusion_matrices(pred.to(device), mask.to(device), CLASSES.num_classes)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(ours, theirs, strict=True))
    logits = torch.randn(3, 11, 45, 60)
    logits[1, 4, 20, 30] = torch.nan
    labels, finite = checked_argmax(logits, (90, 120))
    there, finite_there = checked_argmax(logits.to(device), (90, 120))
    assert (labels == there.cpu()).float().mean() > 0.9995
    assert finite.tolist() == finite_there.tolist() == [True, False, True]


@pytest.mark.parametrize("mode", MODES)
def test_label_maps(mode: str, device: torch.device, full_precision: None) -> None:
    torch.manual_seed(0)
    model = Custom(CLASSES.num_classes, width=16).eval()
    image = torch.randint(0, 256, (2, 3, 100, 140)).byte()
    found = []
    for place in (torch.device("cpu"), device):
        predictor = Predictor(model.to(place), CLASSES, (0.4,) * 3, (0.3,) * 3, **MODES[mode])
        found.append(predictor.labels(image.to(place), (120, 160)).cpu())
    assert (found[0] == found[1]).float().mean() > 0.999


@pytest.mark.parametrize(("color_jitter", "tolerance"), [(0.0, 1), (0.3, 3)])
def test_batches_of_frames_on_the_device(
    color_jitter: float, tolerance: int, device: torch.device
) -> None:
    torch.set_float32_matmul_precision("high")  # as in training
    data = SegmentationData(
        SOURCE, 0, batch_size=4, crop_size=(80, 100), color_jitter=color_jitter, cache="none",
        num_workers=0,
    )  # fmt: skip
    dataset = data.dataset("train")
    theirs = DeviceLoader(dataset, 4, EpochSampler(len(dataset), 0, True), device)
    for ours, there in zip(data.train_dataloader(), theirs, strict=True):
        assert torch.equal(ours["mask"], there["mask"].cpu())
        assert ours["name"] == there["name"]
        apart = (ours["image"].int() - there["image"].cpu().int()).abs()
        assert apart.max() <= tolerance
        assert (apart > 1).float().mean() < 1e-2


@pytest.mark.parametrize("file", options("model"), ids=lambda file: file.stem)
def test_a_step_of_every_model_in_bf16(file: Path, device: torch.device) -> None:
    node = {**read(file), **({"encoder_weights": None} if "encoder_weights" in read(file) else {})}
    model = build.build_model(node, CLASSES.num_classes).to(device)
    model = model.to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 96, 128, device=device).to(memory_format=torch.channels_last)
    mask = torch.randint(0, CLASSES.num_classes, (2, 96, 128), device=device)
    with torch.autocast(device.type, torch.bfloat16):
        has_aux = getattr(model, "aux_weight", 0)
        logits, aux = model.forward_with_aux(image) if has_aux else (model(image), [])
        loss = sum(F.cross_entropy(x.float(), mask) for x in (logits, *aux))
    loss.backward()
    assert torch.isfinite(loss)
    with torch.inference_mode():
        assert model.eval()(image).device.type == device.type
