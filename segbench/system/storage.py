"""Files written whole or not at all, by one process at a time, under names that any system allows.

A file is written under the name of a draft beside its target and renamed when it is complete. No
reader ever sees half of one, whatever ends the process, and two processes that write one file at
once do not meet: each has a draft of its own, and the last one wins.
"""

from __future__ import annotations

import errno
import glob
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.errors import ConfigError, OutputError
from segbench.system.escaping import file_name

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quotas
_REMEDIES = {
    **dict.fromkeys(FULL, "free some and repeat the command"),
    errno.EFBIG: "allow larger files (ulimit -f) and repeat the command",
    errno.EROFS: "choose another place, or have it mounted writable",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EIO: "check the disk, then repeat the command",
}
_DRAFT = ".partial-"
_LONGEST_NAME = 200  # bytes; file systems take 255, and a draft needs some


@contextmanager
def replacing(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a path beside `target` that takes its place when the block ends without an error.

    What is written there may be a file or a folder. It bears the suffix of the target, by which
    libraries choose a format.

    Args:
        target: an existing file is replaced, an existing folder must be empty.
        durable: wait until the content is on the disk, so that not even a power cut leaves an
            empty file. Not needed for what the same command writes again.

    Raises:
        OSError: of a write that failed, with `target` as its file name; also where a library
            hides a full disk behind an exception of its own.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{_DRAFT}{secrets.token_hex(4)}-{_tail(target.name)}")
    try:
        yield draft
        if durable and draft.is_file():
            with draft.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(draft, target)
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

    So a set of files that belong together is never half new and half old. Files in `folder` that
    are not written again stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{_DRAFT}{secrets.token_hex(4)}"
    draft.mkdir()
    try:
        yield draft
        for file in sorted(file for file in draft.rglob("*") if file.is_file()):
            target = folder / file.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    except OSError as error:
        if error.filename is not None and str(error.filename).startswith(str(draft)):
            error.filename = str(folder / Path(error.filename).relative_to(draft))
        raise
    finally:
        _remove(draft)


def write_text(target: Path, text: str) -> None:
    """Replaces a UTF-8 file in one step; line ends are written as they are."""
    with replacing(target) as draft:
        draft.write_bytes(text.encode())


def write_png(target: Path, pixels: np.ndarray, level: int = 3) -> None:
    """Replaces a PNG file in one step.

    Args:
        target: the file.
        pixels: uint8 `[H, W]` gray, or `[H, W, 3]` RGB.
        level: of compression, 0..9.
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
    """Yields whether this process alone holds the lock of that name; a process that dies lets go.

    Args:
        file: need not exist; it stays behind.
    """
    import filelock

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def waiting_for(file: Path, holder: str) -> Iterator[None]:
    """Holds a lock, after waiting for the process that holds it; afterwards the lock is gone.

    Args:
        file: the lock.
        holder: whom to wait for, in words.
    """
    import filelock

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        _log.info("waiting for %s", holder)
        lock.acquire()
    try:
        yield
    finally:
        _remove_lock(file)
        lock.release()


@contextmanager
def alone_in(folder: Path, key: str, name: str | None = None) -> Iterator[None]:
    """Holds what a command writes; afterwards there is no lock, and no empty folder of its own.

    Args:
        folder: it exists.
        key: the option that names it.
        name: of the one file in the folder that is meant; None: all of them.

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
                with suppress(OSError):  # there is something in it
                    folder.rmdir()


def clear_drafts(folder: Path, name: str | None = None) -> None:
    """Removes what killed processes left in a folder; only for those who hold its lock.

    Args:
        folder: its subfolders are not searched.
        name: of the file whose drafts are meant; None: of all.
    """
    pattern = f"{_DRAFT}*" if name is None else f"{_DRAFT}*-{glob.escape(_tail(name))}"
    for draft in folder.glob(pattern):
        _remove(draft)


def output_error(error: BaseException) -> OutputError | None:
    """What to tell a person about a file that cannot be written or read; None for other errors."""
    failure = _write_failure(error, frozenset(_REMEDIES))
    if failure is None:
        return None
    where = f"{failure.filename}: " if failure.filename else ""
    reason = failure.strerror or os.strerror(failure.errno or 0)
    return OutputError(f"{where}{reason}; {_REMEDIES[failure.errno or 0]}")


def file_names(names: Sequence[str]) -> list[str]:
    """Names of files for texts of any kind, all different and legal on every system.

    Windows takes no `<>:"/\\|?*`, no control characters, no dot or space at the end and none of
    its devices (CON, NUL, ...), and like macOS it does not tell upper from lower case.
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
    """The end of a file name, short enough for more in front of it."""
    return name.encode("utf-8", "surrogateescape")[-_LONGEST_NAME:].decode("utf-8", "ignore")


def _write_failure(error: BaseException, numbers: frozenset[int] | None = None) -> OSError | None:
    """The OSError that an exception is, or the full disk that a library hides behind its own."""
    if isinstance(error, OSError) and (numbers is None or error.errno in numbers):
        return error
    seen: BaseException | None = error
    for _ in range(20):  # a chain of exceptions may be a ring
        seen = seen and (seen.__cause__ or seen.__context__)
        if isinstance(seen, OSError) and seen.errno in FULL:
            return seen
    return None


def _remove_lock(file: Path) -> None:
    """Removes the lock that this process holds; those who wait for it make another one."""
    if os.name == "posix":  # elsewhere a file that is open cannot be removed
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _remove(draft: Path) -> None:
    with suppress(OSError):  # it must not hide the error that ended the block
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
