"""Checks that a folder is the root of a data set, and if not, finds the right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from segbench.data.folders import entries_in, files_below
from segbench.data.sources.layout import fixed_folder, matches
from segbench.errors import DataError
from segbench.system.shipped import shipped

_DEPTH = 3  # levels of folders searched below a root
_MOST_FOLDERS = 200  # in one folder; more are images by class or place, not an unpacked archive
_MOST_FILES = 200  # per folder, compared with the pattern of a data set
_OWN_READERS = {  # data sets whose layout is in their reader, not in their YAML
    "camvid": ("701_StillsRaw_full/{name}.png", "LabeledApproved_full/{name}_L.png"),
    "camvid11": ("train/{name}.png", "trainannot/{name}.png"),
    "cityscapes": (
        "leftImg8bit/train/*/{name}_leftImg8bit.png",
        "gtFine/train/*/{name}_gtFine_labelIds.png",
    ),
}


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
            f"{root}: no such folder. Set data.root (with ckpt: root) to the folder of {title}.\n"
            f"Expected layout:\n{layout}\nHow to get it: {steps}"
        )
    if other := _root_nearby(root, needed):
        raise DataError(
            f"{root}: {title} is in {other}. Set data.root={other} (with ckpt: root={other})."
        )
    there = [path for path in dict.fromkeys(needed) if path not in missing]
    half = (
        f" Only {', '.join(there)} is there, so it was probably not fully unpacked."
        if there
        else ""
    )
    raise DataError(
        f"{root}: missing {', '.join(missing)} of {title}.{half}{looks_like(root)} "
        f"Found: {entries_in(root)}."
        f"\nExpected layout:\n{layout}\nHow to get it: {steps}"
    )


def looks_like(root: Path) -> str:
    """A sentence that names the data sets of `conf/data` in a folder, for errors; or empty."""
    known = " or ".join(f"data={name}" for name in data_sets_in(root))
    return f" The folder looks like {known}." if known else ""


def data_sets_in(root: Path) -> list[str]:
    """Names of the data sets of `conf/data` whose files are in a folder.

    One file must match each pattern. If several data sets match, those whose patterns contain the
    most folders are kept, because `images` and `masks` alone are ambiguous.
    """
    found: dict[str, int] = {}
    for name, patterns in _known_patterns().items():
        if all(_has_a_file(root, pattern) for pattern in patterns):
            found[name] = len({part for pattern in patterns for part in pattern.split("/")[:-1]})
    return sorted(name for name, parts in found.items() if parts == max(found.values()))


def _known_patterns() -> dict[str, tuple[str, str]]:
    """Data set -> patterns of its images and masks in train, or in its only split."""
    known = dict(_OWN_READERS)
    for file in sorted((shipped("conf") / "data").glob("*.yaml")):
        node = yaml.safe_load(file.read_text(encoding="utf-8"))
        images, masks = node.get("images"), node.get("masks")
        if not (node.get("about") and isinstance(images, str) and isinstance(masks, str)):
            continue
        splits = {"train": "train"} | (node.get("splits") or {})
        folder = splits["train"] or splits.get("test") or "test"
        known[file.stem] = (
            images.replace("{split}", folder),
            masks.replace("{split}", folder),
        )
    return known


def _has_a_file(root: Path, pattern: str) -> bool:
    folder = root / fixed_folder(pattern)
    files = islice(files_below(folder), _MOST_FILES) if folder.is_dir() else ()
    return any(matches(pattern, path.relative_to(root)) for path in files)


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
