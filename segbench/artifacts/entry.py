"""The `segbench` entry of a checkpoint or ONNX file: the required format.

Read an entry only through `check_entry`; all keys below can then be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from segbench.artifacts.plain import check_plain, is_number
from segbench.config.fields import LARGEST_SEED
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError

CHECKPOINT_FORMAT = 1
LARGEST_SIDE = 1 << 15  # maximum image side in pixels that a model was trained on


class _Field(NamedTuple):
    """One key of the entry: a check of its value, the expected value in words, and if optional."""

    is_right: Callable[[Any], bool]
    expected: str
    optional: bool = False


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value: Any) -> bool:
    return value is None or (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(_is_count(side) and 0 < side <= LARGEST_SIDE for side in value)
    )


def _is_rgb(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(is_number, value))


def _is_positive_rgb(value: Any) -> bool:
    return _is_rgb(value) and min(value) > 0


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_scores(value: Any) -> bool:
    """Whether a value is the scores of a split as from `scores.scores`, or empty."""
    if not value:
        return value is None or value == {}
    if not isinstance(value, Mapping) or not isinstance(value.get("IoU"), Mapping):
        return False
    totals = (value.get(key) for key in ("mIoU", "mDice", "pixel_acc", "mean_acc"))
    return all(map(_is_score, (*totals, *value["IoU"].values())))


def _is_hardware(value: Any) -> bool:
    return isinstance(value, Mapping) and (not value or isinstance(value.get("device"), str))


_MAPPING = _Field(_is_mapping, "a mapping")
_MAYBE_MAPPING = _Field(_is_mapping, "a mapping", optional=True)
_COUNT = _Field(lambda v: v is None or _is_count(v), "a number of 0 or more", optional=True)
_TEXT = _Field(_is_text, "a text", optional=True)
_SCORES = _Field(_is_scores, "scores with an IoU for each class", optional=True)

FIELDS: dict[str, _Field] = {
    "config": _MAPPING,
    "config.model": _MAPPING,
    "config.data": _MAPPING,
    "config.data.mean": _Field(_is_rgb, "three numbers", optional=True),
    "config.data.std": _Field(_is_positive_rgb, "three positive numbers", optional=True),
    "config.inference": _MAPPING,
    "config.name": _Field(_is_text, "a text"),
    "config.study": _TEXT,
    "config.seed": _Field(
        lambda v: _is_count(v) and v <= LARGEST_SEED, f"a number of 0 to {LARGEST_SEED}"
    ),
    "config.trainer": _MAYBE_MAPPING,
    "classes": _MAPPING,
    "classes.names": _Field(_is_texts, "a list of texts"),
    "classes.colors": _Field(lambda v: isinstance(v, list | tuple), "a list of [R, G, B]"),
    "mean": _Field(_is_rgb, "three numbers"),
    "std": _Field(_is_positive_rgb, "three positive numbers"),
    "protocol": _MAPPING,
    "protocol.resize": _Field(_is_size, "null or [H, W]", optional=True),
    "protocol.precision": _TEXT,
    "protocol.labels": _TEXT,
    "protocol.selection": _TEXT,
    "scores": _MAPPING,
    "scores.val": _SCORES,
    "scores.test": _SCORES,
    "fingerprint": _MAYBE_MAPPING,
    "params": _COUNT,
    "trained": _MAYBE_MAPPING,
    "trained.data_info": _MAYBE_MAPPING,
    "trained.data_info.num_images": _MAYBE_MAPPING,
    "trained.budget": _MAYBE_MAPPING,
    "trained.timings": _MAYBE_MAPPING,
    "trained.timings.train_seconds": _Field(is_number, "a number", optional=True),
    "trained.hardware": _Field(_is_hardware, "a mapping with a device", optional=True),
    "trained.params": _COUNT,
    "trained.epoch": _COUNT,
    "trained.selected_epoch": _COUNT,
    "trained.command": _TEXT,
    "trained.commit": _Field(lambda v: v is None or _is_text(v), "a text", optional=True),
}
IN_ONNX = ("mean", "std")  # keys that an ONNX entry does not have: the graph normalizes


def check_entry(entry: Any, where: str, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns the entry if all of it is plain data of the expected types.

    Args:
        entry: the entry as read.
        where: the file, for messages.
        left_out: keys that this kind of file does not have.

    Raises:
        ConfigError: it is of another version, altered or damaged; lists all problems.
    """
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: was not written by segbench (its entry is no mapping)")
    if entry.get("format") != CHECKPOINT_FORMAT:
        raise ConfigError(
            f"{where}: has format {str(entry.get('format'))[:80]}, this version of segbench reads "
            f"format {CHECKPOINT_FORMAT}"
        )
    check_plain(entry, f"{where}: its entry")
    problems = [
        problem
        for key, field in FIELDS.items()
        if key not in left_out and (problem := _problem(entry, key, field))
    ]
    if not problems:
        try:
            ClassSet.from_dict(entry["classes"])
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"classes: {error}")
    if problems:
        raise ConfigError(
            f"{where}: what it says of itself is not what segbench writes, so the file was altered "
            f"or damaged: {'; '.join(problems)}"
        )
    return entry


def _problem(entry: Mapping[str, Any], path: str, field: _Field) -> str:
    """What is wrong with one key; empty if nothing is, or if its parent is already wrong."""
    *parents, last = path.split(".")
    value: Any = entry
    for parent in parents:
        value = value.get(parent, {})
        if not isinstance(value, Mapping):
            return ""
    if last not in value:
        return "" if field.optional else f"{path} is missing"
    if field.is_right(value[last]):
        return ""
    return f"{path}: expected {field.expected}, found {str(value[last])[:60]!r}"
