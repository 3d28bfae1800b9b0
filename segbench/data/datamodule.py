"""The loaders of one data set, for Lightning."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from segbench.data.balance import class_weights, count_pixels
from segbench.data.classes import DataError
from segbench.data.dataset import SPLITS, EpochSampler, Record, SegmentationDataset, Source, collate
from segbench.data.files import SourceFrames
from segbench.data.transforms import Augmentation

Size = tuple[int, int]


class SegmentationData(pl.LightningDataModule):
    """Train, val and test loaders of a source.

    Batches are uint8 (see `collate`): the task normalises with `mean` and `std` and widens the
    masks on the device. Use `Trainer(use_distributed_sampler=False)`: the sampler of this module
    already splits the images among the ranks.

    Args:
        source: the data set.
        seed: seed of the run; draws depend on (seed, epoch, index) alone.
        batch_size: images per step and device.
        eval_batch_size: images per step and device in val and test.
        num_workers: loading processes per rank; None = as many as there are cores to spare.
        crop_size: `(H, W)` of training images in pixels; None = whole frames.
        scale_range: random scale factors of training frames.
        cat_max_ratio: see `ScaleCrop`, as for `class_uniform`.
        class_uniform: see `ScaleCrop`.
        hflip: see `Augmentation`, as for the next four.
        color_jitter: see `Augmentation`.
        blur: see `Augmentation`.
        noise: see `Augmentation`.
        cutout: see `Augmentation`.
        resize: `(H, W)` to which all images are resized, in training and evaluation; None keeps
            them. Scores are still taken at original resolution: val and test masks keep theirs.
        mean: RGB mean, of values in 0..1.
        std: RGB standard deviation, of values in 0..1.
        pin_memory: page-locked batches, for CUDA.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int | None = None,
        crop_size: Size | None = None,
        scale_range: tuple[float, float] = (0.5, 2.0),
        cat_max_ratio: float = 1.0,
        class_uniform: float = 0.0,
        hflip: float = 0.5,
        color_jitter: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
        resize: Size | None = None,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1 or eval_batch_size < 1:
            raise ValueError("data: batch_size and eval_batch_size must be at least 1")
        self.source = source
        self.classes = source.classes
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = _spare_cores() if num_workers is None else num_workers
        self.resize = _size(resize)
        self.mean = tuple(float(v) for v in mean)
        self.std = tuple(float(v) for v in std)
        self.pin_memory = pin_memory
        red, green, blue = (round(255 * v) for v in self.mean)
        self.augmentation = Augmentation(
            crop_size=_size(crop_size),
            scale_range=(float(scale_range[0]), float(scale_range[1])),
            cat_max_ratio=cat_max_ratio,
            class_uniform=class_uniform,
            hflip=hflip,
            color_jitter=color_jitter,
            blur=blur,
            noise=noise,
            cutout=cutout,
            image_fill=(red, green, blue),
            ignore_index=source.classes.ignore_index,
        )
        self._datasets: dict[str, SegmentationDataset] = {}
        self._class_pixels: tuple[np.ndarray, np.ndarray] | None = None

    def records(self, split: str) -> list[Record]:
        """The images of a split, in the order of `index`."""
        return self.dataset(split).records

    def dataset(self, split: str) -> SegmentationDataset:
        """The data set of train (augmented), val or test."""
        if split not in self._datasets:
            records = self.source.records(split)
            if not records:
                raise DataError(f"the {split} split of {self.source.protocol} is empty")
            train = split == "train"
            frames = SourceFrames(self.source, records, self.resize, resize_mask=train)
            self._datasets[split] = SegmentationDataset(
                records, frames, self.augmentation if train else None, self.seed
            )
        return self._datasets[split]

    def class_weights(self, rule: str) -> list[float]:
        """Class weights from the masks of the training set; see `balance.class_weights`."""
        if self._class_pixels is None:
            frames = self.dataset("train").frames
            masks = (frames.read(index)[1] for index in range(len(frames)))
            self._class_pixels = count_pixels(masks, self.classes.num_classes)
        return class_weights(rule, *self._class_pixels)

    def fingerprint(self) -> str:
        """Identifies the data: label protocol, names, groups and file sizes of all splits.

        Two runs with equal fingerprints saw the same images, wherever the files lie.
        """
        digest = hashlib.sha256(self.source.fingerprint_key().encode())
        for split in SPLITS:
            for record in self.records(split):
                files = [f for f in (record.image, record.mask) if f is not None]
                sizes = [file.stat().st_size for file in files]
                digest.update(f"{split}/{record.name}/{record.group}/{sizes}\n".encode())
        return digest.hexdigest()[:16]

    def train_dataloader(self) -> DataLoader:
        """Shuffled, augmented; the last incomplete batch is dropped."""
        return self._loader("train", self.batch_size, train=True)

    def val_dataloader(self) -> DataLoader:
        """In order; every image exactly once over all ranks."""
        return self._loader("val", self.eval_batch_size, train=False)

    def test_dataloader(self) -> DataLoader:
        """In order; every image exactly once over all ranks."""
        return self._loader("test", self.eval_batch_size, train=False)

    def _loader(self, split: str, batch_size: int, train: bool) -> DataLoader:
        dataset = self.dataset(split)
        rank, world_size = _ranks(self.trainer)
        sampler = EpochSampler(len(dataset), self.seed, train, rank, world_size, even=train)
        if train and len(sampler) < batch_size:
            raise DataError(
                f"data.batch_size={batch_size} x {world_size} device(s) exceeds the "
                f"{len(dataset)} training images. Lower data.batch_size."
            )
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=collate,
            drop_last=train,
            pin_memory=self.pin_memory,
            persistent_workers=train and self.num_workers > 0,
            worker_init_fn=_one_thread if self.num_workers else None,
        )


def _one_thread(worker: int) -> None:
    """Workers x threads must not exceed the cores: one thread per worker."""
    cv2.setNumThreads(0)


def _spare_cores() -> int:
    """All cores but one, which trains; at most 8."""
    return min(8, max(1, len(os.sched_getaffinity(0)) - 1))


def _ranks(trainer: Any) -> tuple[int, int]:
    return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)


def _size(size: Any) -> Size | None:
    if size is None:
        return None
    height, width = (int(v) for v in size)
    return height, width
