"""Records, samples, the map-style data set and its sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from segbench.data.classes import ClassSet
from segbench.errors import DataError

Arrays = tuple[np.ndarray, np.ndarray]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """One image of a split, before its files are read.

    Args:
        name: unique in the split; used in result files and for prediction files.
        group: what images are correlated within (drive, city, patient).
        image: path of the image; None if it is generated.
        mask: path of the mask; None if unlabeled or generated.
        index: position, used by generated sources.
        part: the slice of the files, if these are volumes.
        more_masks: further masks of the image, with more pixels of class 1.
    """

    name: str
    group: str
    image: Path | None = None
    mask: Path | None = None
    index: int = 0
    part: int | None = None
    more_masks: tuple[Path, ...] = ()


class Sample(TypedDict):
    """Image `[C, H, W]`, channels last in memory; uint8 `[H, W]` class ids; and their origin."""

    image: torch.Tensor
    mask: torch.Tensor
    name: str
    group: str
    index: int


class Source(Protocol):
    """A data set on disk (or generated): what every `_target_` in `conf/data` must provide.

    Your class needs these members but no base class. It must be thread-safe and picklable, because
    several threads or processes read from it. Its arguments are the keys of its YAML. It may also
    have:

    - `terms`, a class attribute: what the license of the data says about weights trained on it, for
      the model card;
    - `found_label_map`, `dict[str, int] | None`: class id by raw label, if the data set itself
      defines it, for result.json;
    - `bands`, a `data.bands.Bands`: the bands of its images and the meaning of their values, if
      these are not 8-bit RGB;
    - `root`, a path: where `segbench.check_data` looks for files that belong to no record.

    Attributes:
        classes: the classes; the only source of their number and of `ignore_index`.
        protocol: name and version of the labels (`camvid-11`). Runs of different protocols are
            never in the same table.
        comparable: whether scores may be compared with published ones: official images, labels
            and splits.
    """

    classes: ClassSet
    protocol: str
    comparable: bool

    def records(self, split: str) -> list[Record]:
        """The images of a split.

        Args:
            split: train, val or test.

        Returns:
            Ordered by group, then by time, the same at every call. Names are unique in the split.
            Empty if the data set has no such split.

        Raises:
            DataError: files are missing; the message names all of them.
        """

    def read(self, record: Record) -> Arrays:
        """Reads one image and its mask, as viewers display them (EXIF orientation applied).

        Args:
            record: one of `records`.

        Returns:
            uint8 `[H, W, 3]` RGB (or as defined by `bands`) and uint8 `[H, W]` class ids,
            `ignore_index` where unlabeled.

        Raises:
            DataError: a file is damaged or has an unknown label; names the file and the label.
        """

    def fingerprint_key(self) -> str:
        """Everything that changes what `read` returns, apart from the names and contents of files.

        For example the label map or the version of a generator. Fingerprints and caches use it.
        """


class Frames(Protocol):
    """Decoded frames of one split by position, read from a source or from a cache."""

    def __len__(self) -> int:
        """Number of frames."""

    def read(self, index: int) -> Arrays:
        """Image `[H, W, C]` and mask uint8 `[h, w]`; treat both as read-only."""


class Transform(Protocol):
    """Transforms an image and its mask together; `key` (seed, epoch, index) seeds all draws."""

    def __call__(self, image: np.ndarray, mask: np.ndarray, key: tuple[int, int, int]) -> Arrays:
        """Returns new arrays or views; never modifies its arguments."""


class SegmentationDataset(Dataset):
    """Map-style data set indexed by `(epoch, index)`, as `EpochSampler` yields them.

    What is drawn for a sample depends only on `(seed, epoch, index)`, so the number of workers,
    threads or ranks, and resuming, change nothing.

    Args:
        records: the images of the split.
        frames: their decoded frames, in the same order.
        transform: augmentation, or None.
        seed: seed of the run.
    """

    def __init__(
        self, records: list[Record], frames: Frames, transform: Transform | None, seed: int
    ) -> None:
        if len(records) != len(frames):
            raise ValueError(f"{len(records)} records but {len(frames)} frames")
        self.records = records
        self.frames = frames
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        image, mask = self.frames.read(index)
        if self.transform is not None:
            image, mask = self.transform(image, mask, (self.seed, epoch, index))
        record = self.records[index]
        return {
            "image": torch.from_numpy(_own(image)).permute(2, 0, 1),
            "mask": torch.from_numpy(_own(mask)),
            "name": record.name,
            "group": record.group,
            "index": index,
        }


class EpochSampler(Sampler):
    """Yields `(epoch, index)`; the order depends only on `(seed, epoch)`.

    Ranks take every `world_size`-th element of one order, so a global step sees the same
    images on any number of devices with the same effective batch size.

    Args:
        length: number of images.
        seed: seed of the run.
        shuffle: draw a new order every epoch; False keeps 0, 1, 2, ...
        rank: rank of this process.
        world_size: number of processes.
        even: truncate the order so that all ranks get the same number (training); False gives
            every image to exactly one rank (evaluation).
    """

    def __init__(
        self,
        length: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        even: bool = True,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} must be in 0..{world_size - 1}")
        self.length = length
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.even = even
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch whose order the next iteration uses."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.even:
            return self.length // self.world_size
        return len(range(self.rank, self.length, self.world_size))

    def keys(self, epoch: int) -> list[tuple[int, int]]:
        """The keys that an iteration of this epoch yields."""
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        mine = order[self.rank :: self.world_size][: len(self)]
        return [(epoch, int(index)) for index in mine]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.keys(self.epoch))


def check_split(split: str, absent: Sequence[str] = ()) -> None:
    """Raises DataError unless split is train, val or test, or if the data set lacks this split."""
    if split not in SPLITS:
        raise DataError(f"there is no split '{split}'; expected one of {', '.join(SPLITS)}")
    if split in absent:
        present = " and ".join(s for s in SPLITS if s not in absent)
        if "train" in absent:
            remedy = (
                "it is for evaluating checkpoints that were trained on another data set with the "
                "same classes."
            )
        else:
            other = "val" if split == "test" else "train"
            remedy = (
                f"name another one in its place with selection=last, as in 'data.splits={{{split}: "
                f"{other}}}' (the name that {other} has there)"
                + (", or train without a test: test=false." if split == "test" else ".")
            )
        raise DataError(f"this data set has no {split} images, only {present}: {remedy}")


def _own(array: np.ndarray) -> np.ndarray:
    """A writable contiguous array: torch must not wrap a view of a read-only memory map."""
    return array if array.flags.writeable and array.flags.c_contiguous else array.copy()
