"""Fingerprint of a split's content: the same on every machine, different after any change."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from segbench.data.dataset import Record, Source
from segbench.errors import DataError
from segbench.system.machine import cores
from segbench.system.storage import write_text


def fingerprint(source: Source, records: Sequence[Record], memo: Path | None = None) -> str:
    """Hash of everything that determines what the records are read as.

    Covers the source's `fingerprint_key`, its classes, and for every record the name, the group and
    the bytes of its files (not their paths). Reading a large set takes a while, so the result is
    cached for files of the same path, size and modification time.

    Args:
        source: the data set.
        records: the images, in order.
        memo: folder in which results are cached; with None, or a folder that cannot be written,
            nothing is cached.

    Returns:
        16 hexadecimal digits.

    Raises:
        DataError: a file cannot be read.
    """
    head = [source.fingerprint_key(), repr(source.classes)]
    try:
        stats = [_stat(path) for record in records for path in _files(record)]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}).") from error
    remembered = memo / _digest([*head, *map(repr, records), *stats]) if memo else None
    if remembered is not None and (known := _remembered(remembered)):
        return known
    digest = cache(file_digest)  # a file may contain many images
    with ThreadPoolExecutor(cores()) as pool:
        contents = list(pool.map(lambda record: _content(record, digest), records))
    result = _digest([*head, *contents])
    if remembered is not None:
        with suppress(OSError):  # the files are then read again next time
            write_text(remembered, result)
    return result


def _remembered(file: Path) -> str | None:
    """The fingerprint in a file; None if there is none or the file contains anything else."""
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{16}", text) else None


def _files(record: Record) -> tuple[Path | None, ...]:
    return record.image, record.mask, *record.more_masks


def _content(record: Record, digest: Callable[[Path], str]) -> str:
    files = (digest(path) for path in _files(record) if path is not None)
    return f"{record.name}\t{record.group}\t{record.index}\t" + "\t".join(files)


def file_digest(path: Path) -> str:
    """Hash of the bytes of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _stat(path: Path | None) -> str:
    if path is None:
        return "-"
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would block forever
        raise DataError(f"{path}: is a folder, a pipe or a device, not a file", "unreadable")
    return f"{os.path.abspath(path)} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
