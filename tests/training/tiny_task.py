"""A task so small that a test trains it: a linear model on random images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from segbench.data.classes import ClassSet
from segbench.inference.predictor import Predictor
from segbench.training import optim
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
