"""Finds the labels of a published model by the names of the data's classes; nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHOWN = 30  # labels that a message names


def match(
    labels: Mapping[int, str],
    names: Sequence[str] | None,
    given: Mapping[str, str],
    num_classes: int,
) -> list[int]:
    """The label of each class: of the same name but for case, `_` and `-`, or as given.

    Raises:
        ValueError: a class has no label, or shares it with another class, or two labels have its
            name; all such are listed.
    """
    if names is None:  # only the number is known, as in a benchmark
        if len(labels) < num_classes:
            raise ValueError(
                f"the model has {len(labels)} labels, {num_classes} classes are asked for"
            )
        return list(range(num_classes))
    chosen = {name: _places(labels, given.get(name, name)) for name in names}
    first = [places[0] for places in chosen.values() if len(places) == 1]
    wrong = {
        "no label for the classes {}": [name for name in names if not chosen[name]],
        "labels names {}, which are no classes": [name for name in given if name not in names],
        "several labels for the classes {}": [name for name in names if len(chosen[name]) > 1],
        "one label for the classes {}": [
            name for name in names if len(chosen[name]) == 1 and first.count(chosen[name][0]) > 1
        ],
    }
    if problems := [what.format(", ".join(those)) for what, those in wrong.items() if those]:
        listed = ", ".join(list(labels.values())[:SHOWN])
        rest = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        raise ValueError(
            f"{'; '.join(problems)}. The model's labels: {listed}{rest}. Give the label of such a "
            "class (labels={CLASS: LABEL}), or train a fresh classifier (labels=new)"
        )
    return first


def _places(labels: Mapping[int, str], name: str) -> list[int]:
    """Where a label of this name is: the very same, or but for case, `_` and `-`."""
    same = [int(index) for index, label in labels.items() if label == name]
    return same or [int(index) for index, label in labels.items() if _key(label) == _key(name)]


def _key(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()
