"""The `segbench` entry of a checkpoint or ONNX file: the required format.

Read an entry only through `check_entry`; all keys below can then be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

from segbench.artifacts.plain import check_plain, is_number
from segbench.artifacts.typed import read_as
from segbench.config import Config
from segbench.config.fields import LARGEST_SEED
from segbench.data.bands import RGB8, Bands
from segbench.data.classes import ClassSet, PlainClasses
from segbench.errors import ConfigError, ResultError
from segbench.metrics.scores import MatrixScores

CHECKPOINT_FORMAT = 1
# Maximum side and area in pixels of the images that a model was trained on.
LARGEST_SIDE, LARGEST_AREA = 1 << 15, 1 << 26


class Entry(TypedDict):
    """What a file that was checked says of its model.

    Args:
        format: see `CHECKPOINT_FORMAT`.
        config: resolved config of the training.
        classes: see `ClassSet.from_dict`.
        mean, std: of each channel, by which images are normalized.
        limits: range of the pixel values, if not that of `protocol.bands`.
        protocol: how the scores were measured, see `artifacts.result.Protocol`.
        scores: by split, as far as they are known.
        fingerprint: of each split of the training data.
        trained_on: for val and test, how many of their images are training images too.
        origin: the published model that the training started from, of a model that can be built
            without it.
        devices: processes that shared each step.
        params: parameters of the model, where the file is an exported one.
        trained: what result.json says of the training, in a small checkpoint.
    """

    format: int
    config: Config
    classes: PlainClasses
    mean: list[float]
    std: list[float]
    limits: NotRequired[tuple[float, float]]
    protocol: Config
    scores: dict[str, MatrixScores | None]
    fingerprint: NotRequired[dict[str, str]]
    trained_on: NotRequired[dict[str, int]]
    origin: NotRequired[str]
    devices: NotRequired[int]
    params: NotRequired[int | None]
    trained: NotRequired[Config]


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
        and value[0] * value[1] <= LARGEST_AREA
    )


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(is_number, value))


def _is_positive(value: Any) -> bool:
    return _is_numbers(value) and min(value) > 0


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
_COUNT = _Field(lambda v: v is None or _is_count(v), "a number, at least 0", optional=True)
_TEXT = _Field(_is_text, "a string", optional=True)
_SCORES = _Field(_is_scores, "scores with an IoU for each class", optional=True)

FIELDS: dict[str, _Field] = {
    "config": _MAPPING,
    "config.model": _MAPPING,
    "config.data": _MAPPING,
    "config.data.mean": _Field(
        lambda v: v == "auto" or _is_numbers(v), "a number for each channel", optional=True
    ),
    "config.data.std": _Field(
        lambda v: v == "auto" or _is_positive(v),
        "a positive number for each channel",
        optional=True,
    ),
    "config.data.slice_axis": _Field(lambda v: v in (0, 1, 2), "0, 1 or 2", optional=True),
    "config.inference": _MAPPING,
    "config.name": _Field(_is_text, "a string"),
    "config.study": _TEXT,
    "config.seed": _Field(
        lambda v: _is_count(v) and v <= LARGEST_SEED, f"a number from 0 to {LARGEST_SEED}"
    ),
    "config.trainer": _MAYBE_MAPPING,
    "classes": _MAPPING,
    "classes.names": _Field(_is_texts, "a list of strings"),
    "classes.colors": _Field(lambda v: isinstance(v, list | tuple), "a list of [R, G, B]"),
    "mean": _Field(_is_numbers, "a number for each channel"),
    "std": _Field(_is_positive, "a positive number for each channel"),
    "protocol": _MAPPING,
    "protocol.resize": _Field(_is_size, "null or [H, W]", optional=True),
    "protocol.precision": _TEXT,
    "protocol.labels": _TEXT,
    "protocol.selection": _TEXT,
    "scores": _MAPPING,
    "scores.val": _SCORES,
    "scores.test": _SCORES,
    "fingerprint": _MAYBE_MAPPING,
    "trained_on": _MAYBE_MAPPING,
    "origin": _TEXT,
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
    "trained.commit": _Field(lambda v: v is None or _is_text(v), "a string", optional=True),
}
IN_ONNX = ("mean", "std")  # keys that an ONNX entry does not have: the graph normalizes


def check_entry(entry: Any, where: str, left_out: tuple[str, ...] = ()) -> Entry:
    """Returns the entry if all of it is plain data of the expected types.

    Args:
        entry: the entry as read.
        where: the file, for messages.
        left_out: keys that this kind of file does not have.

    Raises:
        ConfigError: it is of another version, altered or damaged; lists all problems.
    """
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: was not written by segbench (its entry is not a mapping)")
    if entry.get("format") != CHECKPOINT_FORMAT:
        raise ConfigError(
            f"{where}: has format {str(entry.get('format'))[:80]}, but this version of segbench "
            f"reads format {CHECKPOINT_FORMAT}"
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
        problems += _channel_problems(entry, left_out)
    if problems:
        raise ConfigError(
            f"{where}: its metadata is not what segbench writes, so the file was altered or "
            f"damaged: {'; '.join(problems)}"
        )
    return cast(Entry, entry)


def stored_bands(entry: Mapping[str, Any]) -> Bands:
    """The bands that the model of an entry gets; 8-bit RGB if the entry does not define them."""
    stored = entry["protocol"].get("bands")
    return RGB8 if stored is None else read_as(Bands, stored)


def _channel_problems(entry: Mapping[str, Any], left_out: tuple[str, ...]) -> list[str]:
    try:
        count = stored_bands(entry).count
    except ResultError as error:
        return [f"protocol.bands.{error}"]
    return [
        f"{key}: expected a number for each of {count} channel(s), found {len(entry[key])}"
        for key in ("mean", "std")
        if key not in left_out and len(entry[key]) != count
    ]


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
