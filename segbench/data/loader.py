"""Loaders that prefetch batches, with threads or processes, in the order of the sampler.

With frames from a cache, only a crop and a little arithmetic in OpenCV remain, which releases
Python's GIL: threads are then faster than processes, which have to transfer every batch.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from segbench.data.dataset import EpochSampler, Sample, SegmentationDataset, collate
from segbench.errors import ConfigError, DataError
from segbench.system.machine import free_shared_memory

Batch = dict[str, Any]
PREFETCHED = 2  # batches that a worker process prefetches, as torch's default


class ThreadLoader:
    """A loader whose workers are threads.

    They continue across epochs: the order of the next epoch is known, so its first batches are
    ready when it begins.

    Args:
        dataset: the data set.
        batch_size: images per batch.
        sampler: yields the keys of every epoch, which determine the order of the images.
        num_workers: number of threads; 0 loads in the calling thread on demand.
        drop_last: drop an incomplete last batch.
        pin_memory: page-locked batches, which CUDA copies while it computes.
        one_size: see `collate`.
        epochs: number of epochs; nothing is prefetched beyond the last one.
    """

    batch_sampler = None  # Lightning expects one wherever it finds a sampler

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        num_workers: int,
        drop_last: bool,
        pin_memory: bool = False,
        one_size: bool = False,
        epochs: int = 1,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.num_workers = num_workers
        self.drop_last = drop_last
        self.pin_memory = pin_memory
        self.one_size = one_size
        self.epochs = epochs
        self._ahead: _Ahead | None = None  # prefetches the next epoch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)  # workers x OpenCV threads must not exceed the cores
        epoch = self.sampler.epoch
        if self.num_workers == 0:
            yield from map(self._load, self._keys(epoch))
            return
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.epoch != epoch:
            if ahead is not None:
                ahead.close()
            keys = itertools.chain.from_iterable(
                map(self._keys, range(epoch, max(epoch + 1, self.epochs)))
            )
            ahead = _Ahead(self._load, keys, self.num_workers)
        is_complete = False
        try:
            for _ in range(len(self)):
                yield ahead.next()
            is_complete = epoch + 1 < self.epochs
        finally:
            if is_complete:
                ahead.epoch = epoch + 1
                self._ahead = ahead
            else:
                ahead.close()

    def close(self) -> None:
        """Stops prefetching for an epoch that will not be run."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None

    def _keys(self, epoch: int) -> list[list[tuple[int, int]]]:
        """The keys of every batch of an epoch."""
        keys = self.sampler.keys(epoch)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return [keys[start : start + self.batch_size] for start in starts]

    def _load(self, keys: list[tuple[int, int]]) -> Batch:
        batch = collate([self.dataset[key] for key in keys], self.one_size)
        return _each_tensor(batch, torch.Tensor.pin_memory) if self.pin_memory else batch


class _Ahead:
    """Prefetches batches in order, up to two per thread.

    Args:
        load: loads a batch from its keys.
        keys: keys of each batch, in order.
        num_workers: number of threads.
    """

    def __init__(
        self,
        load: Callable[[list[tuple[int, int]]], Batch],
        keys: Iterator[list[tuple[int, int]]],
        num_workers: int,
    ) -> None:
        self.epoch: int | None = None  # epoch of the next batch, if it is the first of an epoch
        self._load, self._keys = load, keys
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="loader")
        self._futures: deque[Future[Batch]] = deque()
        self._submit(2 * num_workers)

    def next(self) -> Batch:
        """Returns the next batch, waiting if needed."""
        ready = self._futures.popleft().result()
        self._submit(1)
        return ready

    def close(self) -> None:
        """Stops the threads after their current batch."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, count: int) -> None:
        for keys in itertools.islice(self._keys, count):
            self._futures.append(self._pool.submit(self._load, keys))


class ProcessLoader(DataLoader):
    """torch's loader with worker processes; errors for users keep their type and message."""

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        num_workers: int,
        drop_last: bool,
        pin_memory: bool = False,
        one_size: bool = False,
        epochs: int = 1,  # not used: it prefetches only within an epoch
    ) -> None:
        super().__init__(
            _Guarded(dataset),
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=partial(_collate_guarded, one_size=one_size),
            drop_last=drop_last,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            prefetch_factor=PREFETCHED if num_workers else None,
            worker_init_fn=_one_thread,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, DataError | ConfigError):
                raise batch
            yield batch


class _Guarded(torch.utils.data.Dataset):
    """Returns a DataError instead of raising it, because torch would wrap it in a traceback."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample | DataError:
        try:
            return self.dataset[key]
        except DataError as error:
            return error


def _collate_guarded(
    samples: list[Sample | DataError], one_size: bool
) -> Batch | DataError | ConfigError:
    """Puts the batch into shared memory here; torch would do it later, and hang if it is full."""
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    try:
        batch = errors[0] if errors else collate(samples, one_size)  # type: ignore[arg-type]
    except DataError as error:
        return error
    try:
        return _each_tensor(batch, torch.Tensor.share_memory_)
    except RuntimeError as error:
        return shared_memory_full(str(error).strip().splitlines()[0])


def check_shared_memory(dataset: SegmentationDataset, batch_size: int, num_workers: int) -> None:
    """Refuses worker processes whose batches do not fit into shared memory, which would hang.

    Raises:
        ConfigError: /dev/shm is too small, as in a Docker container (64 MB).
    """
    free = free_shared_memory()
    if free is None:
        return
    sample = dataset[0, 0]
    batch = batch_size * (sample["image"].nbytes + sample["mask"].nbytes)
    if batch * num_workers * PREFETCHED > free:
        raise shared_memory_full(
            f"{num_workers} worker processes pass up to {PREFETCHED} batches each, of "
            f"{batch / 1e6:.1f} MB, through it, but only {free / 1e6:.1f} MB are free"
        )


def shared_memory_full(reason: str) -> ConfigError:
    """The error for worker processes that cannot transfer their batches."""
    return ConfigError(
        f"/dev/shm is too small: {reason}. Set data.workers=thread or data.num_workers=0, or make "
        "it larger (docker run --shm-size=8g)"
    )


def _one_thread(worker: int) -> None:
    """Limits a worker to one thread: workers x threads must not exceed the cores."""
    cv2.setNumThreads(0)


def _each_tensor(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Applies `change` to each tensor of a batch."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_tensor(item, change) for key, item in value.items()}
    return [_each_tensor(item, change) for item in value] if isinstance(value, list) else value
