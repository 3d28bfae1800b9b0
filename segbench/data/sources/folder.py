"""Any data set from YAML alone: patterns for images and masks, a split, classes, a label map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from segbench.data.annotations import KINDS, Outlines
from segbench.data.bands import RGB, bands_from
from segbench.data.classes import ClassSet
from segbench.data.dataset import SPLITS, Arrays, Record, check_split
from segbench.data.files import Place, all_paired, read_image
from segbench.data.regexes import Regex
from segbench.data.sources.folder_config import check_arguments, class_set, started
from segbench.data.sources.folder_rows import rows_of
from segbench.data.sources.label_map import (
    LabelMap,
    binary_map,
    color_map,
    declared_map,
    found_map,
    identity_map,
    threshold_map,
    unpack,
)
from segbench.data.volumes import count_slices, is_volume
from segbench.errors import DataError, UnpairedError
from segbench.system.machine import expanded


class Folder:
    """A data set described by its config.

    The split comes from exactly one of: `{split}` in `images`, `lists`, `table`, `ratio`.

    Args:
        root: root folder of the data set.
        images: pattern or folder of the images below `root` (see `find_files`), for example
            `{split}/{name}.jpg`.
        masks: the same for the masks, for example `{split}annot/{name}.png`; or one per split.
        splits: the folder name for `{split}` (or the word in the table) of each split; null: the
            data set lacks this split.
        lists: for each split, a list file below `root`, a list of names, or null.
        table: CSV below `root` with the columns image, mask, split, group; replaces `images`
            and `masks`.
        ratio: shares of train, val and test; groups are never divided.
        split_seed: seed of the division by `ratio`.
        group_regex: searched in the name; its first capture group (or the whole match) is the
            group of an image. None makes every image its own group.
        group_starts: for names that end in a frame number: the first frame of each sequence; the
            frames of a sequence are one group.
        mask_type: `ids` (one label ID per pixel, palette PNG included), `rgb` (colors), `binary`
            (0 and 255, or 0 and 1, the same in all masks), or outlines: `coco` (`masks` is one file
            for all images) or `labelme` (one file per image), see `data.annotations`.
        threshold: for `binary` masks that were compressed or blurred: lowest gray level of class 1.
        merge_masks: for `binary`: several files may match `masks` for one image, each with some of
            the pixels of class 1.
        classes: class names; None uses those of `label_map` (`auto` names them by their values).
        colors: RGB of each class; None chooses distinct ones (required for `mask_type: rgb`
            without `label_map`).
        void_color: RGB of ignored pixels; with None, no color of an RGB mask is ignored, and
            ignored pixels are painted black (or another color of no class).
        label_map: class name (or `ignore`) -> raw values, colors for RGB masks; `auto` maps the
            distinct values found to 0..K-1 in order; None uses ids as they are, 255 ignored.
        ignore_values: raw values (or colors) that `auto` ignores.
        channels, value_range, show: the bands that the model sees, see `data.bands`.
        slice_axis: axis along which volumes (NIfTI) are cut into images, see `data.volumes`.
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
        group_starts: list[int] | None = None,
        mask_type: Literal["ids", "rgb", "binary", "coco", "labelme"] = "ids",
        threshold: int | None = None,
        merge_masks: bool = False,
        classes: list[str] | None = None,
        colors: list[list[int]] | None = None,
        void_color: list[int] | None = None,
        label_map: dict[str, list] | str | None = None,
        ignore_values: list | None = None,
        channels: int | list[int] = RGB,
        value_range: Literal["auto", "percentile"] | list[float] = "auto",
        show: list[int] | None = None,
        slice_axis: int = 2,
        protocol: str = "folder",
        about: Mapping[str, object] | None = None,
    ) -> None:
        self.root = expanded(root, "data.root")
        self.bands = bands_from(channels, value_range, show)
        self.slice_axis = slice_axis
        self.outlines = Outlines(mask_type, classes or []) if mask_type in KINDS else None
        self.images, self.masks, self.table = images, masks, table
        self.splits = dict(splits or {})
        self.lists, self.ratio, self.split_seed = lists, ratio, split_seed
        try:
            self.group_regex = Regex(group_regex) if group_regex else None
        except ValueError as error:
            raise ValueError(f"group_regex {error}") from None
        self.group_starts = list(group_starts or ())
        self.mask_type, self.threshold, self.merge_masks = mask_type, threshold, merge_masks
        self.names, self.colors = classes, colors
        if classes is None and isinstance(label_map, dict):
            self.names = [name for name in label_map if name != "ignore"]
        self.void_color = void_color
        self.declared = label_map
        self.ignore_values = list(ignore_values or ())
        self.protocol, self.about = protocol, dict(about or {})
        self.comparable = bool(self.about.get("comparable", True))
        chosen: Mapping[str, object] = self.splits if self.lists is None else self.lists
        self.absent = tuple(split for split in SPLITS if chosen.get(split, "") is None)
        self._faults: list[DataError] | None = None
        check_arguments(self)

    def records(self, split: str) -> list[Record]:
        """See `Source`."""
        check_split(split, self.absent)
        rows, problems, further = rows_of(self, split)
        records = [
            Record(
                part_name,
                group or self.group(name, f"{split}/"),
                image,
                mask,
                0,
                part,
                tuple(further.get(name, ())),
            )
            for name, image, mask, group in rows
            for part_name, part in self._parts(name, image)
        ]
        records.sort(key=lambda record: (record.group, record.name))
        records = [replace(record, index=index) for index, record in enumerate(records)]
        return all_paired(records, problems)

    def read(self, record: Record) -> Arrays:
        """See `Source`. Without a mask every pixel is ignored."""
        place = self._place(record)
        image = read_image(record.image, self.bands, place)
        size = (image.shape[0], image.shape[1])
        if record.mask is None:
            return image, np.full(size, 255, np.uint8)
        if self.outlines is not None and record.image is not None:
            return image, self.outlines.read(record.mask, record.image, size)
        ids = self.label_map.read(record.mask, place)
        for more in record.more_masks:
            other = self.label_map.read(more, place)
            if other.shape != ids.shape:
                raise DataError(
                    f"{more}: has another size than {record.mask}; merge_masks needs one."
                )
            ids = np.maximum(ids, other)
        return image, ids

    def fingerprint_key(self) -> str:
        """See `Source`."""
        axis = "" if self.slice_axis == 2 else f" axis {self.slice_axis}"
        return f"folder v2 {self.mask_type} {self.label_map.table}{axis}"

    @cached_property
    def label_map(self) -> LabelMap:
        """Raw values -> class ids.

        `label_map: auto` reads every mask once to find it, `mask_type: binary` usually one mask.
        """
        label_map = self._label_map()
        label_map.expected += f" {self.about.get('labels', '')}".rstrip()
        return label_map

    def _label_map(self) -> LabelMap:
        if self.outlines is not None:
            return LabelMap({}, colored=False)
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
        return identity_map(self.names or [])

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

    def _parts(self, name: str, image: Path) -> list[tuple[str, int | None]]:
        """The images of a file: the slices of a volume, or one image."""
        if not is_volume(image):
            return [(name, None)]
        count = count_slices(image, self.slice_axis)
        return [(f"{name}_{part:03d}", part) for part in range(count)]

    def _place(self, record: Record) -> Place | None:
        return None if record.part is None else (record.part, self.slice_axis)

    def _all_masks(self, strict: bool) -> Iterator[tuple[Path, Place | None]]:
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
            yield from ((r.mask, self._place(r)) for r in records if r.mask)

    def group(self, name: str, prefix: str = "") -> str:
        """The group of an image, from its name."""
        if self.group_starts:
            return f"frames from {started(name, self.group_starts)}"
        if self.group_regex is None:
            return prefix + name
        try:
            match = self.group_regex.search(name)
        except ValueError as error:
            raise DataError(f"data.group_regex {error}.") from None
        if match is None:
            raise DataError(
                f"'{name}' does not match data.group_regex='{self.group_regex.pattern}', which "
                "determines the group of an image."
            )
        return match[1] if self.group_regex.groups else match[0]
