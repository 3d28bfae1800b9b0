"""The loaders of one data set, for Lightning."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl

from segbench.data.balance import check_trainable, class_weights, pixel_counts
from segbench.data.cache import cached_in_memory, cached_on_disk, default_folder
from segbench.data.dataset import (
    EpochSampler,
    Frames,
    Record,
    SegmentationDataset,
    Source,
    check_one_size,
)
from segbench.data.device import DeviceLoader
from segbench.data.files import cores
from segbench.data.fingerprint import fingerprint
from segbench.data.frames import SourceFrames
from segbench.data.loader import ProcessLoader, ThreadLoader
from segbench.data.oddities import dark_range, oddities_of
from segbench.data.preview import save_sheet, sheet
from segbench.data.transforms import Augmentation
from segbench.errors import DataError

Loader = ThreadLoader | ProcessLoader | DeviceLoader
_LOOKED_AT = 8  # training images whose range of values is looked at
_log = logging.getLogger(__name__)


class SegmentationData(pl.LightningDataModule):
    """Train, val and test loaders of a source.

    Batches are uint8 (see `collate`): the task normalises with `mean` and `std` and widens the
    masks on the device. Use `Trainer(use_distributed_sampler=False)`: the samplers of this module
    already split the images among the ranks.

    Args:
        source: the data set.
        seed: seed of the run; draws depend on (seed, epoch, index) alone.
        batch_size: images per step and device.
        eval_batch_size: images per step and device in val and test.
        num_workers: loading threads or processes per rank; 0 loads in the training process; None
            takes the cores to spare.
        workers: `thread` or `process`; `auto` takes threads once frames come from a cache.
        crop_size: `(H, W)` of training images in pixels; None = whole frames.
        scale_range: random scale factors of training frames.
        cat_max_ratio: see `ScaleCrop`, as for the next two.
        class_uniform: see `ScaleCrop`.
        hflip: see `ScaleCrop`.
        color_jitter: see `Augmentation`, as for the next three.
        blur: see `Augmentation`.
        noise: see `Augmentation`.
        cutout: see `Augmentation`.
        resize: `(H, W)` to which all images are resized, in training and evaluation; None keeps
            them. Scores are still taken at original resolution: val and test masks keep theirs.
        mean: RGB mean, of values in 0..1.
        std: RGB standard deviation, of values in 0..1.
        cache: where decoded frames of train and val are kept: `disk`, `ram` or `none`.
        cache_dir: folder of disk caches; None = `default_folder()`.
        cache_limit_gb: what all caches together may take, in 10^9 bytes.
        frames_on_device: keep the training frames on the GPU and augment there.
        pin_memory: page-locked batches; None = with CUDA.
        preview: whether the verb that trains is to call `write_preview`.

    Raises:
        ValueError: arguments out of range, all of them named.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int | None = None,
        workers: Literal["auto", "thread", "process"] = "auto",
        crop_size: tuple[int, int] | None = None,
        scale_range: tuple[float, float] = (0.5, 2.0),
        cat_max_ratio: float = 1.0,
        class_uniform: float = 0.0,
        hflip: float = 0.5,
        color_jitter: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
        resize: tuple[int, int] | None = None,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        cache: Literal["disk", "ram", "none"] = "disk",
        cache_dir: str | None = None,
        cache_limit_gb: float = 50.0,
        frames_on_device: bool = False,
        pin_memory: bool | None = None,
        preview: bool = False,
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
        self.mean = tuple(float(v) for v in mean)
        self.std = tuple(float(v) for v in std)
        self.cache = cache
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_folder()
        self.cache_limit = int(cache_limit_gb * 1e9)
        self.frames_on_device = frames_on_device
        self.pin_memory = pin_memory
        self.preview = preview
        self._check(cpu_only=max(blur, noise, cutout) > 0)
        red, green, blue = (round(255 * v) for v in self.mean)
        self.augmentation = Augmentation(
            crop_size=(int(crop_size[0]), int(crop_size[1])) if crop_size is not None else None,
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
        self._train_loader: Loader | None = None

    def records(self, split: str) -> list[Record]:
        """The images of a split; their order is that of `index` in the batches."""
        return self.dataset(split).records

    def fingerprint(self, split: str) -> str:
        """Fingerprint of a split by content; see `fingerprint`."""
        return fingerprint(self.source, self.records(split), self.cache_dir / "fingerprints")

    def class_weights(self, weighting: str) -> list[float]:
        """Weights of the classes in the training set; see `balance.class_weights`."""
        counts = pixel_counts(self.dataset("train").frames, self.classes.num_classes)
        return class_weights(weighting, counts)

    def write_preview(self, path: Path, count: int = 12) -> None:
        """Writes a sheet of augmented training samples as PNG."""
        dataset = self.dataset("train")
        samples = []
        for index in range(0, len(dataset), max(1, len(dataset) // count))[:count]:
            sample = dataset[0, index]
            arrays = (sample["image"].permute(1, 2, 0).numpy(), sample["mask"].numpy())
            samples.append((sample["name"], arrays))
        save_sheet(path, sheet(samples, self.classes))

    def dataset(self, split: str) -> SegmentationDataset:
        """The data set of train (augmented), val or test; builds its cache when first asked."""
        if split not in self._datasets:
            records = self.source.records(split)
            if not records:
                raise DataError(f"the {split} split of {self.source.protocol} is empty")
            transform = self.augmentation if split == "train" else None
            frames = self._frames(split, records)
            if split == "train":
                check_trainable(frames, self.classes)
                if dark := dark_range([oddities_of(r.image).span for r in records[:_LOOKED_AT]]):
                    _log.warning("%s/train: %s", self.source.protocol, dark)
            self._datasets[split] = SegmentationDataset(records, frames, transform, self.seed)
        return self._datasets[split]

    def train_dataloader(self) -> Loader:
        """Shuffled, augmented; the last incomplete batch is dropped."""
        if self._train_loader is None:
            self._train_loader = self._loader("train")
        return self._train_loader

    def val_dataloader(self) -> Loader:
        """In order; every image exactly once over all ranks."""
        return self._loader("val")

    def test_dataloader(self) -> Loader:
        """In order; every image exactly once over all ranks."""
        return self._loader("test")

    def _frames(self, split: str, records: list[Record]) -> Frames:
        train = split == "train"
        frames = SourceFrames(self.source, records, self.resize, resize_mask=train)
        label = f"{self.source.protocol}/{split}"
        if self.cache == "none" or split == "test":  # test is read once
            return frames
        if self.cache == "ram":
            return cached_in_memory(frames, self.cache_limit, label)
        content = fingerprint(self.source, records, self.cache_dir / "fingerprints")
        size = "x".join(map(str, self.resize or ()))
        key = f"{content}-{split}{size}"
        return cached_on_disk(frames, key, self.cache_dir, self.cache_limit, label)

    def _loader(self, split: str) -> Loader:
        dataset, train = self.dataset(split), split == "train"
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = EpochSampler(len(dataset), self.seed, train, rank, world_size, even=train)
        batch_size = self.batch_size if train else self.eval_batch_size
        if train and len(sampler) < batch_size:
            raise DataError(
                f"data.batch_size={batch_size} x {world_size} device(s) exceeds the "
                f"{len(dataset)} training images. Lower data.batch_size."
            )
        if train:
            self._check_sizes(dataset)
        device = trainer.strategy.root_device if trainer else None
        if train and self.frames_on_device and device is not None:
            return DeviceLoader(dataset, batch_size, sampler, device)
        threads = not isinstance(dataset.frames, SourceFrames)
        if self.workers != "auto":
            threads = self.workers == "thread"
        on_cuda = device is not None and device.type == "cuda"
        return (ThreadLoader if threads or self.num_workers == 0 else ProcessLoader)(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            drop_last=train,
            one_size=train,
            pin_memory=on_cuda if self.pin_memory is None else self.pin_memory,
        )

    def _check_sizes(self, dataset: SegmentationDataset) -> None:
        """Refuses frames of several sizes, where asking for a size decodes nothing."""
        if self.batch_size == 1 or self.augmentation.scale_crop.crop_size is not None:
            return
        if not isinstance(dataset.frames, SourceFrames):  # else the first such batch says it
            shapes = (dataset.frames.read(index)[0].shape for index in range(len(dataset)))
            names = (record.name for record in dataset.records)
            check_one_size(zip(names, shapes, strict=True))

    def _check(self, cpu_only: bool) -> None:
        problems = []
        if self.frames_on_device and cpu_only:
            problems.append(
                "frames_on_device cannot blur, add noise or cut out; set blur, noise and cutout "
                "to 0, or frames_on_device=false"
            )
        if self.batch_size < 1 or self.eval_batch_size < 1:
            problems.append("batch_size and eval_batch_size must be at least 1")
        if self.cache_limit < 0:
            problems.append("cache_limit_gb must be at least 0")
        if self.num_workers < 0:
            problems.append(f"num_workers is {self.num_workers}; expected 0 or more")
        if self.workers not in ("auto", "thread", "process"):
            problems.append(f"workers is {self.workers}; expected auto, thread or process")
        if self.cache not in ("disk", "ram", "none"):
            problems.append(f"cache is {self.cache}; expected disk, ram or none")
        if self.resize is not None and min(self.resize) < 1:
            problems.append(f"resize is {self.resize}; expected (height, width) in pixels")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            problems.append("mean and std need three values, std above 0")
        if problems:
            raise ValueError("; ".join(problems))
