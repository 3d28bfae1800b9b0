"""Images of one split that are images of another split too."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segbench.data.dataset import Record, Source
from segbench.data.fingerprint import file_digest
from segbench.system.machine import cores

_HEAD = 1 << 16  # bytes that tell most files of equal size apart
_Files = list[tuple[Path, Record]]


def shared_images(
    source: Source, records: Sequence[Record], others: Sequence[Record]
) -> list[Record]:
    """The images of a split whose files are also in another split, under any name.

    Only files of equal size are read, and only those with an equal beginning in full. Copies of
    blank images, which are alike everywhere, do not count, nor do images without a file of their
    own. `segbench check_data` compares pixels, which finds copies in other formats too.

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
    places = {(path, record.part) for path, record in known}
    same = {record.name for path, record in found if (path, record.part) in places}
    found = [(path, record) for path, record in found if record.name not in same]
    for trait in (_size, _head, file_digest):
        found, known = _alike(found, known, trait)
    copies = {record.name for _, record in found if not _is_blank(source, record)}
    return [record for record in records if record.name in same | copies]


def _files(records: Sequence[Record]) -> _Files:
    """The images that have a file, or a slice of one, to themselves."""
    number = Counter((record.image, record.part) for record in records)
    return [
        (record.image, record)
        for record in records
        if record.image is not None and number[record.image, record.part] == 1
    ]


def _alike(found: _Files, known: _Files, trait: Callable[[Path], object]) -> tuple[_Files, _Files]:
    """The images of both sides that have a trait of their file in common, and their slice of it."""
    paths = list(dict.fromkeys(path for path, _ in (*found, *known)))  # a volume has many images
    with ThreadPoolExecutor(cores()) as pool:
        of = dict(zip(paths, pool.map(trait, paths), strict=True)).__getitem__
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


def _is_blank(source: Source, record: Record) -> bool:
    image = source.read(record)[0]
    return bool(image.min() == image.max())
