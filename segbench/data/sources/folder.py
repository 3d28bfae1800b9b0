"""Any data set from YAML alone: patterns for images and masks, a split, classes, a label map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import SPLITS, Arrays, Record, check_split
from segbench.data.files import all_paired, pair, read_rgb
from segbench.data.sources.folder_config import class_set, contradictions
from segbench.data.sources.label_map import (
    LabelMap,
    binary_map,
    color_map,
    declared_map,
    found_map,
    identity_map,
    raw_value,
    threshold_map,
    unpack,
)
from segbench.data.sources.layout import (
    Row,
    find_files,
    group_in,
    read_list,
    read_table,
    split_groups,
    without_partners,
)
from segbench.data.sources.place import check_place
from segbench.errors import DataError, UnpairedError
from segbench.system.machine import expanded

_NO_TEST = (
    "Without a test split, set 'data.splits={test: val}', with selection=last (then nothing is "
    "selected on val)."
)
_NO_TEST_LIST = "Without a test split, give val's list for it too, with selection=last."


class Folder:
    """A data set described by its config.

    The split comes from exactly one of: `{split}` in `images`, `lists`, `table`, `ratio`.

    Args:
        root: root folder of the data set.
        images: pattern or folder of the images below `root` (see `find_files`), for example
            `{split}/{name}.jpg`.
        masks: the same for the masks, for example `{split}annot/{name}.png`; or one per split.
        splits: the folder name for `{split}` in each split; null: the data set lacks this split.
        lists: for each split, a list file below `root`, a list of names, or null.
        table: CSV below `root` with the columns image, mask, split and group; replaces `images`
            and `masks`.
        ratio: shares of train, val and test; groups are never divided.
        split_seed: seed of the division by `ratio`.
        group_regex: searched in the name; its first capture group (or the whole match) is the
            group of an image. None makes every image its own group.
        mask_type: `ids` (one label ID per pixel, palette PNG included), `rgb` (colors) or
            `binary` (0 and 255, or 0 and 1, the same in all masks).
        threshold: for `binary` masks that were compressed or blurred: lowest gray level of class 1.
        classes: class names; None uses those of `label_map` (`auto` names them by their values).
        colors: RGB of each class; None chooses distinct ones (required for `mask_type: rgb`
            without `label_map`).
        void_color: RGB of ignored pixels; with None, no color of an RGB mask is ignored, and
            ignored pixels are painted black (or another color of no class).
        label_map: class name (or `ignore`) -> raw values, colors for RGB masks; `auto` maps the
            distinct values found to 0..K-1 in order; None uses ids as they are, 255 ignored.
        ignore_values: raw values (or colors) that `auto` ignores.
        protocol: short id of the label protocol; only scores of one protocol are compared.
        about: facts about the data set; see `segbench.data.about`.

    Raises:
        ValueError: arguments contradict each other.
    """

    def __init__(
        self,
        root: str,
        images: str | None = None,
        masks: str | dict[str, str] | None = None,
        splits: dict[str, str | None] | None = None,
        lists: dict[str, str | list[str] | None] | None = None,
        table: str | None = None,
        ratio: list[float] | None = None,
        split_seed: int = 0,
        group_regex: str | None = None,
        mask_type: Literal["ids", "rgb", "binary"] = "ids",
        threshold: int | None = None,
        classes: list[str] | None = None,
        colors: list[list[int]] | None = None,
        void_color: list[int] | None = None,
        label_map: dict[str, list] | str | None = None,
        ignore_values: list | None = None,
        protocol: str = "folder",
        about: dict[str, Any] | None = None,
    ) -> None:
        self.root = expanded(root, "data.root")
        self.images, self.masks, self.table = images, masks, table
        self.splits = dict(splits or {})
        self.lists, self.ratio, self.split_seed = lists, ratio, split_seed
        try:
            self.group_regex = re.compile(group_regex) if group_regex else None
        except re.error as error:
            raise ValueError(f"group_regex '{group_regex}': {error}") from None
        self.mask_type, self.threshold = mask_type, threshold
        self.names, self.colors = classes, colors
        if classes is None and isinstance(label_map, dict):
            self.names = [name for name in label_map if name != "ignore"]
        self.void_color = void_color
        self.declared = label_map
        self.ignore_values = list(ignore_values or ())
        self.protocol, self.about = protocol, dict(about or {})
        self.comparable = self.about.get("comparable", True)
        chosen: dict[str, Any] = self.splits if self.lists is None else self.lists
        self.absent = tuple(split for split in SPLITS if chosen.get(split, "") is None)
        self._faults: list[DataError] | None = None
        self._check()

    def records(self, split: str) -> list[Record]:
        """See `Source`."""
        check_split(split, self.absent)
        rows, problems = self._rows(split)
        records = [
            Record(name, group or self._group(name, f"{split}/"), image, mask, 0)
            for name, image, mask, group in rows
        ]
        records.sort(key=lambda record: (record.group, record.name))
        records = [
            Record(r.name, r.group, r.image, r.mask, index) for index, r in enumerate(records)
        ]
        return all_paired(records, problems)

    def read(self, record: Record) -> Arrays:
        """See `Source`. Without a mask every pixel is ignored."""
        image = read_rgb(record.image)
        if record.mask is None:
            return image, np.full(image.shape[:2], 255, np.uint8)
        return image, self.label_map.read(record.mask)

    def fingerprint_key(self) -> str:
        """See `Source`."""
        return f"folder v2 {self.mask_type} {self.label_map.table}"

    @cached_property
    def label_map(self) -> LabelMap:
        """Raw values -> class ids.

        `label_map: auto` reads every mask once to find it, `mask_type: binary` usually one mask.
        """
        label_map = self._label_map()
        label_map.expected += f" {self.about.get('labels', '')}".rstrip()
        return label_map

    def _label_map(self) -> LabelMap:
        colored = self.mask_type == "rgb"
        if self.declared == "auto":
            masks = self._all_masks(strict=self._faults is None)
            return found_map(masks, self.ignore_values, colored, self._faults)
        if isinstance(self.declared, dict):
            return declared_map(self.declared, self.names or [], colored)
        if self.threshold is not None:
            return threshold_map(self.threshold)
        if self.mask_type == "binary":
            return binary_map(self._all_masks(strict=False))
        if colored:
            return color_map(self.classes, with_void=self.void_color is not None)
        return identity_map(len(self.names or []))

    @cached_property
    def classes(self) -> ClassSet:
        """The classes; colors are chosen if the config has none."""
        names, colors = self.names, self.colors
        if self.mask_type == "binary":
            _ = self.label_map  # reads the masks for it now, not in every thread and worker
        if self.declared == "auto":
            table = self.label_map.table
            raw = [v for v, class_id in table.items() if class_id != 255]
            raw.sort(key=lambda v: table[v])
            if names and len(names) != len(raw):
                found = ", ".join(map(str, raw))
                error = DataError(
                    f"{len(names)} classes, but auto found {len(raw)} values: {found}"
                )
                if self._faults is None:
                    raise error
                self._faults.append(error)
                names = colors = None
            names = names or [f"label {unpack(v) if self.mask_type == 'rgb' else v}" for v in raw]
        try:
            return class_set(names or [], colors, self.void_color)
        except ValueError as error:  # the values found by auto do not fit the colors
            raise DataError(f"data: {error}") from None

    def survey(self) -> list[DataError]:
        """Finds classes and label map from the readable masks, for the check of a data set.

        Without this, `label_map: auto` raises an error at the first bad file. Afterwards a bad
        file is an error only when it is read.

        Returns:
            Problems with the labels as a whole, without those of single files.
        """
        self._faults = []
        for name in ("label_map", "classes"):
            self.__dict__.pop(name, None)
        _ = self.label_map, self.classes
        return self._faults

    @property
    def found_label_map(self) -> dict[str, int] | None:
        """What `label_map: auto` found, raw value -> class id, for result.json."""
        if self.declared != "auto":
            return None
        shown = unpack if self.mask_type == "rgb" else int
        return {str(shown(raw)): class_id for raw, class_id in self.label_map.table.items()}

    def _rows(self, split: str) -> tuple[list[Row], list[str]]:
        if self.table is not None:
            return read_table(self.root / self.table, self.root, split), []
        folder = self.splits.get(split) or split
        images_pattern = self.images or ""
        masks_pattern = self.masks[split] if isinstance(self.masks, dict) else self.masks or ""
        if self.about:
            listed = (self.lists or {}).get(split)
            check_place(self.root, folder, (images_pattern, masks_pattern), listed, self.about)
        try:
            images = find_files(self.root, images_pattern, folder, "data.images")
            masks = find_files(self.root, masks_pattern, folder, "data.masks")
            if not images:
                raise DataError(f"{self.root}: no image matches data.images='{self.images}'.")
        except DataError as error:
            if split == "test" and self.lists is None and self.ratio is None:
                raise DataError(f"{error} {_NO_TEST}") from None
            raise
        images, masks = without_partners(images, masks)
        if self.lists is not None:
            if split not in self.lists:
                hint = f" {_NO_TEST_LIST}" if split == "test" else ""
                raise DataError(
                    f"data.lists has no '{split}'; it has {', '.join(self.lists)}.{hint}"
                )
            wanted = set(read_list(self.root, self.lists[split] or [], images))
        elif self.ratio is not None:
            groups = {name: self._group(name) for name in images}
            division = split_groups(list(groups.values()), self.ratio, self.split_seed)
            wanted = {name for name, group in groups.items() if division[group] == split}
            if split == "train":  # masks without image belong to no split; report them here, once
                wanted |= masks.keys() - images.keys()
        else:
            wanted = images.keys() | masks.keys()
        pairs, problems = pair(
            {name: path for name, path in images.items() if name in wanted},
            {name: path for name, path in masks.items() if name in wanted},
        )
        rows = [(name, image, mask, group_in(images_pattern, image)) for name, image, mask in pairs]
        return rows, problems

    def _all_masks(self, strict: bool) -> Iterator[Path]:
        """The masks of all splits; if not `strict`, only of the records that can be found."""
        for split in SPLITS:
            if split in self.absent or (self.lists is not None and split not in self.lists):
                continue
            try:
                records = self.records(split)
            except DataError as error:
                if strict:
                    raise
                records = error.records if isinstance(error, UnpairedError) else []
            yield from (record.mask for record in records if record.mask)

    def _group(self, name: str, prefix: str = "") -> str:
        if self.group_regex is None:
            return prefix + name
        match = self.group_regex.search(name)
        if match is None:
            raise DataError(
                f"'{name}' does not match data.group_regex='{self.group_regex.pattern}', which "
                "says what group an image belongs to."
            )
        return match[1] if self.group_regex.groups else match[0]

    def _check(self) -> None:
        problems = contradictions(self)
        if problems:
            raise ValueError("; ".join(problems))
        if isinstance(self.declared, dict):
            declared_map(self.declared, self.names or [], self.mask_type == "rgb")
        if self.declared != "auto":
            class_set(self.names or [], self.colors, self.void_color)
        for value in self.ignore_values:
            raw_value(value, self.mask_type == "rgb")
