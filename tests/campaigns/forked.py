"""Commands of segbench in processes forked from one that has imported everything.

A training that is to be killed, or to run out of disk space, then costs a fraction of a second. The
server is that of `multiprocessing`, with `tests.campaigns.warm` preloaded.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import ROOT, python_path

TICK = 0.001  # seconds between two checks of the CPU time of a process that is to be killed
LONGEST = 300  # seconds of a command on a slow machine
# Events of Python's audit hooks through which a command changes the disk.
CHANGES = frozenset(("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"))


@dataclass
class Fault:
    """A fault injected into a command, in its process.

    Args:
        folder: only changes below it count.
        at: index of the change that fails, from 0; None: none.
        kind: `kill`: the process is killed before it; `cut`: it is killed while writing the first
            file from then on that has more than `size` bytes; `full`: the change fails as on a full
            disk, and the next ones succeed.
        size: maximum bytes of a file: with `cut` from then on, without `at` from the start.
        disk: bytes of a separate disk that is mounted on `folder`; None: no such disk.
        events: the changes so far.
    """

    folder: str
    at: int | None = None
    kind: str = "kill"
    size: int | None = None
    events: list[str] = field(default_factory=list)

    def arm(self) -> None:
        """Starts watching the process; an audit hook cannot be removed."""
        if self.at is None and self.size is not None:
            self._limit()
        sys.addaudithook(self._hook)

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+")
            writes |= bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if not writes:
                return
        elif event not in CHANGES:
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not _is_below(path, self.folder):
            return
        number = len(self.events)
        self.events.append(f"{event} {Path(path).name}")
        if number == self.at:
            self._strike(str(path), event)

    def _strike(self, path: str, event: str) -> None:
        if self.kind == "full":
            # Removing needs no disk space.
            if event not in ("os.remove", "os.rmdir"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif self.kind == "cut":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            self._limit()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def _is_below(path: Any, folder: str) -> bool:
    return os.path.abspath(path).startswith(folder + os.sep)


class Ended(NamedTuple):
    """How a command ended: exit code (negative: the signal), its output, its changes."""

    code: int
    output: str
    events: list[str]
    seconds: float  # CPU time

    @property
    def has_traceback(self) -> bool:
        """Whether the output contains a traceback."""
        return "Traceback (most recent call last)" in self.output


@cache
def _server() -> Any:
    """The multiprocessing context that forks from a warm process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.campaigns.warm"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = python_path(ROOT)
    try:
        from multiprocessing.forkserver import ensure_running

        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def run(
    verb: str, words: Iterable[str], fault: Fault | None = None, kill_at: float | None = None
) -> Ended:
    """Runs a verb in its own process.

    Args:
        verb: `train`, `evaluate`, `predict` or `export`.
        words: its command-line arguments.
        fault: the fault to inject.
        kill_at: CPU seconds after which it is killed.
    """
    context = _server()
    reader, writer = context.Pipe(duplex=False)
    events_reader, events = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(verb, tuple(words), fault, writer, events))
    process.start()
    writer.close()
    events.close()
    output, seconds = _watch(process.pid, reader, kill_at)
    process.join(LONGEST)
    assert process.exitcode is not None, f"{verb} does not end: {output[-2000:]}"
    try:
        found = events_reader.recv()
    except EOFError:  # it was killed, or not watched
        found = []
    return Ended(process.exitcode, output, found, seconds)


def _child(
    verb: str, words: tuple[str, ...], fault: Fault | None, out: Connection, events: Connection
) -> None:
    from tests.campaigns import warm

    for stream in (1, 2):
        os.dup2(out.fileno(), stream)
    out.close()
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: PLW1514, SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if fault is not None:
        fault.arm()
    try:
        warm.run(verb, words)
    finally:
        if fault is not None:
            events.send(fault.events)


def _watch(pid: int, reader: Connection, kill_at: float | None) -> tuple[str, float]:
    """The output of a process until its end, and its CPU time; kills it at the limit."""
    clock = (~pid << 3) | 2  # of its CPU time, see clock_getcpuclockid(3)
    chunks, seconds = [], 0.0
    ends = time.monotonic() + LONGEST
    while time.monotonic() < ends:
        ready, _, _ = select.select([reader.fileno()], [], [], TICK if kill_at else 1.0)
        try:
            seconds = time.clock_gettime(clock)
            if kill_at is not None and seconds >= kill_at:
                os.kill(pid, signal.SIGKILL)
                kill_at = None
        except (OSError, ProcessLookupError):
            kill_at = None  # it has already ended
        if ready:
            chunk = os.read(reader.fileno(), 1 << 16)
            if not chunk:
                break
            chunks.append(chunk)
    return b"".join(chunks).decode(errors="replace"), seconds
