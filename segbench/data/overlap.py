"""Images of one split that are images of another split too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from segbench.data.dataset import Record, Source

_HEAD = 1 << 16  # bytes that tell most files of equal size apart
_Files = list[tuple[Path, Record]]


def shared_images(
    source: Source, records: Sequence[Record], others: Sequence[Record]
) -> list[Record]:
    """The images of a split whose files are also in another split, under any name.

    Few files are read: only those of equal size, and of these only those with an equal beginning,
    are compared. Copies of blank images, which are alike everywhere, do not count, nor do images
    without a file. `segbench check_data` compares pixels, which finds copies in other formats too.

    Args:
        source: the data set.
        records: the images to look for.
        others: the images of the other split.

    Returns:
        Those of `records` that are in both, in order.

    Raises:
        DataError: an image that is in both cannot be decoded.
        OSError: a file cannot be read.
    """
    found, known = _files(records), _files(others)
    same = {path for path, _ in known}
    for trait in (_size, _head, _content):
        found, known = _alike(found, known, trait)
    return [record for path, record in found if path in same or not _is_blank(source, record)]


def _files(records: Sequence[Record]) -> _Files:
    return [(record.image, record) for record in records if record.image is not None]


def _alike(found: _Files, known: _Files, trait: Callable[[Path], object]) -> tuple[_Files, _Files]:
    """The images of both sides that have a trait of their file in common, and their slice of it."""
    of = cache(trait)  # a volume is the file of many images
    both = {(of(path), r.part) for path, r in found} & {(of(path), r.part) for path, r in known}
    left, right = (
        [(path, record) for path, record in side if (of(path), record.part) in both]
        for side in (found, known)
    )
    return left, right


def _size(file: Path) -> int:
    return file.stat().st_size


def _head(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.blake2b(stream.read(_HEAD)).hexdigest()


def _content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()


def _is_blank(source: Source, record: Record) -> bool:
    image = source.read(record)[0]
    return bool(image.min() == image.max())
