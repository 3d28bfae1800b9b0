"""A campaign: the disk is full at every write, and at every size.

    pytest tests/campaigns/test_full_disks.py -m slow

Three ways: one change fails as on a full disk and the next ones succeed; no file may be larger than
a limit; a separate disk that is too small, if this machine can mount one. In all cases: one message
and no traceback, exit code 1, a record with the status failed, no partial file. With enough space
the same command then ends bit-identical to one that always had enough.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from tests.campaigns.forked import Ended, Fault, run
from tests.campaigns.tables import show
from tests.campaigns.trainings import (
    Whole,
    assert_all_readable,
    assert_same_files,
    whole_files,
    words_of,
)
from tests.test_resume import assert_same_run

SEED = 20261129
BLOCKS = 8
SIZES = (0, 10, 300, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 70_000)
DISKS = (4, 16, 64, 76, 80, 84, 88, 96, 104, 112, 128, 144, 160, 192, 224, 256)  # KiB
TOLD = ("No space left on device; free some", "File too large; allow larger files")


def commands(whole: Whole, folder: Path) -> dict[str, tuple[str, ...]]:
    """The verbs that write, each into the folder `out` below `folder`."""
    ckpt = f"ckpt={whole.path}/checkpoints/best.ckpt"
    return {
        "train": words_of(folder / "out"),
        "evaluate": (ckpt, f"run_dir={folder}/out", "save=ids", "gallery=1"),
        "predict": (ckpt, f"source={whole.path}/samples", f"output={folder}/out", "device=cpu"),
        "export": (ckpt, f"output={folder}/out/x.ckpt", "format=ckpt", "images=1"),
    }


def judge(verb: str, ended: Ended, folder: Path) -> str:
    """How a command without disk space ended.

    Raises:
        AssertionError: not as required.
    """
    assert not ended.has_traceback, ended.output
    assert_all_readable(folder)
    if ended.code == 0:
        return "had room"
    assert ended.code == 1, ended.output
    assert any(text in ended.output for text in TOLD), ended.output
    record = folder / "out" / "result.json"
    if record.exists() and verb in ("train", "evaluate"):
        status = json.loads(record.read_bytes())["status"]
        assert status == "failed", (status, ended.output)
    return "refused"


def at_each_change(
    verb: str, part: slice, whole: Whole, tmp_path: Path
) -> Counter[tuple[str, str]]:
    """Lets every change of a command fail in turn, then repeats it with enough space."""
    counts: Counter[tuple[str, str]] = Counter()
    events, expected = whole.events, whole_files(whole.path)
    if verb != "train":
        (tmp_path / "whole").mkdir(parents=True)
        words = commands(whole, tmp_path / "whole")[verb]
        usual = run(verb, words, Fault(str(tmp_path / "whole")))
        assert usual.code == 0, usual.output
        events, expected = usual.events, whole_files(tmp_path / "whole" / "out")
    for at in range(len(events))[part]:
        folder = tmp_path / str(at)
        folder.mkdir(parents=True)
        words = commands(whole, folder)[verb]
        ended = run(verb, words, Fault(str(folder), at, "full"))
        try:
            counts[verb, judge(verb, ended, folder)] += 1
            _again(verb, words, folder, whole, expected)
        except AssertionError as error:
            raise AssertionError(f"{verb}, change {at} ({events[at]}): {error}") from error
    return counts


def _again(
    verb: str, words: tuple[str, ...], folder: Path, whole: Whole, expected: dict[str, bytes]
) -> None:
    """With enough space everything succeeds."""
    again = run(verb, words)
    assert again.code == 0, again.output
    if verb == "train":
        assert_same_run(RunDirectory(whole.path), RunDirectory(folder / "out"))
    assert_same_files(folder / "out", expected)


def small_files(size: int, whole: Whole, folder: Path) -> str:
    """A training with a limit of `size` bytes per file; then without a limit."""
    folder.mkdir(parents=True)
    words = commands(whole, folder)["train"]
    ended = run("train", words, Fault(str(folder), size=size))
    end = judge("train", ended, folder)
    _again("train", words, folder, whole, whole_files(whole.path))
    return end


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[None]:
    """A separate disk; skips the test if none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def small_disk(kib: int, whole: Whole, folder: Path) -> str:
    """A training on a disk of this many KiB, which then grows."""
    with disk(folder, kib):
        words = commands(whole, folder)["train"]
        end = judge("train", run("train", words), folder)
        grow = ["mount", "-o", "remount,size=64m", str(folder)]
        subprocess.run(grow, check=True, capture_output=True)
        _again("train", words, folder, whole, whole_files(whole.path))
    return end


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "predict", "export"])
def test_a_disk_that_is_full_at_any_change(
    verb: str, whole: Whole, tmp_path: Path, capsys: Any
) -> None:
    show("full disks", SEED, at_each_change(verb, slice(None), whole, tmp_path), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_disk_that_is_full_at_any_change_of_a_training(
    block: int, whole: Whole, tmp_path: Path, capsys: Any
) -> None:
    part = slice(block, None, BLOCKS)
    show("full disks", SEED, at_each_change("train", part, whole, tmp_path), capsys)


@pytest.mark.slow
def test_files_that_may_not_be_large(whole: Whole, tmp_path: Path, capsys: Any) -> None:
    ends = [small_files(size, whole, tmp_path / str(size)) for size in SIZES]
    show("full disks", SEED, Counter(("small files", end) for end in ends), capsys)


@pytest.mark.slow
def test_disks_that_are_small(whole: Whole, tmp_path: Path, capsys: Any) -> None:
    ends = [small_disk(kib, whole, tmp_path / str(kib)) for kib in DISKS]
    show("full disks", SEED, Counter(("small disks", end) for end in ends), capsys)
