"""What to do about a label that the config of a data set does not explain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import yaml

_NEAR = 10.0  # distance in RGB up to which a color is probably meant to be a known one
_MOST_CLASSES = 12  # of a label map that is written out
_USUAL = "Add it to data.label_map, as a class or under ignore"


def advice(unknown: Sequence[int], table: Mapping[int, int], names: Sequence[str]) -> str:
    """Advice for masks whose values are class ids.

    Args:
        unknown: the values that are not in the table.
        table: raw value -> class id.
        names: the classes if the masks store class ids, without a label map; otherwise empty.
    """
    if not names:
        return _USUAL
    if len(names) > _MOST_CLASSES:
        return "Write out data.label_map, with it as a class or under ignore"
    ids = {class_id: raw for raw, class_id in table.items()}
    label_map = {str(name): [ids[i]] for i, name in enumerate(names)}
    text = yaml.safe_dump(
        label_map | {"ignore": [*map(int, unknown)]},
        default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True,
    ).strip()  # fmt: skip
    return f"To ignore it, write label_map: {text}; as a class, give it a name there"


def color_advice(
    unknown: Sequence[tuple[int, int, int]],
    known: Sequence[tuple[int, int, int]],
    key: str,
) -> str:
    """Advice for color masks: is it a known color in BGR order, or nearly a known one?

    Args:
        unknown: the colors that are not known.
        known: the colors that the config explains.
        key: the key that explains them, `data.label_map` or `data.colors`.
    """
    for color in unknown:
        if color[::-1] in known:
            return f"{color} is {color[::-1]} in BGR order: swap red and blue in {key}"
    for color in unknown:
        other = min(known, key=lambda known_color: math.dist(color, known_color))
        if math.dist(color, other) <= _NEAR:
            return f"{color} is close to {other}: if that is meant, correct it in {key}"
    if key == "data.label_map":
        return _USUAL
    return "Add it to data.classes and data.colors, or set it as data.void_color"
