"""Hugging Face data sets on disk, as written by `DatasetDict.save_to_disk`.

Images and masks are columns of the type Image; their bytes are decoded like those of files.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segbench.data.bands import RGB, bands_from
from segbench.data.classes import ClassSet
from segbench.data.dataset import SPLITS, Arrays, Record, check_split
from segbench.data.decoding import decode_image
from segbench.data.extras import needed
from segbench.data.labels import decode_mask
from segbench.data.names import check_name
from segbench.data.sources.folder_config import class_set
from segbench.data.sources.label_map import declared_map, identity_map
from segbench.errors import DataError
from segbench.system.machine import expanded

_DEFAULT = {"val": "validation"}


class HuggingFace:
    """A data set saved by `save_to_disk`.

    Args:
        root: the folder.
        image: column of the images.
        mask: column of the masks, one label ID per pixel.
        name: column of names that are unique in a split; None numbers the images.
        group: column of the groups of correlated images; None makes every image its own group.
        splits: names of train, val and test in the data set; null: the split does not exist.
        classes: class names.
        colors: RGB of each class; None chooses distinct ones.
        label_map: class name (or `ignore`) -> raw labels; None uses ids as they are, 255 ignored.
        channels, value_range, show: the bands that the model sees, see `data.bands`.
        protocol: short id of the label protocol; only scores of one protocol are compared.

    Raises:
        ValueError: arguments contradict each other.
        ConfigError: the package `datasets` is not installed.
    """

    comparable = True

    def __init__(
        self,
        root: str,
        image: str = "image",
        mask: str = "mask",
        name: str | None = None,
        group: str | None = None,
        splits: dict[str, str | None] | None = None,
        classes: list[str] | None = None,
        colors: list[list[int]] | None = None,
        label_map: dict[str, list] | None = None,
        channels: int | list[int] = RGB,
        value_range: Literal["auto", "percentile"] | list[float] = "auto",
        show: list[int] | None = None,
        protocol: str = "huggingface",
    ) -> None:
        self.root = expanded(root, "data.root")
        self.bands = bands_from(channels, value_range, show)
        self.columns = {"image": image, "mask": mask, "name": name, "group": group}
        self.splits = dict(splits or {})
        self.absent = tuple(s for s in SPLITS if self.splits.get(s, "") is None)
        names = classes or [key for key in label_map or {} if key != "ignore"]
        if not names:
            raise ValueError("classes are needed, or a label_map")
        self.classes: ClassSet = class_set(names, colors, None)
        self.label_map = declared_map(label_map, names, False) if label_map else identity_map(names)
        self.protocol = protocol

    def records(self, split: str) -> list[Record]:
        """See `Source`."""
        check_split(split, self.absent)
        part = self._part(split)
        table, first = self._table(part), self._starts[part]
        names, groups = self._texts(table, "name"), self._texts(table, "group")
        records = []
        for index in range(len(table)):
            name = check_name(names[index], str(self.root)) if names else f"{split}_{index:06d}"
            records.append(Record(name, groups[index] if groups else name, index=first + index))
        if len({record.name for record in records}) < len(records):
            raise DataError(f"{self.root}: names in the column {self.columns['name']} repeat.")
        return sorted(records, key=lambda record: (record.group, record.name))

    def read(self, record: Record) -> Arrays:
        """See `Source`."""
        part = [name for name, first in self._starts.items() if first <= record.index][-1]
        row = self._table(part)[record.index - self._starts[part]]
        what = f"{self.root}, {record.name}"
        image = decode_image(self._bytes(row, "image", what), Path(what), self.bands)
        if row[self.columns["mask"]] is None:
            return image, np.full(image.shape[:2], 255, np.uint8)
        raw = decode_mask(self._bytes(row, "mask", what), Path(what))
        if raw.ndim != 2:
            raise DataError(f"{what}: an RGB mask where one label ID per pixel is expected.", "rgb")
        return image, self.label_map.ids_of(raw, what)

    def fingerprint_key(self) -> str:
        """See `Source`; includes the bytes of all files."""
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(self.root.rglob("*.arrow")):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "blake2b").digest())
        columns = {key: value for key, value in self.columns.items() if value}
        return f"huggingface v1 {columns} {self.splits} {self.label_map.table} {digest.hexdigest()}"

    @cached_property
    def _starts(self) -> dict[str, int]:
        """The position of the first row of each part among the rows of all parts.

        `Record.index` counts all rows, because names may repeat in another part.
        """
        lengths = [len(table) for table in self._tables.values()]
        return dict(zip(self._tables, accumulate(lengths, initial=0), strict=False))

    @cached_property
    def _tables(self) -> Any:
        datasets = needed("datasets", "hf", "a data set of Hugging Face")
        try:
            found = datasets.load_from_disk(str(self.root))
        except Exception as error:  # of various types
            raise DataError(
                f"{self.root}: is not a data set written by save_to_disk "
                f"({(str(error).splitlines() or [''])[0][:200]})."
            ) from None
        return found if isinstance(found, dict) else {"": found}

    def _part(self, split: str) -> str:
        """The name of a split in the data set."""
        wanted = self.splits.get(split) or split
        for name in (wanted, _DEFAULT.get(split, wanted)):
            if name in self._tables:
                return name
        raise DataError(
            f"{self.root}: has no split '{wanted}'; it has {', '.join(self._tables) or 'one'}. "
            f"Set data.splits={{{split}: NAME}}; for a data set without splits, call "
            "train_test_split and save it again."
        )

    def _table(self, name: str) -> Any:
        """A part of the data set, with images as bytes."""
        datasets, table = needed("datasets", "hf", "a data set"), self._tables[name]
        for key, column in self.columns.items():
            if column is None:
                continue
            if column not in table.column_names:
                raise DataError(
                    f"{self.root}: no column '{column}' (data.{key}); it has "
                    f"{', '.join(table.column_names)}."
                )
            if key in ("image", "mask"):
                if not isinstance(table.features[column], datasets.Image):
                    raise DataError(
                        f"{self.root}: the column '{column}' is {table.features[column]}; expected "
                        "Image. Cast it with cast_column and save it again."
                    )
                table = table.cast_column(column, datasets.Image(decode=False))
        self._tables[name] = table
        return table

    def _texts(self, table: Any, key: str) -> list[str] | None:
        column = self.columns[key]
        return None if column is None else [str(value) for value in table[column]]

    def _bytes(self, row: Any, key: str, what: str) -> bytes:
        cell = row[self.columns[key]]
        if cell is None:
            raise DataError(f"{what}: has no {key}; remove the row.", "unreadable")
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        try:
            return Path(cell["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise DataError(f"{what}: its {key} cannot be read ({error}).", "unreadable") from None
