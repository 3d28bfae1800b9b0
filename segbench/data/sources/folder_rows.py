"""Pairs images and masks of each split of `data=folder` according to its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from segbench.data.files import NO_IMAGE, NO_MASK, pair
from segbench.data.sources.layout import (
    Row,
    find_files,
    group_in,
    read_list,
    split_groups,
    without_partners,
)
from segbench.data.sources.place import check_place, looks_like
from segbench.data.sources.table import read_table
from segbench.errors import DataError

if TYPE_CHECKING:
    from segbench.data.sources.folder import Folder

_NO_TEST = (
    "Without a test split, set 'data.splits={test: val}', with selection=last (then nothing is "
    "selected on val), or test=false; segbench.evaluate takes split=val."
)
_NO_TEST_LIST = "Without a test split, give val's list for it too, with selection=last."


Further = dict[str, list[Path]]  # more masks of an image, by its name


def rows_of(source: Folder, split: str) -> tuple[list[Row], list[str], Further]:
    """The images of a split.

    Returns:
        Name, image, mask and group of each; problems with the pairs; further masks.
    """
    further: Further = {}
    folder = source.splits.get(split) or split
    if source.table is not None:
        return read_table(source.root / source.table, source.root, folder), [], further
    images_pattern = source.images or ""
    masks_pattern = source.masks[split] if isinstance(source.masks, dict) else source.masks or ""
    if source.about:
        listed = (source.lists or {}).get(split)
        check_place(source.root, folder, (images_pattern, masks_pattern), listed, source.about)
    try:
        images = find_files(source.root, images_pattern, folder, "data.images")
        masks = _masks_of(source, masks_pattern, folder, images, further)
        if not images:
            raise DataError(
                f"{source.root}: no image matches data.images='{source.images}'."
                f"{looks_like(source.root)}"
            )
    except DataError as error:
        if split == "test" and source.lists is None and source.ratio is None:
            raise DataError(f"{error} {_NO_TEST}") from None
        raise
    images, masks = without_partners(images, masks)
    merged = {path for paths in further.values() for path in paths}
    images = {name: path for name, path in images.items() if path not in merged}
    if source.lists is not None:
        if split not in source.lists:
            hint = f" {_NO_TEST_LIST}" if split == "test" else ""
            raise DataError(f"data.lists has no '{split}'; it has {', '.join(source.lists)}.{hint}")
        wanted: set[str] = set(read_list(source.root, source.lists[split] or [], images))
    elif source.ratio is not None:
        groups = {name: source.group(name) for name in images}
        division = split_groups(list(groups.values()), source.ratio, source.split_seed)
        wanted = {name for name, group in groups.items() if division[group] == split}
        if split == "train":  # masks without image belong to no split; report them here, once
            wanted |= masks.keys() - images.keys()
    else:
        wanted = images.keys() | masks.keys()
    pairs, problems = pair(
        {name: path for name, path in images.items() if name in wanted},
        {name: path for name, path in masks.items() if name in wanted},
    )
    for key, pattern, ours, theirs, problem in (
        ("data.images", images_pattern, images, masks, NO_IMAGE),
        ("data.masks", masks_pattern, masks, images, NO_MASK),
    ):
        lonely = wanted & theirs.keys() - ours.keys()
        if lonely and (hint := _other_extension(source.root, pattern, folder, key, lonely)):
            problems = [f"{text} ({hint})" if problem in text else text for text in problems]
    rows = [(name, image, mask, group_in(images_pattern, image)) for name, image, mask in pairs]
    return rows, problems, further


def _masks_of(
    source: Folder, pattern: str, folder: str, images: Mapping[str, Path], further: Further
) -> dict[str, Path]:
    """The mask file of each name; with `merge_masks`, the others are added to `further`."""
    if source.mask_type != "coco" or source.outlines is None:
        read = (".json",) if source.mask_type == "labelme" else ()
        more = further if source.merge_masks else None
        return find_files(source.root, pattern, folder, "data.masks", read, more)
    file = source.root / pattern.replace("{split}", folder)
    return _of_one_file(file, source.outlines.names_in(file), images)


def _other_extension(root: Path, pattern: str, folder: str, key: str, names: set[str]) -> str:
    """A hint if files of these names exist with another extension than the pattern's."""
    stem, dot, extension = pattern.rpartition(".")
    if not dot or set("/*{}") & set(extension):
        return ""
    try:
        found = find_files(root, f"{stem}.*", folder, key, more={})
    except DataError:
        return ""
    there = sorted(names & found.keys())
    if not there:
        return ""
    return f"{found[there[0]]} exists: let {key} end in {stem.rpartition('/')[2]}.*"


def _of_one_file(
    file: Path, described: Sequence[str], images: Mapping[str, Path]
) -> dict[str, Path]:
    """Maps the name of each image to the one file with the masks of many images.

    Args:
        file: the annotations.
        described: the images in it, as paths without extension.
        images: the images found, by name.
    """
    names = {image.with_suffix("").as_posix(): name for name, image in images.items()}
    tails = {PurePosixPath(path).name: name for path, name in names.items()}
    found = {}
    for text in described:
        whole = [name for path, name in names.items() if path.endswith(f"/{text}")]
        name = whole[0] if len(whole) == 1 else tails.get(PurePosixPath(text).name)
        found[name or text] = file
    return found
