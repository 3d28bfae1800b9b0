"""Decoded frames stored as raw bytes: in RAM, or on disk, memory-mapped and shared by all runs.

A cache is a folder named after a fingerprint of its content, with `frames.bin` (the bytes of
image, mask, image, mask, ...) and `meta.json`. It is built under a lock in a folder next to it and
renamed when complete, so a reader never sees an incomplete cache. If anything fails, training
continues without a cache, with a warning.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import shutil
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from segbench.data.dataset import Arrays, Frames
from segbench.errors import CacheError
from segbench.system.console import progress
from segbench.system.machine import cores, free_memory
from segbench.system.storage import clear_drafts, replacing, waiting_for

FORMAT = 4  # 4: images of any of three dtypes, as stored
_TYPES = {name: np.dtype(name) for name in ("uint8", "uint16", "float32")}
_VERIFIED_BYTES = 1 << 28  # maximum compared with checksums on opening
_SPARE_BYTES = 1 << 28  # left free on the disk, and in memory
_log = logging.getLogger(__name__)


class DiskFrames(Frames):
    """Frames of a complete cache folder; reads are views of a memory map.

    Args:
        folder: the cache folder.
        key: the expected fingerprint.

    Raises:
        CacheError: it is missing, truncated, damaged, or of another format or key.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            if (meta["format"], meta["key"]) != (FORMAT, key):
                raise CacheError("its format or data set differs")
            self.shapes = [(_sides(image, 3), _sides(mask, 2)) for image, mask in meta["shapes"]]
            checksums = [int(checksum) for checksum in meta["checksums"]]
            self.types = [_TYPES[name] for name in meta["types"]]
            if len(self.types) != len(self.shapes):
                raise ValueError("as many types as shapes")
            sizes = [
                _aligned(math.prod(image) * kind.itemsize + math.prod(mask))
                for (image, mask), kind in zip(self.shapes, self.types, strict=True)
            ]
            self.offsets = [0, *itertools.accumulate(sizes)]
            self._open()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CacheError(f"unreadable ({error})") from error
        if len(checksums) != len(self):
            raise CacheError(f"{len(checksums)} checksums for {len(self)} frames")
        if len(self._bytes) != self.offsets[-1]:
            raise CacheError(f"{len(self._bytes)} bytes instead of {self.offsets[-1]}")
        self._verify(checksums)
        with suppress(OSError):  # owned by another user
            os.utime(folder)  # the least recently used cache is deleted first

    def __len__(self) -> int:
        return len(self.shapes)

    def read(self, index: int) -> Arrays:
        """Read-only views; see `Frames`."""
        image_shape, mask_shape = self.shapes[index]
        start, kind = self.offsets[index], self.types[index]
        middle = start + math.prod(image_shape) * kind.itemsize
        image = self._bytes[start:middle].view(kind).reshape(image_shape)
        mask = self._bytes[middle : middle + mask_shape[0] * mask_shape[1]]
        return image, mask.reshape(mask_shape)

    def _open(self) -> None:
        self._bytes = np.asarray(np.memmap(self.folder / "frames.bin", np.uint8, "r"))

    def _verify(self, checksums: list[int]) -> None:
        """Compares frames with their checksums: all of a small cache, a sample of a large one."""
        count = len(self)
        wanted = max(1, min(count, count * _VERIFIED_BYTES // max(1, self.offsets[-1])))
        for index in np.linspace(0, count - 1, wanted).astype(int).tolist():
            frame = self._bytes[self.offsets[index] : self.offsets[index + 1]]
            if zlib.crc32(frame.data) != checksums[index]:
                raise CacheError(f"frame {index} is damaged")

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_bytes"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._open()


class MemoryFrames(Frames):
    """Frames decoded once into memory.

    Args:
        arrays: image and mask of every frame.
    """

    def __init__(self, arrays: list[Arrays]) -> None:
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays)

    def read(self, index: int) -> Arrays:
        """See `Frames`."""
        return self._arrays[index]


def cached_in_memory(frames: Frames, limit: int, label: str) -> Frames:
    """Decodes all frames into RAM.

    Returns `frames` with a warning if they exceed `limit` bytes or the free memory.
    """
    free = free_memory()
    room = limit if free is None else min(limit, free - _SPARE_BYTES)
    arrays: list[Arrays] = []
    total = 0
    for image, mask in _decoded(frames, label):
        total += image.nbytes + mask.nbytes
        if total + _estimate(frames, len(arrays) + 1, total) > room:
            _log.warning(
                "cache=ram for %s: needs about %s, %s allowed; continuing without a cache",
                label,
                _size(total + _estimate(frames, len(arrays) + 1, total)),
                _size(room),
            )
            return frames
        arrays.append((image, mask))
    _log.info("cache=ram for %s: %d frames, %s", label, len(arrays), _size(total))
    return MemoryFrames(arrays)


def cached_on_disk(frames: Frames, key: str, folder: Path, limit: int, label: str) -> Frames:
    """Opens the cache of `key` in `folder`, building it first if needed.

    Runs that need the same cache at the same time wait for the one that builds it; if that one
    dies, the next one builds it.

    Args:
        frames: the frames to cache.
        key: fingerprint of what `frames` reads.
        folder: folder of all caches.
        limit: maximum bytes of all caches in `folder`; the least recently used are deleted.
        label: name of the frames in messages.

    Returns:
        The cached frames, or `frames` with a warning if there is no space or no permission.
    """
    target = folder / key
    try:
        try:
            return DiskFrames(target, key)
        except CacheError as error:
            if target.exists():
                _log.warning("cache %s: %s; rebuilding it", target, error)
        with waiting_for(folder / f"{key}.lock", f"another run that builds {target}"):
            try:
                return DiskFrames(target, key)  # another run may have built it in the meantime
            except CacheError:
                _build(frames, key, folder, limit, label)
                return DiskFrames(target, key)
    except (OSError, CacheError) as error:
        _log.warning("cache=disk for %s: %s; continuing without a cache", label, error)
        return frames


def _build(frames: Frames, key: str, folder: Path, limit: int, label: str) -> None:
    clear_drafts(folder, key)  # of a run that died; this process has the lock
    target = folder / key
    shutil.rmtree(target, ignore_errors=True)
    with replacing(target) as draft:
        draft.mkdir()
        total = _write(frames, key, draft, limit, label)
    _log.info("cache=disk for %s: %d frames, %s in %s", label, len(frames), _size(total), target)


def _write(frames: Frames, key: str, folder: Path, limit: int, label: str) -> int:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    checksums, types, total = [], [], 0
    with (folder / "frames.bin").open("wb") as file:
        for image, mask in _decoded(frames, label):
            if not shapes:
                _make_room(folder.parent, (image.nbytes + mask.nbytes) * len(frames), limit)
            count = image.nbytes + mask.nbytes
            rest = bytes(_aligned(count) - count)
            for part in (image.data, mask.data, rest):
                file.write(part)
            shapes.append((image.shape, mask.shape))
            types.append(image.dtype.name)
            checksums.append(zlib.crc32(rest, zlib.crc32(mask.data, zlib.crc32(image.data))))
            total += _aligned(count)
            if total > limit:
                raise CacheError(f"exceeds cache_limit_gb ({_size(limit)})")
        file.flush()
        os.fsync(file.fileno())
    meta = {"format": FORMAT, "key": key, "shapes": shapes, "types": types, "checksums": checksums}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return total


def _make_room(folder: Path, needed: int, limit: int) -> None:
    """Deletes the least recently used caches until there is room for `needed` bytes.

    Raises:
        CacheError: there is not enough room.
    """
    if needed > limit:
        raise CacheError(f"needs about {_size(needed)}, cache_limit_gb allows {_size(limit)}")
    caches = [cache for cache in folder.iterdir() if _is_cache(cache)]
    caches.sort(key=lambda cache: cache.stat().st_mtime)
    sizes = {cache: (cache / "frames.bin").stat().st_size for cache in caches}
    while caches and sum(sizes.values()) + needed > limit:
        oldest = caches.pop(0)
        _log.info("cache %s: deleted to make room (%s)", oldest, _size(sizes.pop(oldest)))
        shutil.rmtree(oldest, ignore_errors=True)
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        raise CacheError(f"needs about {_size(needed)}, the disk has {_size(free)} free")


def _is_cache(folder: Path) -> bool:
    """Whether a folder has exactly the files of a complete cache and nothing else."""
    if not folder.is_dir() or folder.name.startswith("."):  # incomplete
        return False
    return {file.name for file in folder.iterdir()} == {"frames.bin", "meta.json"}


def _decoded(frames: Frames, label: str) -> Iterator[Arrays]:
    """All frames in order, decoded with one thread per core, a few at a time."""
    workers = cores()
    ahead: deque[Future[Arrays]] = deque()
    label = f"Decoding {label} once"
    with ThreadPoolExecutor(workers) as pool, progress(label, len(frames)) as show:
        positions = iter(range(len(frames)))
        try:
            for done in range(len(frames)):
                show(done)
                while len(ahead) < 2 * workers and (position := next(positions, None)) is not None:
                    ahead.append(pool.submit(frames.read, position))
                image, mask = ahead.popleft().result()
                yield np.ascontiguousarray(image), np.ascontiguousarray(mask)
        finally:
            for future in ahead:
                future.cancel()


def _aligned(count: int) -> int:
    """Size of a frame in bytes, padded so that the next one is aligned for any dtype."""
    return -(-count // 8) * 8


def _sides(shape: Any, count: int) -> tuple[int, ...]:
    """The shape of an array as stored in meta.json."""
    sides = tuple(int(side) for side in shape)
    if len(sides) != count or min(sides) < 1:
        raise ValueError(f"a shape of {shape}")
    return sides


def _estimate(frames: Frames, done: int, total: int) -> int:
    """Estimated number of remaining bytes, from the frames so far."""
    return total // done * (len(frames) - done)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
