"""Lists the files below a folder, in the same way for data sets and for prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from pathlib import Path

from segbench.errors import DataError, first_few

Identity = tuple[int, int]  # device and inode number of a folder, independent of its path


def files_below(
    folder: Path, depth: int | None = None, without: Collection[Path] = ()
) -> Iterator[Path]:
    """All regular files below a folder.

    Symbolic links to folders are followed unless they lead back to a parent folder. Links to
    nothing (data that was moved, or that git-annex did not fetch) count as files, so that reading
    them fails. Skipped are names that begin with a dot (left by macOS, Jupyter and trash bins), and
    pipes and devices, from which a read might never return.

    Args:
        folder: the folder to search.
        depth: maximum depth in folders; None for no limit.
        without: folders to skip, such as the output folder.

    Raises:
        DataError: a folder may not be read.
    """
    left_out = {identity for path in without if (identity := _identity(path)) is not None}
    yield from _below(folder, depth, frozenset(left_out))


def _below(folder: Path, depth: int | None, closed: frozenset[Identity]) -> Iterator[Path]:
    own = _identity(folder)
    try:
        with os.scandir(folder) as scan:  # its entries have their type without a further call
            entries = sorted(
                (e for e in scan if not e.name.startswith(".")), key=attrgetter("name")
            )
    except PermissionError as error:
        raise DataError(
            f"{folder}: this folder may not be read ({error.strerror}), so its files would be "
            "left out. Change its permissions, or choose another folder."
        ) from None
    except OSError:  # the folder does not exist
        return
    closed = closed | {own} if own is not None else closed
    for entry in entries:
        if _is(entry.is_file) or (entry.is_symlink() and not (folder / entry.name).exists()):
            yield folder / entry.name
        elif depth != 0 and _is(entry.is_dir) and _identity(folder / entry.name) not in closed:
            yield from _below(folder / entry.name, None if depth is None else depth - 1, closed)


def _is(kind: Callable[[], bool]) -> bool:
    """The type of an entry; a broken or circular link is nothing."""
    try:
        return kind()
    except OSError:
        return False


def _identity(folder: Path) -> Identity | None:
    try:
        stat = folder.stat()
    except OSError:  # the folder does not exist
        return None
    return stat.st_dev, stat.st_ino


def entries_in(folder: Path) -> str:
    """What a folder contains, for a message: the first names, those of folders with a slash."""
    entries = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    return first_few(entries, 12) or "nothing"
