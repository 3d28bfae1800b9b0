"""Finds the images and videos of a path, a folder or a glob, and their names."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path

from segbench.data import decoding, volumes
from segbench.data.folders import files_below
from segbench.errors import DataError
from segbench.inference import video
from segbench.inference.outputs import FOLDERS, RECORD
from segbench.system.console import say

# Photos of phones, cameras and satellites in formats that a folder is not searched for.
NOT_READ = (".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef")


def find_sources(source: str, own: Sequence[Path] = ()) -> dict[str, Path]:
    """The files that a path, a folder (with its subfolders) or a glob matches.

    Symbolic links to folders are followed; names that begin with a dot are skipped. Photos of a
    folder in a format that is not read are left out, as is the output of earlier predictions unless
    its folder is named, and a note says so.

    Args:
        source: path, folder or glob; `~` is the home directory.
        own: output folders, which are skipped.

    Returns:
        name -> file; the name is the path below the folder without extension, or with it if two
        files would otherwise have the same name.

    Raises:
        DataError: nothing is there, or nothing that can be an image or a video.
    """
    if not source:  # an empty path would mean the working directory
        raise DataError("source: is empty; set it to a file, a folder or a glob")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:  # there is no home directory
        raise DataError(f"source={source}: {error}; write the path in full") from None
    if path.is_file():
        found = [path]
    elif path.is_dir():
        suffixes = (*decoding.SUFFIXES, *video.SUFFIXES, *volumes.SUFFIXES)
        files = list(files_below(path, without=own))
        found = [file for file in files if file.name.lower().endswith(suffixes)]
        if not found:
            raise _nothing_in(files, source)
        if left_out := Counter(s for f in files if (s := f.suffix.lower()) in NOT_READ):
            kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(left_out.items()))
            say(f"note: {source}: left out: {kinds}; convert them to JPEG or PNG", stderr=True)
    else:
        skipped = {folder.resolve() for folder in own}
        matches = map(Path, glob.glob(str(path), recursive=True))
        found = [f for f in matches if f.is_file() and skipped.isdisjoint(f.resolve().parents)]
        if not found:
            raise DataError(
                f"source: there is no file or folder '{source}', and it matches nothing as a glob"
            )
    if not path.is_file():
        found = _without_predictions(found, path, source)
    found.sort()
    base = path if path.is_dir() else Path(os.path.commonpath([f.parent for f in found]))
    names = [file.relative_to(base) for file in found]
    stems = Counter(map(_stem, names))
    return {
        str(name if stems[_stem(name)] > 1 else _stem(name)): file
        for name, file in zip(names, found, strict=True)
    }


def _without_predictions(found: list[Path], path: Path, source: str) -> list[Path]:
    """Leaves out what `segbench.predict` has written below the folder or the glob.

    Raises:
        DataError: nothing else is there.
    """
    fixed = takewhile(lambda part: not glob.has_magic(part), path.parts)
    named = path if path.is_dir() else Path(*fixed)

    @cache
    def is_output(folder: Path) -> bool:
        return folder.name in FOLDERS and (folder.parent / RECORD).is_file()

    def written_to(file: Path) -> Path | None:
        below = [*file.relative_to(named).parents][:-1]
        return next((named / each for each in below if is_output(named / each)), None)

    outputs = {file: written_to(file) for file in found}
    kept = [file for file, folder in outputs.items() if folder is None]
    if folders := sorted({folder for folder in outputs.values() if folder is not None}):
        first = f"{folders[0]}{' and others' * (len(folders) > 1)}"
        if not kept:
            raise DataError(
                f"source={source}: contains only what earlier predictions wrote, in {first}; to "
                f"predict such files, name their folder: source={folders[0]}"
            )
        number = len(found) - len(kept)
        say(
            f"note: {source}: left out: {number} file{'s' * (number > 1)} that earlier predictions "
            f"wrote, in {first}; to predict them, name their folder",
            stderr=True,
        )
    return kept


def _nothing_in(files: Sequence[Path], source: str) -> DataError:
    """The error for a folder without an image or a video; arrays are read only if named."""
    kinds = {file.suffix.lower() for file in files}
    text = f"source: the folder {source} contains no images and no videos"
    if photos := sorted(kinds.intersection(NOT_READ)):
        text += f" that can be read; convert its {', '.join(photos)} files to JPEG or PNG"
    elif arrays := sorted(kinds.intersection(decoding.ARRAYS)):
        text += f"; for its {arrays[0]} files, set source={source.rstrip('/')}/**/*{arrays[0]}"
    return DataError(text)


def _stem(name: Path) -> Path:
    """A path without extension; `.nii.gz` counts as one."""
    suffix = next((s for s in (".nii.gz",) if name.name.lower().endswith(s)), name.suffix)
    return name.with_name(name.name[: len(name.name) - len(suffix)])
