"""A campaign: a training that dies at every single change that it makes on disk.

    pytest tests/campaigns/test_crash_points.py -m slow

A change is opening a file for writing, a rename, a removal, or a new folder. The process is killed
before each of them in turn, and while writing each file, by a limit on the file size at which the
system kills it. The same command then finishes the run, bit-identical to one that never died.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from tests.campaigns.forked import Fault, run
from tests.campaigns.tables import draws, show
from tests.campaigns.trainings import Whole, assert_same_files, whole_files, words_of
from tests.test_resume import assert_same_run

SEED = 20261128
BLOCKS = 16  # of points; each block takes every 16th
SIZES = (1, 100, 3_000, 10_000, 40_000)  # bytes at which a file is cut off


def points(whole: Whole) -> list[tuple[str, int, int | None]]:
    """Every crash point: its kind, the change, and the size at which files are cut off."""
    found: list[tuple[str, int, int | None]] = []
    for at, event in enumerate(whole.events):
        found.append(("kill", at, None))
        if event.startswith("open"):
            found += [("cut", at, size) for size in draws(SEED, at).sample(SIZES, 2)]
    return found


def crashed(point: tuple[str, int, int | None], folder: Path, whole: Whole) -> str:
    """Lets a training die at a point, and continues it; returns how the first one ended.

    Raises:
        AssertionError: the result differs from that of the undisturbed training.
    """
    kind, at, size = point
    words = words_of(folder)
    ended = run("train", words, Fault(str(folder), at, kind, size))
    # A file that is cut off kills the process, or the write fails and ends it with a message.
    allowed = (-signal.SIGKILL,) if kind == "kill" else (-signal.SIGXFSZ, 0, 1)
    assert ended.code in allowed, (point, ended.output)
    assert not ended.has_traceback, (point, ended.output)
    again = run("train", words)
    assert again.code == 0, (point, again.output)
    assert not again.has_traceback, (point, again.output)
    assert_same_run(RunDirectory(whole.path), RunDirectory(folder))
    assert_same_files(folder, whole_files(whole.path))
    return "died" if ended.code else "no file as large"


def campaign(
    chosen: list[tuple[str, int, int | None]], tmp_path: Path, whole: Whole, capsys: Any
) -> Counter[tuple[str, str]]:
    """Runs these points and prints their table."""
    counts: Counter[tuple[str, str]] = Counter()
    for number, point in enumerate(chosen):
        counts[point[0], crashed(point, tmp_path / str(number), whole)] += 1
    show("crash points", SEED, counts, capsys)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_crash_point_changes_anything(
    block: int, tmp_path: Path, whole: Whole, capsys: Any
) -> None:
    found = points(whole)
    assert len(found) >= 100
    counts = campaign(found[block::BLOCKS], tmp_path, whole, capsys)
    assert sum(counts.values()) > counts["cut", "no file as large"]
