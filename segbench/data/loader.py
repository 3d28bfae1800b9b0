"""Batches made ahead of time, by threads or by processes, in the sampler's order.

Once frames come from a cache, what is left is a crop and a little arithmetic inside OpenCV, which
releases Python's lock: threads then beat processes, which would have to ship every batch.
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

Batch = dict[str, Any]
PREFETCHED = 2  # batches that a worker process makes ahead of time, as torch's default is


class ThreadLoader:
    """A loader whose workers are threads.

    Args:
        dataset: the data set.
        batch_size: images per batch.
        sampler: yields the keys; its order is the order of the batches' images.
        num_workers: threads; 0 loads in the calling thread when a batch is asked for.
        drop_last: leave out an incomplete last batch.
        pin_memory: page-locked batches, which CUDA copies while it computes.
        one_size: see `collate`.
    """

    batch_sampler = None  # Lightning looks for one wherever it finds a sampler

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        num_workers: int,
        drop_last: bool,
        pin_memory: bool = False,
        one_size: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.num_workers = num_workers
        self.drop_last = drop_last
        self.pin_memory = pin_memory
        self.one_size = one_size

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)  # threads x OpenCV's own threads must not exceed the cores
        keys = iter(self.sampler)
        batches = (list(itertools.islice(keys, self.batch_size)) for _ in range(len(self)))
        if self.num_workers == 0:
            yield from map(self._load, batches)
            return
        ahead: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="loader")
        try:
            first = itertools.islice(batches, 2 * self.num_workers)
            ahead.extend(pool.submit(self._load, keys) for keys in first)
            while ahead:
                ready = ahead.popleft().result()
                ahead.extend(pool.submit(self._load, keys) for keys in itertools.islice(batches, 1))
                yield ready
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, keys: list[tuple[int, int]]) -> Batch:
        batch = collate([self.dataset[key] for key in keys], self.one_size)
        return _each_tensor(batch, torch.Tensor.pin_memory) if self.pin_memory else batch


class ProcessLoader(DataLoader):
    """torch's loader with worker processes; errors for people arrive as they were raised."""

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        num_workers: int,
        drop_last: bool,
        pin_memory: bool = False,
        one_size: bool = False,
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
    """Returns a DataError instead of raising it: torch would wrap it in a worker's traceback."""

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
    """The batch in shared memory; torch would move it there later, and hang where it is full."""
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    try:
        batch = errors[0] if errors else collate(samples, one_size)  # type: ignore[arg-type]
    except DataError as error:
        return error
    try:
        return _each_tensor(batch, torch.Tensor.share_memory_)
    except RuntimeError as error:
        return shared_memory_full(str(error).strip().splitlines()[0])


def shared_memory_full(reason: str) -> ConfigError:
    """The error where worker processes cannot hand over their batches."""
    return ConfigError(
        f"/dev/shm is too small: {reason}. Set data.workers=thread or data.num_workers=0, or give "
        "it more room (docker run --shm-size=8g)"
    )


def _one_thread(worker: int) -> None:
    """Workers x threads must not exceed the cores."""
    cv2.setNumThreads(0)


def _each_tensor(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A batch with `change` applied to each of its tensors."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_tensor(item, change) for key, item in value.items()}
    return [_each_tensor(item, change) for item in value] if isinstance(value, list) else value
