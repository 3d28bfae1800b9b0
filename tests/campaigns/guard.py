"""An audit hook that refuses every act of a file that is only read."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from typing import Any

FORBIDDEN = re.compile(
    r"os\.(remove|rmdir|rename|truncate|link|symlink|mkdir|chmod|system|exec|fork|posix_spawn|kill)"
    r"|shutil\.|socket\.(connect|bind|getaddrinfo|sendto)|subprocess\.|urllib\.|ftplib\.|smtplib\."
)


class ForbiddenError(BaseException):
    """Raised by the audit hook; not caught by `except Exception`."""


class Guard:
    """A Python audit hook, which sees every file, process and socket that is opened."""

    def __init__(self) -> None:
        self.armed, self.acts = False, []
        self.output = ""  # folder below which anything may be written
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            _, mode, flags = arguments
            writes = any(c in (mode or "") for c in "wax+")
            writes |= bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if not writes or self._is_output(arguments[:1]):
                return
        elif not FORBIDDEN.match(event) or self._is_output(arguments[:2]):
            return
        self.acts.append(f"{event} {arguments!r}"[:300])
        raise ForbiddenError(self.acts[-1])

    def _is_output(self, paths: tuple[Any, ...]) -> bool:
        found = [os.path.realpath(p) for p in paths if isinstance(p, str | os.PathLike)]
        return bool(self.output and found) and all(
            path == self.output or path.startswith(self.output + os.sep) for path in found
        )


@cache
def guard() -> Guard:
    """One per process, because an audit hook cannot be removed."""
    return Guard()
