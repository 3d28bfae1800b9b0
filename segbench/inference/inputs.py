"""Which pictures and videos a path, a folder or a glob means, and what to call them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from pathlib import Path

from segbench.errors import DataError
from segbench.inference import photos, video


def find_sources(source: str) -> dict[str, Path]:
    """The files that a path, a folder (with its subfolders) or a glob names.

    Returns:
        name -> file; the name is the path below the folder without suffix, with it where two files
        would get the same name.

    Raises:
        DataError: nothing is there, or nothing that could be an image or a video.
    """
    if not source:  # which would be the working directory
        raise DataError("source: is empty; give a file, a folder or a glob")
    path = Path(source)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        suffixes = (*photos.SUFFIXES, *video.SUFFIXES)
        found = [f for f in path.rglob("*") if f.is_file() and f.suffix.lower() in suffixes]
        if not found:
            raise DataError(f"source: the folder {source} holds no image and no video")
    else:
        found = [Path(f) for f in glob.glob(source, recursive=True) if Path(f).is_file()]
        if not found:
            raise DataError(f"source: there is no file or folder '{source}', as a glob neither")
    found.sort()
    base = path if path.is_dir() else Path(os.path.commonpath([f.parent for f in found]))
    stems = Counter(file.relative_to(base).with_suffix("") for file in found)
    names = [file.relative_to(base) for file in found]
    return {
        str(name if stems[name.with_suffix("")] > 1 else name.with_suffix("")): file
        for name, file in zip(names, found, strict=True)
    }
