"""Records how a run ends: status and cause in result.json, whatever ended it."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType

from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError, EndedBySignalError, InterruptedByUserError, causes
from segbench.system.storage import output_error
from segbench.training.description import earlier_result
from segbench.training.terminal_log import log_traceback

# Errors of a process after another one has ended: a consequence, not the cause.
_PEER_GONE = re.compile("Connection (closed|reset) by peer", re.I)
_PEER_LOST = re.compile(rf"{_PEER_GONE.pattern}|gloo|NCCL|Broken pipe|SIGTERM", re.I)


class Journal:
    """The latest record of a run, in memory and on disk.

    Args:
        run: where it is written.
        result: the first record, which is not written yet.
        process: name of this process if it is not the first one; it then writes only why it failed.
    """

    def __init__(self, run: RunDirectory, result: Result, process: str = "") -> None:
        self.run = run
        self.process = process
        self.progress = ""  # progress of the run, in words
        self.result = result

    def update(self, result: Result) -> None:
        """Replaces the record by a newer one."""
        self.result = result
        if not self.process:
            self.run.write_result(result)

    def close(self, error: BaseException) -> None:
        """Records that an error ended the run, unless another process recorded the cause before."""
        is_interrupted = isinstance(error, EndedBySignalError | InterruptedByUserError)
        reason = f"{type(error).__name__}: {error}"[:2000]
        is_echo = _PEER_LOST.search(reason) is not None and not is_interrupted
        on_disk = earlier_result(self.run)
        if self.process:
            if is_interrupted or is_echo:
                return
            self.result = on_disk or self.result  # the first process has the more complete record
            reason = f"{self.process}: {reason}"
        elif is_echo and on_disk and on_disk.status == "failed":
            reason = on_disk.reason
        elif _PEER_GONE.search(reason) and is_echo:
            reason = f"another process of this run ended first, perhaps killed ({reason})"
        self.result = replace(
            self.result, status="interrupted" if is_interrupted else "failed", reason=reason
        )
        with suppress(OSError):  # on a full disk, still report what ended the run
            self.run.write_result(self.result)


@contextmanager
def recorded(journal: Journal) -> Iterator[None]:
    """Records how the block ends, and raises errors that are meant for users.

    Raises:
        EndedBySignalError: SIGTERM was received.
        InterruptedByUserError: Ctrl-C was pressed.
        OutputError: the disk is full.
        ConfigError: Lightning rejects a setting.
    """
    try:
        yield
    except BaseException as caught:
        error = _explained(caught, journal)
        log_traceback(journal.run.log_file, caught, journal.process)
        journal.close(error)
        if error is caught:
            raise
        raise error from None


@contextmanager
def ended_by_sigterm(journal: Journal) -> Iterator[None]:
    """Ends the block immediately on SIGTERM; Lightning's loops end at the next step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _by_sigterm(journal)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _explained(error: BaseException, journal: Journal) -> BaseException:
    path = journal.run.path
    for link in causes(error):  # also if it was re-raised as another error
        if isinstance(link, EndedBySignalError):
            return link
    if isinstance(error, SIGTERMException):  # unhandled, the process would exit with code 0
        return _by_sigterm(journal)
    if isinstance(error, KeyboardInterrupt) or _is_lightnings_exit(error):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning ignores it
        return InterruptedByUserError(
            f"{path} was interrupted{journal.progress}; run the same command again to continue"
        )
    if (failure := output_error(error)) is not None:
        return failure
    if isinstance(error, MisconfigurationException):
        return ConfigError(f"trainer: {error}")
    return error


def _by_sigterm(journal: Journal) -> EndedBySignalError:
    return EndedBySignalError(
        f"{journal.run.path} was stopped by SIGTERM{journal.progress}; run the same command again "
        "to continue"
    )


def _is_lightnings_exit(error: BaseException) -> bool:
    """Whether this is how Lightning ends the process after Ctrl-C."""
    return isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
