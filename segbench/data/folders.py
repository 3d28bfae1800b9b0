"""Lists the files below a folder, in the same way for data sets and for prediction."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

Identity = tuple[int, int]  # device and inode number of a folder, independent of its path


def files_below(
    folder: Path, depth: int | None = None, without: Collection[Path] = ()
) -> Iterator[Path]:
    """All regular files below a folder.

    Symbolic links to folders are followed unless they lead back to a parent folder. Skipped are
    names that begin with a dot (left by macOS, Jupyter and trash bins), and pipes and devices,
    from which a read might never return.

    Args:
        folder: the folder to search.
        depth: maximum depth in folders; None for no limit.
        without: folders to skip, such as the output folder.
    """
    left_out = {identity for path in without if (identity := _identity(path)) is not None}
    yield from _below(folder, depth, frozenset(left_out))


def _below(folder: Path, depth: int | None, closed: frozenset[Identity]) -> Iterator[Path]:
    own = _identity(folder)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:  # the folder does not exist or may not be read
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
    except OSError:  # the folder does not exist
        return None
    return stat.st_dev, stat.st_ino
