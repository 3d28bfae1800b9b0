"""Finds the images and masks of `data=folder`, and divides them into splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from segbench.data import volumes
from segbench.data.decoding import ARRAYS, SUFFIXES
from segbench.data.folders import files_below
from segbench.data.regexes import Regex
from segbench.errors import DataError

Row = tuple[str, Path, Path | None, str | None]  # name, image, mask, group


def find_files(
    root: Path,
    pattern: str,
    split_folder: str = "",
    key: str = "",
    read: Sequence[str] = (),
    more: dict[str, list[Path]] | None = None,
) -> dict[str, Path]:
    """Files below `root` that match a pattern, by name.

    Symbolic links to folders are followed; names that begin with a dot are skipped; the case of an
    extension (`.JPG`) does not matter.

    Args:
        root: root folder.
        pattern: path with `{name}` for the part that an image and its mask share, `{split}` for
            the folder of the split, `{group}` for the folder of a group (the name is then
            GROUP_NAME), `*` for any text within a folder and `**/` for any number of folders. A
            pattern without `{name}` is a folder whose files are named by their stems.
        split_folder: replaces `{split}`.
        key: the key of the pattern, for errors.
        read: the supported suffixes; if empty, those of images.
        more: collects the second and further files of a name; if None, these are an error.

    Raises:
        DataError: the folder does not exist, two files have the same name, or all files are of
            unsupported formats.
    """
    pattern = _of_files(pattern.replace("{split}", split_folder))
    fixed = Path(fixed_folder(pattern))
    if not (root / fixed).is_dir():
        raise DataError(
            f"{root / fixed}: no such folder. The pattern '{pattern}' below data.root leads "
            "there; correct data.root (with ckpt: root), data.images or data.masks."
        )
    regex, suffixes = _expression(pattern), tuple(read) or _suffixes_of(pattern)
    parts = ("group", "name") if "{group}" in pattern else ("name",)
    found: dict[str, Path] = {}
    unread: Counter[str] = Counter()
    depth = None if "**" in pattern else pattern.count("/") - len(fixed.parts)
    below = len(root.parts)
    for path in files_below(root / fixed, depth):
        try:
            match = regex.fullmatch("/".join(path.parts[below:]))
        except ValueError:
            raise DataError(
                f"{key or 'pattern'}: '{pattern}' has too many * for paths as long as {path}."
            ) from None
        if match is None:
            continue
        if not path.name.lower().endswith(suffixes):
            unread[path.suffix.lower()] += 1
            continue
        name = "_".join(match.groupdict()[part] for part in parts)
        if name in found and more is not None:
            more.setdefault(name, []).append(path)
            continue
        if name in found:
            raise DataError(
                f"{path}: has the same name '{name}' as {found[name]}. Remove one, or list the "
                "pairs in a CSV file with a column name, and set data.table."
            )
        found[name] = path
    if unread and not found:
        raise _unsupported(key or "pattern", pattern, unread, suffixes)
    return found


def _unsupported(
    key: str, pattern: str, unread: Counter[str], suffixes: Sequence[str]
) -> DataError:
    """The error for files that match a pattern, none of which is read."""
    common = [suffix for suffix, _ in unread.most_common(5)]
    text = f"{key}: {sum(unread.values())} file(s) match '{pattern}', but "
    if arrays := [suffix for suffix in common if suffix in ARRAYS]:
        return DataError(
            f"{text}{arrays[0]} is read only where it is named: let {key} end in "
            f"{{name}}{arrays[0]}."
        )
    kinds = ", ".join(suffix or "no extension" for suffix in common)
    return DataError(f"{text}{kinds} is not supported; supported are {', '.join(suffixes)}.")


def without_partners(
    images: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Removes masks from the images, and images from the masks, if they share a folder.

    For patterns where one also matches the files of the other (`x.tif`, `x_mask.tif`): a mask of
    an image is not an image itself, and an image of a mask is not a mask.
    """
    are_masks = {path for name, path in masks.items() if images.get(name) not in (None, path)}
    are_images = {path for name, path in images.items() if masks.get(name) not in (None, path)}
    only_masks, only_images = are_masks - are_images, are_images - are_masks
    return (
        {name: path for name, path in images.items() if path not in only_masks},
        {name: path for name, path in masks.items() if path not in only_images},
    )


def group_in(pattern: str, path: Path) -> str | None:
    """The folder that matches `{group}` of a pattern in a path, if the pattern has it.

    It is counted from the end of the path, so no `**/` may follow it.
    """
    parts = pattern.split("/")
    return path.parts[parts.index("{group}") - len(parts)] if "{group}" in parts else None


def fixed_folder(pattern: str, split_folder: str = "") -> str:
    """The leading folders of a pattern that are the same for all its files, as a path."""
    parts = pattern.replace("{split}", split_folder).split("/")
    if "{name}" in pattern:
        parts.pop()
    wild = (i for i, part in enumerate(parts) if re.search(r"\*|\{name\}|\{group\}", part))
    return "/".join(parts[: next(wild, len(parts))])


