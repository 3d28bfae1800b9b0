"""The files below a folder, the same for data sets, predictions and what is to be predicted."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

Identity = tuple[int, int]  # device and number of a folder, whatever it is called


def files_below(
    folder: Path, depth: int | None = None, without: Collection[Path] = ()
) -> Iterator[Path]:
    """All regular files below a folder.

    Linked folders are followed, unless they lead back to a folder that they lie in. Names that
    begin with a dot are left out: what macOS, Jupyter and trash bins leave behind. So are pipes and
    devices, which would never end.

    Args:
        folder: where to look.
        depth: how many folders deep; None looks everywhere.
        without: folders that are not entered, such as those of the output.
    """
    left_out = {identity for path in without if (identity := _identity(path)) is not None}
    yield from _below(folder, depth, frozenset(left_out))


def _below(folder: Path, depth: int | None, closed: frozenset[Identity]) -> Iterator[Path]:
    own = _identity(folder)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:  # no such folder, or no right to read it
        return
    closed = closed | {own} if own is not None else closed
    for path in (folder / name for name in names):
        if path.is_file():
            yield path
        elif depth != 0 and path.is_dir() and _identity(path) not in closed:
            yield from _below(path, None if depth is None else depth - 1, closed)


def _identity(folder: Path) -> Identity | None:
    try:
        stat = folder.stat()
    except OSError:  # there is no such folder
        return None
    return stat.st_dev, stat.st_ino
