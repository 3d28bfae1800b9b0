"""Caches are built once, shared, never incomplete, bounded, and never stop a training."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import pickle
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from segbench.data import cache
from segbench.data.cache import DiskFrames, MemoryFrames, cached_in_memory, cached_on_disk
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import Arrays, Frames
from segbench.data.fingerprint import fingerprint
from segbench.data.frames import SourceFrames
from segbench.errors import ConfigError
from tests.data.writers import STREETS

LARGE = 10**9


class Counted(Frames):
    """Street frames that count how often they are decoded."""

    def __init__(self) -> None:
        self.frames = SourceFrames(STREETS, STREETS.records("train"))
        self.reads = 0

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> Arrays:
        self.reads += 1
        return self.frames.read(index)


def open_cache(folder: Path, key: str = "key", limit: int = LARGE) -> tuple[Frames, Counted]:
    source = Counted()
    return cached_on_disk(source, key, folder, limit, "streets"), source


def same(a: Frames, b: Frames) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y)
        for i in range(len(a))
        for x, y in zip(a.read(i), b.read(i), strict=True)
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_cache_is_built_once_and_equals_its_source(tmp_path: Path) -> None:
    first, source = open_cache(tmp_path)
    again, unused = open_cache(tmp_path)
    assert isinstance(again, DiskFrames)
    assert source.reads == len(source)
    assert unused.reads == 0
    assert same(first, Counted())
    assert same(pickle.loads(pickle.dumps(again)), Counted())  # as in a worker process
    assert names(tmp_path) == ["key"]  # no lock, no partial folder


def _damage_bytes(folder: Path) -> None:
    data = bytearray((folder / "frames.bin").read_bytes())
    data[len(data) // 2] ^= 255
    (folder / "frames.bin").write_bytes(data)


def _cut_short(folder: Path) -> None:
    data = (folder / "frames.bin").read_bytes()
    (folder / "frames.bin").write_bytes(data[: len(data) // 2])


def _other_format(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"format": 99}))


def _other_set(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"key": "other"}))


def _no_meta(folder: Path) -> None:
    (folder / "meta.json").unlink()


def _short_checksums(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"checksums": meta["checksums"][:2]}))


def _odd_shapes(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    meta["shapes"][0] = [[-1, 3], []]
    (folder / "meta.json").write_text(json.dumps(meta))


def _garbage(folder: Path) -> None:
    (folder / "meta.json").write_text("[1, 2")


@pytest.mark.parametrize(
    "damage",
    [
        _damage_bytes,
        _cut_short,
        _other_format,
        _other_set,
        _no_meta,
        _garbage,
        _short_checksums,
        _odd_shapes,
    ],
)
def test_a_damaged_or_foreign_cache_is_built_again(tmp_path: Path, damage) -> None:
    open_cache(tmp_path)
    damage(tmp_path / "key")
    frames, source = open_cache(tmp_path)
    assert source.reads == len(source)
    assert isinstance(frames, DiskFrames)
    assert same(frames, Counted())


def test_what_a_dead_run_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-key").mkdir()
    (tmp_path / ".partial-1-key" / "frames.bin").write_bytes(b"half")
    (tmp_path / "key.lock").touch()
    open_cache(tmp_path)
    assert names(tmp_path) == ["key"]


def _build(folder: str, reads) -> None:
    frames, source = open_cache(Path(folder))
    assert isinstance(frames, DiskFrames)
    reads.put(source.reads)


def test_runs_that_build_simultaneously_build_one_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    reads = context.Queue()
    runs = [context.Process(target=_build, args=(str(tmp_path), reads)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 4
    assert sorted(reads.get() for _ in runs) == [0, 0, 0, len(Counted())]
    assert names(tmp_path) == ["key"]


def test_a_full_disk_falls_back_without_debris(tmp_path: Path, monkeypatch, caplog) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage(10, 10, 0))
    frames, source = open_cache(tmp_path)
    assert frames is source
    assert "the disk has 0.0 MB free" in caplog.text
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_midway_falls_back_without_debris(
    tmp_path, monkeypatch, caplog
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    frames, source = open_cache(tmp_path)
    assert frames is source
    assert "No space left on device" in caplog.text
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_falls_back(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    frames, source = open_cache(tmp_path / "file" / "cache")
    assert frames is source
    assert "continuing without a cache" in caplog.text


def test_the_limit_refuses_what_is_too_large(tmp_path: Path, caplog) -> None:
    frames, source = open_cache(tmp_path, limit=1000)
    assert frames is source
    assert "cache_limit_gb" in caplog.text
    assert names(tmp_path) == []


def test_the_limit_deletes_the_least_recently_used(tmp_path: Path) -> None:
    size = sum(a.nbytes for i in range(len(Counted())) for a in Counted().read(i))
    for position, key in enumerate(("old", "older")):
        open_cache(tmp_path, key)
        past = 1000 - position
        shutil.os.utime(tmp_path / key, (past, past))
    open_cache(tmp_path, "new", limit=2 * size)
    assert names(tmp_path) == ["new", "old"]


def test_a_folder_with_the_files_of_another_is_never_deleted(tmp_path: Path) -> None:
    open_cache(tmp_path, "mine")
    (tmp_path / "mine" / "precious.txt").touch()
    size = sum(a.nbytes for i in range(len(Counted())) for a in Counted().read(i))
    open_cache(tmp_path, "new", limit=size)
    assert names(tmp_path) == ["mine", "new"]


def test_memory_is_filled_once_and_bounded(caplog) -> None:
    caplog.set_level(logging.INFO)
    source = Counted()
    frames = cached_in_memory(source, LARGE, "streets")
    assert isinstance(frames, MemoryFrames)
    assert same(frames, Counted())
    assert source.reads == len(source)
    assert "6 frames" in caplog.text
    small = Counted()
    assert cached_in_memory(small, 20_000, "streets") is small
    assert small.reads < len(small)


def test_the_cache_of_another_user_is_used(tmp_path: Path, monkeypatch) -> None:
    open_cache(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(cache.os, "utime", refuse)
    frames, source = open_cache(tmp_path)
    assert isinstance(frames, DiskFrames)
    assert source.reads == 0


def _streets(monkeypatch: pytest.MonkeyPatch, **options: object) -> SegmentationData:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return SegmentationData(STREETS, seed=0, batch_size=2, num_workers=2, **options)


def test_without_a_home_training_continues_without_a_cache(monkeypatch, caplog) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", _unknown_user)
    data = _streets(monkeypatch)
    assert isinstance(data.dataset("train").frames, SourceFrames)
    assert "no home folder; continuing without a cache (set HOME, or data.cache_dir)" in caplog.text
    assert len(data.fingerprint("train")) == 16


def _unknown_user(uid: int) -> object:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_worker_processes_need_room_in_shared_memory(monkeypatch) -> None:
    data = _streets(monkeypatch, cache="none", workers="process")
    monkeypatch.setattr("segbench.data.loader.free_shared_memory", lambda: 1000)
    with pytest.raises(
        ConfigError, match=r"/dev/shm .*data\.workers=thread or data\.num_workers=0"
    ):
        data.train_dataloader()
    monkeypatch.setattr("segbench.data.loader.free_shared_memory", lambda: None)
    data.train_dataloader()  # a system without it


def test_shared_memory_that_runs_out_later_is_an_error_too(monkeypatch) -> None:
    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)  # in the workers, which are forked
    data = _streets(monkeypatch, cache="none", workers="process")
    with pytest.raises(ConfigError, match="/dev/shm is too small: unable to allocate"):
        next(iter(data.train_dataloader()))


@pytest.mark.parametrize("text", ["", "zz/../../x\n", "0123456789ABCDEF", "0123456789abcdef\n\n"])
def test_an_invalid_fingerprint_is_computed_again(tmp_path: Path, text: str) -> None:
    records = STREETS.records("train")
    expected = fingerprint(STREETS, records, tmp_path)
    (memo,) = tmp_path.iterdir()
    assert memo.read_text() == expected
    memo.write_text(text)
    assert fingerprint(STREETS, records, tmp_path) == expected
    assert memo.read_text() == expected