def read_list(root: Path, chosen: str | Sequence[str], names: Mapping[str, Path]) -> Sequence[str]:
    """The images of a split, from a list file or a list in the config.

    Args:
        root: root folder.
        chosen: a file below it, with one name, file name or path per line (optionally followed by
            the path of its mask); or the names themselves.
        names: all images by name.

    Raises:
        DataError: the file does not exist, or a name matches no image.
    """
    if not isinstance(chosen, str):
        if absent := [name for name in chosen if name not in names]:
            raise DataError(
                f"{root}: {len(absent)} of the {len(chosen)} images named in data.lists are "
                f"missing: {', '.join(map(str, absent[:8]))}. A part of the data set is missing, "
                f"or the names are wrong; expected names like '{next(iter(names), 'NAME')}'."
            )
        return chosen
    path = root / chosen
    if not path.is_file():
        raise DataError(f"{path}: no such list file; correct data.lists.")
    wanted: list[str] = []
    unknown: list[str] = []
    folders = {parent.name for file in names.values() for parent in file.parents}
    for line in filter(None, map(str.strip, read_text(path).splitlines())):
        first, *others = line.split()
        if line not in names and others and _is_file_name(first):
            name = _named(first, names, folders)  # the path of its mask follows
        else:
            name = _named(line, names, folders)
        (unknown if name is None else wanted).append(name or line)
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} line(s) do not name an image, e.g. '{unknown[0]}'. Expected "
            f"names like '{next(iter(names), 'NAME')}'."
        )
    return list(dict.fromkeys(wanted))


def _named(text: str, names: Mapping[str, Path], folders: set[str]) -> str | None:
    """The image that a name, file name or path refers to; not one in another folder."""
    if text in names:
        return text
    path = PurePosixPath(text.replace("\\", "/"))
    name = path.stem if _is_file_name(text) else path.name
    if name not in names:
        return None
    parent = path.parent.name
    elsewhere = parent in folders and parent not in {p.name for p in names[name].parents}
    return None if elsewhere else name


def _is_file_name(text: str) -> bool:
    return text.lower().endswith((*SUFFIXES, *volumes.SUFFIXES, *ARRAYS))


def split_groups(groups: Sequence[str], ratio: Sequence[float], seed: int) -> dict[str, str]:
    """Divides groups among train, val and test so that no group is in two splits.

    Args:
        groups: group of every image.
        ratio: shares of train, val and test; they sum to 1.
        seed: seed of the division; apart from it, only the names of the groups matter.

    Returns:
        group -> split.

    Raises:
        DataError: too few groups for the splits.
    """
    names, counts = np.unique(np.array(groups), return_counts=True)
    if len(names) < sum(share > 0 for share in ratio):
        raise DataError(
            f"ratio {list(ratio)} needs a group of images per split, but the number of groups is "
            f"{len(names)}: {', '.join(names[:5])}. Change data.group_regex or list the splits."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    goal = np.array(ratio) * counts.sum()
    got = np.zeros(3)
    division = {}
    for position in order[np.argsort(-counts[order], kind="stable")]:
        # Assigning the largest groups first, each to the split that lacks the largest share, keeps
        # the ratio; of two splits that lack the same, the larger one is first.
        lack = np.where(goal > 0, (goal - got) / np.maximum(goal, 1e-9), -np.inf)
        chosen = max(range(3), key=lambda split: (lack[split], goal[split]))
        got[chosen] += counts[position]
        division[str(names[position])] = ("train", "val", "test")[chosen]
    return division


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without the byte order mark that Excel writes."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}). Save it as UTF-8.") from error


def matches(pattern: str, path: Path) -> bool:
    """Whether a pattern matches a path of an image (or mask) below the root."""
    return _expression(_of_files(pattern)).fullmatch(path.as_posix()) is not None


def _of_files(pattern: str) -> str:
    """The pattern of the files, if `pattern` is a folder."""
    return pattern if "{name}" in pattern else pattern.rstrip("/") + "/{name}.*"


def _expression(pattern: str) -> Regex:
    """A regular expression for paths below the root that match a pattern."""
    stem, dot, suffix = pattern.rpartition(".")
    if "/" in suffix or "*" in suffix or "{" in suffix:
        stem, dot, suffix = pattern, "", ""
    expression = re.escape(stem).replace(r"\{name\}", r"(?P<name>[^/]+?)", 1)
    expression = expression.replace(r"\{group\}", r"(?P<group>[^/]+)", 1)
    expression = expression.replace(r"\{name\}", r"(?P=name)")  # as in {name}/{name}.png
    expression = expression.replace(r"\*\*/", r"(?:.*/)?").replace(r"\*", r"[^/]*")
    return Regex(f"{expression}(?i:{re.escape(dot + suffix)})")


def _suffixes_of(pattern: str) -> tuple[str, ...]:
    """The extensions that a pattern matches: arrays only if it names their extension."""
    return tuple(s for s in ARRAYS if pattern.lower().endswith(s)) or (*SUFFIXES, *volumes.SUFFIXES)
