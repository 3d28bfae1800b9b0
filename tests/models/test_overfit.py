"""Each model overfits four street frames, which shows that it can learn."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.data.sources.streets import Streets
from segbench.models.timm_encoder import PlainViT

CONF = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(f.stem for f in CONF.glob("*.yaml") if "???" not in f.read_text("utf-8"))
CELL = 8
STEPS = 600
# Torchvision's batch norm momentum of 0.01 is for long trainings: the statistics used for
# evaluation lag about 100 steps behind the weights.
CHANGES = {"lraspp_mobilenet_v3_large": {"norm_momentum": 0.1}}
# A linear head says one thing per patch: cells of the size of a patch.
CELLS = {"vit_linear_small": 14, "vit_linear_base": 14}
POINTS = 1024  # of the losses with queries; 12544 take minutes a step


def build(name: str, num_classes: int) -> nn.Module:
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | CHANGES.get(name, {})
    module, _, attribute = config.pop("_target_").rpartition(".")
    torch.manual_seed(0)
    return getattr(importlib.import_module(module), attribute)(num_classes=num_classes, **config)


def four_frames(cell: int = CELL) -> tuple[Tensor, Tensor, int]:
    """Frames of four drives, each pixel enlarged to 8x8: half of the models predict at stride 8."""
    source = Streets(size=(12, 16), train=32, frames_per_drive=8)
    pairs = [source.read(record) for record in source.records("train")[::8]]
    images, masks = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True))
    image = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    cells = np.ones((1, cell, cell), np.uint8)
    mask = torch.from_numpy(np.kron(masks.numpy(), cells)).long()
    return F.interpolate(image, scale_factor=cell, mode="nearest"), mask, source.classes.num_classes


def mean_iou(pred: Tensor, mask: Tensor, num_classes: int) -> float:
    known = mask < num_classes
    pairs = mask[known] * num_classes + pred[known]
    matrix = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, -1).double()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diag()
    return float((matrix.diag() / union)[union > 0].mean())


def learn(model: nn.Module, image: Tensor, mask: Tensor, num_classes: int) -> tuple[int, float]:
    """Trains until the mIoU in evaluation mode is above 0.95, for at most `STEPS` steps.

    Returns:
        Steps and mIoU.
    """
    has_own_loss = hasattr(model, "training_loss")
    if has_own_loss:
        model.loss = dataclasses.replace(model.loss, points=POINTS)
    is_plain = isinstance(getattr(model, "encoder", None), PlainViT)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4 if has_own_loss or is_plain else 1e-3)
    reached = 0.0
    for step in range(1, STEPS + 1):
        model.train()
        if has_own_loss:
            loss = torch.stack(list(model.training_loss(image, mask).values())).sum()
        else:
            loss = F.cross_entropy(model(image), mask, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.inference_mode():
                reached = mean_iou(model.eval()(image).argmax(1), mask, num_classes)
            if reached > 0.95:
                break
    return step, reached


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_overfits_four_images(name: str) -> None:
    image, mask, num_classes = four_frames(CELLS.get(name, CELL))
    steps, reached = learn(build(name, num_classes), image, mask, num_classes)
    print(f"{name}: mIoU {reached:.3f} after {steps} steps")
    assert reached > 0.95
