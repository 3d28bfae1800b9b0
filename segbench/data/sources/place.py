"""Checks that a folder is the root of a data set, and if not, finds the right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.data.sources.layout import fixed_folder
from segbench.errors import DataError

_DEPTH = 3  # levels of folders searched below a root
_MOST_FOLDERS = 200  # in one folder; more are images by class or place, not an unpacked archive


def check_place(
    root: Path,
    split_folder: str,
    patterns: Sequence[str],
    listed: str | Sequence[str] | None,
    about: Mapping[str, Any],
) -> None:
    """Raises DataError if anything that a split needs is missing below `root`.

    The message names the folder to set instead if the data is one level higher or deeper, and lists
    what is there if only part of the data is missing.

    Args:
        root: value of `data.root`.
        split_folder: replaces `{split}`.
        patterns: patterns of images and masks (see `find_files`); their fixed folders must exist.
        listed: the list file of the split, which must exist, too; or the names of its images, of
            which the first is checked if the files are in the root itself.
        about: node `about` of the data set; `title`, `layout` and `get` are printed.
    """
    needed = [fixed_folder(pattern, split_folder) for pattern in patterns]
    if isinstance(listed, str):
        needed.append(listed)
    elif listed:
        needed += [
            pattern.replace("{name}", listed[0]) for pattern in patterns if "/" not in pattern
        ]
    missing = [path for path in dict.fromkeys(needed) if not (root / path).exists()]
    if not missing:
        return
    title, layout = about.get("title", "this data set"), about.get("layout", "").strip()
    steps = " ".join(f"({n}) {step}" for n, step in enumerate(about.get("get", ()), 1))
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder. Set data.root (beside a ckpt: root) to the folder of {title}."
            f"\nExpected layout:\n{layout}\nTo get it: {steps}"
        )
    if other := _root_nearby(root, needed):
        raise DataError(
            f"{root}: {title} lies in {other}. Set data.root={other} (beside a ckpt: root={other})."
        )
    there = [path for path in dict.fromkeys(needed) if path not in missing]
    half = f" Only {', '.join(there)} is there: a part of it was not unpacked." if there else ""
    raise DataError(
        f"{root}: missing {', '.join(missing)} of {title}.{half} Found: {_entries(root)}."
        f"\nExpected layout:\n{layout}\nTo get it: {steps}"
    )


def _root_nearby(root: Path, needed: Sequence[str]) -> Path | None:
    """A folder above or below `root` that contains everything needed."""
    around = list(root.resolve().parents)[:_DEPTH]
    for folder in (*around, *_folders_below(root, _DEPTH)):
        if all((folder / path).exists() for path in needed):
            return folder
    return None


def _folders_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return
    if len(found) > _MOST_FOLDERS:
        return
    yield from found
    if depth > 1:
        for path in found:
            yield from _folders_below(path, depth - 1)


def _entries(root: Path) -> str:
    entries = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    return ", ".join(entries[:12]) + (", ..." if len(entries) > 12 else "") or "nothing"
