"""`train.log`: the terminal output of a run, with warnings, and tracebacks of failures."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from segbench.system.console import outliving


class Tee:
    """A terminal stream whose lines also go to a log.

    If a line is redrawn again and again, such as a progress bar, the log gets its last state.
    Errors while writing the log, for example on a full disk, are ignored, and so is the end of
    what reads the terminal output.

    Args:
        stream: the terminal stream.
        log: the log, opened for appending.
    """

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream = stream
        self._log = log
        self._line = ""

    def write(self, text: str) -> int:
        """Writes to both; to the log, only whole lines."""
        with outliving(self.stream):
            self.stream.write(text)
        *lines, self._line = (self._line + text).split("\n")
        with suppress(OSError, ValueError):  # ValueError: the log is closed
            for line in lines:
                self._log.write(line.rstrip("\r").rpartition("\r")[2] + "\n")
        self._line = self._line.rpartition("\r")[2] or self._line
        return len(text)

    def flush(self) -> None:
        """Flushes both."""
        with outliving(self.stream):
            self.stream.flush()
        with suppress(OSError, ValueError):
            self._log.flush()

    def end(self) -> None:
        """Writes an unfinished line to the log."""
        with suppress(OSError, ValueError):
            self._log.write(f"{self._line.rpartition(chr(13))[2]}\n" if self._line else "")

    def __getattr__(self, name: str) -> Any:
        """Delegates everything else to the terminal stream."""
        return getattr(self.stream, name)


@contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Appends the terminal output of the block to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)  # the first process may be slower
    before = sys.stdout, sys.stderr
    with file.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        tees = tuple(Tee(stream, log) for stream in before)
        sys.stdout, sys.stderr = tees  # type: ignore[assignment]
        moved = _redirect(dict(zip(before, tees, strict=True)))
        shown = logging.StreamHandler()  # to the terminal; the root logger itself has no handler
        shown.setLevel(logging.WARNING)
        shown.addFilter(lambda record: not _has_own_handler(record))
        logging.getLogger().addHandler(shown)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(shown)
            for handler, stream in moved:
                handler.setStream(stream)
            sys.stdout, sys.stderr = before
            for tee in tees:
                tee.end()


def _has_own_handler(record: logging.LogRecord) -> bool:
    """Whether a verb has given the package logger a handler, which already shows the record."""
    return record.name.split(".")[0] == "segbench" and bool(logging.getLogger("segbench").handlers)


def log_traceback(file: Path, error: BaseException, process: str) -> None:
    """Appends the traceback of an error; the terminal may show only its message."""
    text = "".join(traceback.format_exception(error))
    with suppress(OSError), file.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(f"{process}: {text}" if process else text)


def _redirect(tees: dict[TextIO, Any]) -> list[tuple[logging.StreamHandler[Any], TextIO]]:
    """Redirects existing handlers to the tees; returns them with their original streams."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    moved = []
    for logger in loggers:
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            if isinstance(handler, logging.StreamHandler) and stream in tees:
                handler.setStream(tees[stream])
                moved.append((handler, stream))
    return moved
