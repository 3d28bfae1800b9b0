"""A CSV table that names the image, mask and split of each pair."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from segbench.data.names import check_name
from segbench.data.sources.layout import Row, read_text
from segbench.errors import DataError


def read_table(path: Path, root: Path, split: str) -> list[Row]:
    """The rows of one split in a CSV table of pairs: columns image, mask, split and group.

    Paths are relative to `root`; an empty mask means unlabeled; the columns group and name are
    optional. `python -m segbench.check_data` writes such a table. Columns are separated by commas,
    or by the semicolons or tabs that the header contains instead.

    Raises:
        DataError: the file, a column or the split is missing, or two rows have the same name.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table of pairs; correct data.table.")
    rows = _rows(path)
    known = dict.fromkeys(row["split"] for row in rows)
    if split not in known and not {"train", "val", "test"}.issuperset(known):
        raise DataError(
            f"{path}: no row has the split '{split}'; found: {', '.join(known)}. Rename them, or "
            f"set data.splits.{split}."
        )
    found: dict[str, Row] = {}
    lines: dict[str, str] = {}
    for row in rows:
        if row["split"] != split:
            continue
        image = _below(root, row["image"])
        name = check_name(row.get("name") or image.stem, str(path))
        if name in found:
            both = f"the rows in lines {lines[name]} and {row['line']}"
            if found[name][1] == image:
                raise DataError(f"{path}: {both} have the same image; remove one.")
            raise DataError(f"{path}: {both} have the name '{name}'; add a column name.")
        mask = _below(root, row["mask"]) if row["mask"] else None
        found[name] = (name, image, mask, row.get("group") or None)
        lines[name] = row["line"]
    return list(found.values())


def _rows(path: Path) -> list[dict[str, str]]:
    """All rows without spaces around their values; `line` is where a row ends in the file."""
    text = read_text(path)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True
    )
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    if missing := {"image", "mask", "split"} - set(columns):
        raise DataError(
            f"{path}: no column {', '.join(sorted(missing))}; expected image, mask, split and "
            f"perhaps group, name. Found: {', '.join(columns)}."
        )
    rows = []
    for row in reader:
        if None in row or None in row.values() or not row["image"].strip():
            raise DataError(
                f"{path}: line {reader.line_num} does not have the columns of the header "
                f"({', '.join(columns)}); a name that contains '{separator}' needs quotes."
            )
        rows.append({key: value.strip() for key, value in row.items()})
        rows[-1]["line"] = str(reader.line_num)
    return rows


def _below(root: Path, text: str) -> Path:
    """A path of a table, which may have been written on Windows."""
    path = root / text
    return root / text.replace("\\", "/") if "\\" in text and not path.exists() else path
