"""Atomic writes, locks between processes, and file names that are legal on every system.

A file is written as a draft next to its target and renamed when it is complete. A reader never sees
a partial file, however the process ends, and two processes may write the same file simultaneously:
each has its own draft, and the last one wins.
"""

from __future__ import annotations

import errno
import glob
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.errors import ConfigError, OutputError, causes
from segbench.system.escaping import file_name
from segbench.system.machine import WINDOWS

if TYPE_CHECKING:
    import filelock
    import numpy as np

_log = logging.getLogger(__name__)
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP}
_REMEDIES = {
    **dict.fromkeys(FULL, "free some and repeat the command"),
    errno.EFBIG: "allow larger files (ulimit -f) and repeat the command",
    errno.EROFS: "choose another place, or remount it writable",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EIO: "check the disk, then repeat the command",
    **dict.fromkeys(_NO_LOCKS, "choose a file system with locks, or let an administrator add them"),
}
_DRAFT = ".partial-"
_TRIES, _PAUSE = 30, 0.1  # s: a reader is done with a file by then
_LONGEST_NAME = 200  # bytes; file systems allow 255, and a draft needs some


@contextmanager
def replacing(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a path next to `target` that replaces it when the block ends without an error.

    The block may create a file or a folder there. The path has the same suffix as the target, from
    which libraries choose a format.

    Args:
        target: an existing file is replaced; an existing folder must be empty.
        durable: wait until the content is on the disk, so that not even a power failure leaves an
            empty file. Not needed for files that the same command can write again.

    Raises:
        OSError: a write failed; its file name is `target`. Also raised if a library hides a full
            disk behind its own exception.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{_DRAFT}{secrets.token_hex(4)}-{_tail(target.name)}")
    try:
        yield draft
        if durable and draft.is_file():
            with draft.open("r+b") as file:
                os.fsync(file.fileno())
        _moved(draft, target)
    except Exception as error:
        if (failure := _write_failure(error)) is None:
            raise
        if failure.filename is None or Path(str(failure.filename)).name.startswith(_DRAFT):
            failure = OSError(failure.errno, failure.strerror, str(target))
        raise failure from None
    finally:
        _remove(draft)


@contextmanager
def replacing_all(folder: Path) -> Iterator[Path]:
    """Yields a folder whose files are moved into `folder` when the block ends without an error.

    Files that belong together are thus all old or all new. Files in `folder` that are not written
    again stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{_DRAFT}{secrets.token_hex(4)}"
    draft.mkdir()
    try:
        yield draft
        for file in sorted(file for file in draft.rglob("*") if file.is_file()):
            target = folder / file.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            _moved(file, target)
    except OSError as error:
        if error.filename is not None and str(error.filename).startswith(str(draft)):
            error.filename = str(folder / Path(error.filename).relative_to(draft))
        raise
    finally:
        _remove(draft)


def _moved(draft: Path, target: Path) -> None:
    """Renames a file; on Windows, where a file that is being read cannot be replaced, after it."""
    for _ in range(_TRIES if WINDOWS else 1):
        try:
            return os.replace(draft, target)
        except PermissionError:
            time.sleep(_PAUSE)
    os.replace(draft, target)


def write_text(target: Path, text: str) -> None:
    """Replaces a UTF-8 file atomically; line endings are written unchanged.

    What UTF-8 cannot encode (bytes of file names in other encodings) is escaped.
    """
    with replacing(target) as draft:
        draft.write_bytes(text.encode(errors="backslashreplace"))


def write_png(target: Path, pixels: np.ndarray, level: int = 3) -> None:
    """Replaces a PNG file atomically.

    Args:
        target: the file.
        pixels: uint8 `[H, W]` gray, or `[H, W, 3]` RGB.
        level: compression level, 0..9.
    """
    import cv2
    import numpy as np

    stored = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    ok, data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not ok:
        raise ValueError(f"{target}: pixels {pixels.shape} cannot be encoded as PNG")
    with replacing(target, durable=False) as draft:
        draft.write_bytes(data.tobytes())


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Yields whether this process acquired the lock; the lock of a dead process is released.

    Args:
        file: the lock file; need not exist, and is not removed.
    """
    import filelock

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        _acquire(lock)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def waiting_for(file: Path, holder: str) -> Iterator[None]:
    """Acquires a lock, waiting for the process that has it; afterwards removes the lock file.

    Args:
        file: the lock file.
        holder: the process that it waits for, in words.
    """
    import filelock

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        _acquire(lock)
    except filelock.Timeout:
        _log.info("waiting for %s", holder)
        lock.acquire()
    try:
        yield
    finally:
        _remove_lock(file)
        lock.release()


def _acquire(lock: filelock.BaseFileLock) -> None:
    try:
        lock.acquire(blocking=False)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise OSError(error.errno, error.strerror, str(lock.lock_file)) from None
        raise


@contextmanager
def alone_in(folder: Path, key: str, name: str | None = None) -> Iterator[None]:
    """Locks the output of a command; afterwards removes the lock and a folder that is still empty.

    Args:
        folder: an existing folder.
        key: the option that names it.
        name: the one file in the folder that is locked; None: all of them.

    Raises:
        ConfigError: another process is writing there.
    """
    lock = folder / (".lock" if name is None else f".lock-{_tail(name)}")
    with locked(lock) as alone:
        if not alone:
            place = folder / (name or "")
            raise ConfigError(f"{key}={place}: another process is writing there; wait for it")
        clear_drafts(folder, name)
        try:
            yield
        finally:
            _remove_lock(lock)
            if name is None:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()


def clear_drafts(folder: Path, name: str | None = None) -> None:
    """Removes the drafts of killed processes in a folder; the caller must have its lock.

    Args:
        folder: its subfolders are not searched.
        name: the file whose drafts are removed; None: all.
    """
    pattern = f"{_DRAFT}*" if name is None else f"{_DRAFT}*-{glob.escape(_tail(name))}"
    for draft in folder.glob(pattern):
        _remove(draft)


def output_error(error: BaseException) -> OutputError | None:
    """The error for a file that cannot be written or read; None for other errors."""
    failure = _write_failure(error, frozenset(_REMEDIES))
    if failure is None:
        return None
    where = f"{failure.filename}: " if failure.filename else ""
    reason = failure.strerror or os.strerror(failure.errno or 0)
    return OutputError(f"{where}{reason}; {_REMEDIES[failure.errno or 0]}")


def file_names(names: Sequence[str]) -> list[str]:
    """Names of files for arbitrary texts, all different and legal on every system.

    Windows allows no `<>:"/\\|?*`, no control characters, no dot or space at the end and none of
    its devices (CON, NUL, ...); like macOS it does not distinguish upper from lower case.
    """
    found: list[str] = []
    taken: set[str] = set()
    for text in names:
        name = file_name(text)
        number, unique = 1, name
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique.casefold())
        found.append(unique)
    return found


def is_portable(name: str) -> bool:
    """Whether a folder or file of this name can exist on every system."""
    return file_names([name]) == [name]


def _tail(name: str) -> str:
    """The end of a file name, short enough to be prefixed."""
    return name.encode("utf-8", "surrogateescape")[-_LONGEST_NAME:].decode("utf-8", "ignore")


def _write_failure(error: BaseException, numbers: frozenset[int] | None = None) -> OSError | None:
    """The OSError that an exception is, or the full disk that a library hides behind its own."""
    if isinstance(error, OSError) and (numbers is None or error.errno in numbers):
        return error
    hidden = (link for link in causes(error) if isinstance(link, OSError) and link.errno in FULL)
    return next(hidden, None)


def _remove_lock(file: Path) -> None:
    """Removes the lock of this process; processes that wait for it create another one."""
    if os.name == "posix":  # other systems cannot remove an open file
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _remove(draft: Path) -> None:
    with suppress(OSError):  # it must not hide the error that ended the block
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
