"""All exceptions of segbench, and the words they share.

Verbs print an error with an `exit_code` without a traceback, and exit with that code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class ConfigError(Exception):
    """The command or a config file asks for something impossible; the message says what to do.

    Verbs print the message without a traceback and exit with `exit_code`.
    """

    exit_code = 2


class DataError(Exception):
    """Something is wrong with the data: the message names the file, the value and a remedy.

    Verbs print the message without a traceback and exit with `exit_code`.

    Args:
        message: the message for the user.
        kind: what is wrong in one word, by which `segbench.check_data` groups: unpaired,
            unreadable, size, label, color, rgb, or data for anything else.
    """

    exit_code = 2

    def __init__(self, message: str, kind: str = "data") -> None:
        super().__init__(message)
        self.kind = kind


class ResultError(DataError):
    """A result.json is not the record of a run; the message says what is wrong in it."""


class NewerResultError(ResultError):
    """A result.json was written by a later version; the message says to update segbench."""


class UnpairedError(DataError):
    """Images without mask or masks without image.

    Args:
        problems: one sentence per kind of problem, with files.
        records: the images that could be paired; the check of a data set continues with these.
    """

    def __init__(self, problems: list[str], records: Sequence[Any]) -> None:
        message = "; ".join(problems) + (
            ". Add the missing files, or remove the files that have no partner."
        )
        super().__init__(message, "unpaired")
        self.problems = problems
        self.records = list(records)


class OutputError(Exception):
    """A file cannot be written or read for an external reason, such as a full disk."""

    exit_code = 1


class UnknownTargetError(LookupError):
    """A `_target_` that does not exist."""


class CacheError(Exception):
    """A cache cannot be built or read; the message says why."""


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite; training stopped."""

    exit_code = 1


class NonFiniteLogitsError(Exception):
    """The model's logits are NaN or infinite, so no label map can be made from them."""

    exit_code = 1


class EndedBySignalError(Exception):
    """The system asked the process to end (SIGTERM), and it did."""

    exit_code = 143  # the shell convention: 128 + 15


class InterruptedByUserError(Exception):
    """Ctrl-C (SIGINT) ended a run that can be continued."""

    exit_code = 130  # 128 + 2


class ExportError(Exception):
    """A model cannot be exported to ONNX, or the file does not predict the same as the model."""

    exit_code = 1


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it was raised from or while handling, the last one first."""
    link: BaseException | None = error
    for _ in range(20):  # a chain of exceptions may be a ring
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def first_few(names: Sequence[str], most: int) -> str:
    """The names for a message, separated by commas; of more than `most` the first, and dots."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)
