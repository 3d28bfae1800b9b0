"""Converts mask files to class ids: lookup tables for ids, binary masks and colors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segbench.data.classes import RGB, ClassSet, pack, parse_color
from segbench.data.files import Place, read_colors, read_ids, read_raw_mask
from segbench.data.sources.unknown_labels import advice, color_advice
from segbench.errors import DataError

IGNORE = 255
_OKABE_ITO: tuple[RGB, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
    (240, 228, 66),
)  # fmt: skip
_BACKGROUND, _GRAY = ("background", "bg"), (100, 100, 100)
_LARGEST_LABEL = (1 << 16) - 1
_MOST_VALUES = 255
Mask = tuple[Path, Place | None]  # file, and slice of a volume


class LabelMap:
    """Raw value (label ID or packed color) -> class id, for all values a mask may contain.

    Args:
        table: raw value -> class id, or 255 for ignore.
        colored: raw values are packed colors (see `pack`), masks are read as RGB.
        expected: sentence about the legal values, appended to errors about other values.
        first_channel: masks with three channels are actually gray, apart from compression: use
            the first one.
        names: the classes if masks store class ids or colors of classes, without a label map; for
            advice about other values.
    """

    def __init__(
        self,
        table: Mapping[int, int],
        colored: bool,
        expected: str = "",
        first_channel: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        self.table = dict(sorted(table.items()))
        self.colored = colored
        self.expected = expected
        self.first_channel = first_channel
        self.names = tuple(names)
        self._lut: np.ndarray | None = None

    def read(self, path: Path | None, place: Place | None = None) -> np.ndarray:
        """Decodes a mask file to class ids, uint8 `[H, W]`.

        Raises:
            DataError: a value is not in the table; the message has its share and a remedy.
        """
        if self.first_channel and place is None:
            raw = _first_channel(path)
        else:
            raw = read_values(path, self.colored, place)
        return self.ids_of(raw, str(path))

    def ids_of(self, raw: np.ndarray, what: str) -> np.ndarray:
        """Class ids uint8 `[H, W]` of raw values; `what` names their origin in errors."""
        if self._lut is None:
            size = 1 << 24 if self.colored else 1 << 16
            self._lut = np.full(size, -1, np.int16)
            self._lut[list(self.table)] = list(self.table.values())
        ids = self._lut.take(raw)
        if ids.min(initial=0) < 0:
            unknown = ids < 0
            values = np.unique(raw[unknown]).tolist()
            shown = ", ".join(map(self._show, values[:6]))
            known = ", ".join(self._show(v) for v in list(self.table)[:40])
            lossy = "interpolation or saved as JPEG, export it again"
            if set(self.table) == {0, 255}:
                lossy += ", or set data.threshold=128"
            raise DataError(
                f"{what}: label {shown} on {unknown.mean():.2%} of the pixels is not in the label "
                f"map (known: {known}). {self._advice(values)}If the mask was resized with "
                f"{lossy}.{self.expected}",
                "color" if self.colored else "label",
            )
        return ids.astype(np.uint8)

    def _advice(self, unknown: list[int]) -> str:
        """A sentence, unless there are so many values that they cannot be meant as labels."""
        if len(unknown) > max(6, len(self.table)):
            return ""
        if not self.colored:
            return f"{advice(unknown, self.table, self.names)}. "
        key = "data.colors" if self.names else "data.label_map"
        text = color_advice([*map(unpack, unknown)], [*map(unpack, self.table)], key)
        return f"{text}. "

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_lut": None}

    def _show(self, value: int) -> str:
        return str(unpack(value)) if self.colored else str(value)


def read_values(path: Path | None, colored: bool, place: Place | None = None) -> np.ndarray:
    """Raw values of a mask: label IDs, or packed colors; integer `[H, W]`."""
    if not colored:
        return read_ids(path, place)
    rgb = read_colors(path)
    return pack(rgb).reshape(rgb.shape[:2])


def _first_channel(path: Path | None) -> np.ndarray:
    mask = read_raw_mask(path)
    return mask[..., 0] if mask.ndim == 3 else mask


def declared_map(
    label_map: Mapping[str, Sequence[Any]], names: Sequence[str], colored: bool
) -> LabelMap:
    """The map that a config declares: `{road: [7], ignore: [0, 1]}`.

    Args:
        label_map: class name, or `ignore`, to its raw values (colors for RGB masks).
        names: class names in id order.
        colored: raw values are colors.

    Raises:
        ValueError: a name is not a class, a class has no values, or a value is given twice.
    """
    problems = [f"'{n}' is not a class" for n in label_map if n not in names and n != "ignore"]
    problems += [f"class '{n}' has no values" for n in names if not label_map.get(n)]
    table: dict[int, int] = {}
    for name, values in label_map.items():
        if not isinstance(values, Sequence) or isinstance(values, str):
            problems.append(f"{name}: {values} is not a list of values")
            continue
        for value in values:
            try:
                raw = raw_value(value, colored)
            except ValueError as error:
                problems.append(str(error))
                continue
            if raw in table:
                problems.append(f"{value} is given twice")
            table[raw] = names.index(name) if name in names else IGNORE
    if problems:
        raise ValueError(f"label_map: {'; '.join(problems)} (classes: {', '.join(names)})")
    return LabelMap(table, colored)


def identity_map(names: Sequence[str]) -> LabelMap:
    """Masks that already contain class ids, in the order of `names`, with 255 for ignore."""
    table = {**{i: i for i in range(len(names))}, IGNORE: IGNORE}
    return LabelMap(table, colored=False, names=names)


def color_map(classes: ClassSet, with_void: bool) -> LabelMap:
    """Masks in the colors of the classes; `with_void` ignores the void color, too."""
    table = {_packed(color): i for i, color in enumerate(classes.colors)}
    void = {_packed(classes.void_color): IGNORE} if with_void else {}
    return LabelMap(table | void, colored=True, names=classes.names)


def binary_map(masks: Iterable[Mask]) -> LabelMap:
    """Masks of 0 and 255, or of 0 and 1: the first mask with two values decides for all.

    In masks of 0 and 1, 255 is not treated as a class, because it may mean ignore.

    Args:
        masks: all mask files; unreadable ones, and those with other values, are skipped.
    """
    for path, place in masks:
        try:
            values = set(np.unique(read_ids(path, place)).tolist())
        except DataError:
            continue  # reported when it is read for its labels
        if values - {0} in ({1}, {255}):
            second = max(values)
            break
    else:
        second = 255
    expected = (
        " mask_type: binary expects 0 and 255, or 0 and 1, the same in all masks; found 0 and "
        f"{second}."
    )
    return LabelMap({0: 0, second: 1}, colored=False, expected=expected)


def threshold_map(threshold: int) -> LabelMap:
    """Gray masks with blurred edges or compression: class 1 from `threshold` upwards."""
    table = {value: int(value >= threshold) for value in range(256)}
    return LabelMap(table, colored=False, first_channel=True)


def found_map(
    masks: Iterable[Mask],
    ignore_values: Sequence[Any],
    colored: bool,
    faults: list[DataError] | None = None,
) -> LabelMap:
    """`label_map: auto`: the distinct values of all masks, in order, become 0..K-1.

    Args:
        masks: all mask files.
        ignore_values: raw values (or colors) that become ignore instead.
        colored: raw values are colors.
        faults: if a list, continues after errors: skips bad files, which are reported when they
            are read for their labels, treats an ambiguous 255 as ignore, and appends the rest here.

    Raises:
        DataError: there are too many values for classes, or none, or 255 is ambiguous.
    """
    found: set[int] = set()
    for path, place in masks:
        try:
            values = set(np.unique(read_values(path, colored, place)).tolist())
            if len(found | values) > _MOST_VALUES:
                raise DataError(
                    f"{path}: more than {_MOST_VALUES} distinct values so far; these masks were "
                    "interpolated or saved as JPEG. Export them again, or use mask_type: binary."
                )
        except DataError:
            if faults is None:
                raise
            continue
        found |= values
    ignored = {raw_value(v, colored) for v in ignore_values}
    kept = sorted(found - ignored, key=unpack if colored else None)
    problem = None
    if not kept:
        problem = "label_map=auto found no label in any mask, so there are no classes."
        kept = [next(value for value in range(len(ignored) + 1) if value not in ignored)]
    elif not colored and IGNORE in kept and kept != [0, IGNORE]:
        problem = (
            f"label_map=auto found the values {', '.join(map(str, kept))}: is 255 a class or "
            "ignore? Set ignore_values: [255], or write out the label_map."
        )
        kept.remove(IGNORE)
        ignored.add(IGNORE)
    if problem:
        if faults is None:
            raise DataError(problem)
        faults.append(DataError(problem))
    table = {value: class_id for class_id, value in enumerate(kept)}
    return LabelMap(table | dict.fromkeys(sorted(ignored), IGNORE), colored)


def unpack(value: int) -> RGB:
    """The color of a packed value."""
    return value & 255, (value >> 8) & 255, value >> 16


def distinct_colors(names: Sequence[str], avoided: RGB | None = None) -> tuple[RGB, ...]:
    """Colors for classes without any.

    A class called background is gray. The others have the colors of Okabe & Ito (2008), which are
    distinguishable with any color vision, and then those of PASCAL VOC, without black.

    Args:
        names: the classes.
        avoided: a color that no class gets.
    """
    fresh = (color for color in (*_OKABE_ITO, *map(_voc_color, range(1, 512))) if color != avoided)
    gray = _GRAY if avoided != _GRAY else next(fresh)
    background = next((i for i, name in enumerate(names) if str(name).lower() in _BACKGROUND), None)
    return tuple(gray if i == background else next(fresh) for i in range(len(names)))


def _voc_color(index: int) -> RGB:
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def raw_value(value: Any, colored: bool) -> int:
    """Converts a label in a config to a raw value; ValueError if it is not a label or color."""
    if colored:
        return _packed(parse_color(value))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_LABEL:
        raise ValueError(f"{value} is not a label; expected an integer from 0 to {_LARGEST_LABEL}")
    return value


def _packed(color: Sequence[int]) -> int:
    return int(pack(np.array(color, np.uint8))[0])
