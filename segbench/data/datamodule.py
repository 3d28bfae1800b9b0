"""Lightning data module: the loaders of one data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from segbench.data.balance import check_trainable, class_weights, pixel_counts
from segbench.data.bands import bands_of
from segbench.data.batch import check_one_size
from segbench.data.dataset import (
    EpochSampler,
    Record,
    SegmentationDataset,
    Source,
)
from segbench.data.device import DeviceLoader
from segbench.data.frames import SourceFrames
from segbench.data.further_transforms import admitted
from segbench.data.loader import ProcessLoader, ThreadLoader, check_shared_memory
from segbench.data.normalization import ImagesOf, Normalization
from segbench.data.preview import sheet, spread_samples
from segbench.data.splits import Splits
from segbench.data.transforms import Augmentation
from segbench.errors import DataError
from segbench.system.machine import cores
from segbench.system.storage import write_png

Loader = ThreadLoader | ProcessLoader | DeviceLoader


class SegmentationData(pl.LightningDataModule):
    """Train, val and test loaders of a source.

    Batches are uint8 (see `collate`): the task normalizes and casts on the device. Use
    `Trainer(use_distributed_sampler=False)`: the samplers here already split the images by rank.

    Args:
        source: the data set.
        seed: seed of the run.
        batch_size: images per step and device.
        eval_batch_size: of val and test; None = 1 on a CPU, a training batch's pixels on a GPU.
        num_workers: loading threads or processes per rank; 0 loads in the training process; None
            uses the spare cores.
        workers: `thread`, `process`, or `auto`: threads once frames come from a cache.
        resize: `(H, W)` to which all images are resized, in training and evaluation; None keeps
            their size. Scores are always at original resolution: val and test masks keep theirs.
        mean: mean of each channel, of values in 0..1 (black to white); `auto` measures the training
            images.
        std: standard deviation of each channel, of values in 0..1; may be `auto`.
        cache: where decoded frames of train and val are cached: `disk`, `ram` or `none`.
        cache_dir: folder of disk caches; None = `machine.cache_folder()`, if there is one.
        cache_limit_gb: maximum size of all caches together, in 10^9 bytes.
        frames_on_device: keep the training frames on the GPU and augment there.
        pin_memory: page-locked batches; None = with CUDA.
        augment: albumentations transforms by name, see `further_transforms.admitted`.
        preview: whether `segbench.train` should call `write_preview`.
        folds, fold: the source is divided by them already; see `Folds`.
        augmentation: the arguments of `Augmentation` that a config sets: `crop_size`, `hflip`, ...

    Raises:
        ValueError: arguments are out of range; the message names all of them.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        batch_size: int = 8,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
        workers: Literal["auto", "thread", "process"] = "auto",
        resize: tuple[int, int] | None = None,
        mean: Sequence[float] | Literal["auto"] = (0.485, 0.456, 0.406),
        std: Sequence[float] | Literal["auto"] = (0.229, 0.224, 0.225),
        cache: Literal["disk", "ram", "none"] = "disk",
        cache_dir: str | None = None,
        cache_limit_gb: float = 50.0,
        frames_on_device: bool = False,
        pin_memory: bool | None = None,
        preview: bool = False,
        augment: Mapping[str, Any] | None = None,
        folds: int | None = None,
        fold: int = 0,
        **augmentation: Any,
    ) -> None:
        super().__init__()
        self.source = source
        self.classes = source.classes
        self.seed = seed
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = min(8, max(1, cores() - 1)) if num_workers is None else num_workers
        self.workers = workers
        self.resize = (int(resize[0]), int(resize[1])) if resize is not None else None
        self.splits = Splits(source, self.resize, cache, cache_dir, cache_limit_gb)
        self.normalization = Normalization(
            bands_of(source), mean, std, lambda: ImagesOf(self.splits.frames("train"))
        )
        self.cache = cache
        self.cache_limit_gb = cache_limit_gb
        self.frames_on_device = frames_on_device
        self.pin_memory = pin_memory
        self.preview = preview
        self.fold = fold if folds else None
        self._augmentation = partial(
            Augmentation,
            ignore_index=source.classes.ignore_index,
            further=admitted(augment or {}, bands_of(source), source.classes.ignore_index),
            **augmentation,
        )
        unfilled = self._augmentation()  # raises errors for numbers out of range now
        self.crop_size = unfilled.scale_crop.crop_size
        self._check(unfilled.cpu_only, unfilled.color_jitter)
        self.device: torch.device | None = None  # device of the batches, if there is no Trainer
        self._datasets: dict[str, SegmentationDataset] = {}
        self._train_loader: Loader | None = None

    bands = property(attrgetter("normalization.bands"), doc="What the model sees, see `Bands`.")
    mean = property(attrgetter("normalization.mean"), doc="Of each channel, of values in 0..1.")
    std = property(attrgetter("normalization.std"), doc="Likewise, the standard deviation.")

    @cached_property
    def augmentation(self) -> Augmentation:
        """The transform of the training images; padding has their mean color."""
        limits = self.bands.limits if self.bands.keeps_values else None
        return self._augmentation(image_fill=self.normalization.fill, limits=limits)

    def records(self, split: str) -> list[Record]:
        """The images of a split, in the order of `index` in the batches."""
        return self.dataset(split).records

    def source_records(self, split: str) -> list[Record]:
        """The images of a split, without building a cache; DataError if there are none."""
        return self.splits.records(split)

    def fingerprint(self, split: str) -> str:
        """Fingerprint of a split's content; see `fingerprint`."""
        return self.splits.fingerprint(split)

    def trained_on(self, split: str) -> list[Record]:
        """The images of a split that are training images too; see `shared_images`."""
        return self.splits.trained_on(split)

    def class_weights(self, weighting: str) -> list[float]:
        """Class weights from the training set; see `balance.class_weights`."""
        counts = pixel_counts(self.dataset("train").frames, self.classes.num_classes)
        return class_weights(weighting, counts)

    def write_preview(self, path: Path, count: int = 12) -> None:
        """Writes a sheet of augmented training samples as PNG."""
        samples = spread_samples(self.dataset("train"), count, self.bands)
        write_png(path, sheet(samples, self.classes))

    def dataset(self, split: str) -> SegmentationDataset:
        """The data set of train (augmented), val or test; builds its cache on first use."""
        if split not in self._datasets:
            records, frames = self.source_records(split), self.splits.frames(split)
            transform = None
            if split == "train":
                check_trainable(frames, self.classes)
                transform = self.augmentation
            self._datasets[split] = SegmentationDataset(records, frames, transform, self.seed)
        return self._datasets[split]

    def train_dataloader(self) -> Loader:
        """Shuffled and augmented; an incomplete last batch is dropped."""
        if self._train_loader is None:
            self._train_loader = self._loader("train")
        return self._train_loader

    def val_dataloader(self) -> Loader:
        """In order; every image exactly once across all ranks."""
        return self._loader("val")

    def test_dataloader(self) -> Loader:
        """In order; every image exactly once across all ranks."""
        return self._loader("test")

    def teardown(self, stage: str) -> None:
        """Stops prefetching for an epoch that will not be run."""
        if isinstance(self._train_loader, ThreadLoader):
            self._train_loader.close()

    def images_at_once(self, split: str) -> int:
        """Images per step and device in val or test."""
        device = self._device()
        if self.eval_batch_size is not None:
            return self.eval_batch_size
        if device is None or device.type != "cuda":
            return 1  # a larger batch is not faster on a CPU
        crop = self.crop_size
        if crop is None:
            return self.batch_size
        height, width = self.dataset(split).frames.read(0)[0].shape[:2]
        return max(1, self.batch_size * crop[0] * crop[1] // (height * width))

    def _device(self) -> torch.device | None:
        return self.trainer.strategy.root_device if self.trainer else self.device

    def _loader(self, split: str) -> Loader:
        dataset, train, trainer = self.dataset(split), split == "train", self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = EpochSampler(len(dataset), self.seed, train, rank, world_size, even=train)
        batch_size = self.batch_size if train else self.images_at_once(split)
        if train and len(sampler) < batch_size:
            raise DataError(
                f"data.batch_size={batch_size} x {world_size} device(s) exceeds the "
                f"{len(dataset)} training images. Lower data.batch_size."
            )
        is_cut = batch_size == 1 or self.crop_size is not None
        if train and not is_cut and not isinstance(dataset.frames, SourceFrames):
            _check_sizes(dataset)  # otherwise the first batch of mixed sizes raises the error
        device = self._device()
        if train and self.frames_on_device and device is not None:
            return DeviceLoader(dataset, batch_size, sampler, device)
        threads = not isinstance(dataset.frames, SourceFrames)
        if self.workers != "auto":
            threads = self.workers == "thread"
        if not (threads := threads or self.num_workers == 0):
            check_shared_memory(dataset, batch_size, self.num_workers)
        on_cuda = device is not None and device.type == "cuda"
        return (ThreadLoader if threads else ProcessLoader)(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            drop_last=train,
            one_size=train,
            epochs=_epochs(trainer) if train else 1,
            pin_memory=on_cuda if self.pin_memory is None else self.pin_memory,
        )

    def _check(self, cpu_only: bool, color_jitter: float) -> None:
        problems, bands = self.normalization.problems(), bands_of(self.source)
        if color_jitter and not bands.is_rgb:
            problems.append("color_jitter works only on RGB; with data.channels, set it to 0")
        if self.frames_on_device and (cpu_only or not bands.is_rgb8):
            problems.append(
                "frames_on_device supports only 8-bit RGB with scale_range, crop_size, hflip and "
                "color_jitter; set frames_on_device=false"
            )
        if any(size is not None and size < 1 for size in (self.batch_size, self.eval_batch_size)):
            problems.append("batch_size and eval_batch_size must be at least 1")
        if self.cache_limit_gb < 0:
            problems.append("cache_limit_gb must be at least 0")
        if self.num_workers < 0:
            problems.append(f"num_workers is {self.num_workers}; expected 0 or more")
        if self.workers not in ("auto", "thread", "process"):
            problems.append(f"workers is {self.workers}; expected auto, thread or process")
        if self.cache not in ("disk", "ram", "none"):
            problems.append(f"cache is {self.cache}; expected disk, ram or none")
        if self.resize is not None and min(self.resize) < 1:
            problems.append(f"resize is {self.resize}; expected (height, width) in pixels")
        if problems:
            raise ValueError("; ".join(problems))


def _epochs(trainer: pl.Trainer | None) -> int:
    """How many epochs ahead the training loader may prefetch."""
    limit = trainer.max_epochs if trainer is not None else 1
    return sys.maxsize if limit is None or limit < 0 else limit


def _check_sizes(dataset: SegmentationDataset) -> None:
    """Raises DataError if the frames have different sizes."""
    shapes = (dataset.frames.read(index)[0].shape for index in range(len(dataset)))
    check_one_size(zip((record.name for record in dataset.records), shapes, strict=True))
