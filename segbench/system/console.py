"""The only module that writes to the terminal: text is printed literally.

Names of classes, models and files are printed in tables, notes and errors. Here they are never
interpreted as markup (`[red]` is printed with its brackets), emoji (`:cat:`) or control characters,
which would move the cursor or change colors.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from segbench.system.escaping import terminal
from segbench.system.machine import WINDOWS

WIDTH = 120  # columns if the output is a file or a pipe, which has no width
_GONE = {errno.EPIPE, errno.EIO} | ({errno.EINVAL} if WINDOWS else set())


class PlainConsole(Console):
    """A console that treats every string as plain text."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """The text without markup, emoji and control characters; `style` etc. still apply."""
        options |= {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(terminal(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints, if there still is a reader."""
        with outliving(self.file):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Leaves the error to `print`; rich would end the process."""
        raise


@contextmanager
def outliving(stream: IO[str]) -> Iterator[None]:
    """Goes on if nothing reads the stream any more: `head` has ended, the terminal was closed."""
    try:
        yield
    except OSError as error:
        if error.errno not in _GONE:
            raise
        with suppress(OSError, ValueError):  # ValueError: not a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_every_character() -> None:
    """Lets the terminal, or a pipe, take characters that its encoding lacks, as on Windows.

    A minus is a hyphen there, so that numbers stay numbers; others are escaped as in Python.
    """
    codecs.register_error("nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].replace("−", "-")
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def console(stderr: bool = False) -> PlainConsole:
    """A console on stdout, or on stderr."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return PlainConsole(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(text: str, stderr: bool = False) -> None:
    """Prints one or more lines literally: neither wrapped nor truncated."""
    stream = sys.stderr if stderr else sys.stdout
    with outliving(stream):
        print(terminal(text), file=stream, flush=True)


def table(*columns: str, title: str | None = None, left: int = 1) -> Table:
    """An empty table.

    Args:
        columns: their headers.
        title: printed above it.
        left: number of leading columns aligned to the left; the others, numbers, to the right.
    """
    found = Table(title=title, title_justify="left")
    for position, head in enumerate(columns):
        found.add_column(head, justify="left" if position < left else "right", overflow="fold")
    return found


def duration(seconds: float) -> str:
    """Formats seconds as `H:MM:SS`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Shows a progress bar on stderr until the block ends, if stderr is a terminal.

    Args:
        what: the activity, for example `Decoding train`.
        total: number of items; None = unknown.

    Yields:
        A function that takes the number of items done and, if known only later, the total.
    """
    target = console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=target, transient=True, disable=not target.is_terminal,
        redirect_stdout=True, redirect_stderr=False,
    )  # fmt: skip
    with bar:
        task = bar.add_task(terminal(what), total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
