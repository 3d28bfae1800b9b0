"""Checks names of images: they become file names, which must stay inside the output folder."""

from __future__ import annotations

from pathlib import PureWindowsPath

from segbench.errors import DataError


def check_name(name: str, where: str) -> str:
    """Returns the name of an image if it is legal on every system.

    Args:
        name: may contain folders, as in `city/frame_01`.
        where: name of its origin in errors.

    Raises:
        DataError: it is empty, leads outside of the folder, or contains control characters.
    """
    parts = name.replace("\\", "/").split("/")
    problem = None
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        problem = "contains control characters"
    elif ".." in parts or "." in parts:
        problem = "leads to another folder ('.' or '..')"
    elif "" in parts or PureWindowsPath(name).drive:
        problem = "is empty, an absolute path, or has an empty part"
    elif len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        problem = f"is longer than {_LONGEST} bytes"
    if problem:
        raise DataError(
            f"{where}: the name {name[:80]!r} {problem}. Files are named after it; use letters, "
            "digits, - and _, with / between folders."
        )
    return name


_LONGEST = 1000
