"""The content of comparison.json, typed: what a comparison hands to tables, figures and pages.

Scores are fractions; None is a value that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

Interval = list[float | None]  # low and high; both None where there is none
ByClass = dict[str, float | None]


class Summary(TypedDict):
    """A score or a difference: its value, its interval, and what its error is made of."""

    value: float
    interval: Interval
    seed_se: float | None
    image_se: float | None
    dof: float | None


class PlainScores(TypedDict):
    """Means over the runs of a model, without statistics."""

    mIoU: float
    class_iou: ByClass
    mDice: float
    class_dice: ByClass
    pixel_acc: float


class Row(Summary, PlainScores):
    """A model on the leaderboard.

    `kind` is that of its runs (`train`, `evaluate`), or `untrained` for given weights that were
    scored as they are; `places[k]` is how often it is at rank k + 1.
    """

    label: str
    kind: str
    seeds: list[int]
    scores: list[float]
    sd: float | None
    places: list[float]
    params: int | None


class ClassDifference(TypedDict):
    """The difference of a pair in one class."""

    name: str
    value: float | None
    interval: Interval
    p_holm: float | None


class PairEntry(Summary):
    """The difference of two models, `a` minus `b`; see `verdicts.Pair`."""

    a: str
    b: str
    p: float | None
    p_holm: float | None
    verdict: str
    effect: float | None
    improvement: list[float | None]
    seeds_needed: int | None
    images_needed: int | None
    has_power: bool
    classes: list[ClassDifference]


class GroupDifference(Summary):
    """The headline difference within one group of images, and the score of every model there."""

    group: str
    images: int
    p_holm: float | None
    scores: ByClass


class RobustnessRow(TypedDict):
    """mIoU by model on one kind of images, and the headline difference; see `robustness`."""

    name: str
    values: ByClass
    value: float | None
    interval: Interval
    p_holm: float | None


class RobustnessEntry(TypedDict):
    """Scores on corrupted images: the headline pair, and the worst corruption by model."""

    severities: list[str]
    pair: list[str] | None
    rows: list[RobustnessRow]
    worst: dict[str, str]


class DecisiveImage(TypedDict):
    """An image, what it adds to the headline difference, and each model's pixel accuracy in it."""

    name: str
    group: str
    gain: float
    pixel_acc: list[float]


class DecisiveImages(TypedDict):
    """The images that add most to the headline difference, in both directions."""

    wins: list[DecisiveImage]
    losses: list[DecisiveImage]


class Finding(TypedDict):
    """An entry of the audit; see `audit.AuditEntry`."""

    field: str
    grade: str
    why: str
    values: dict[str, str]


class LeftOutEntry(TypedDict):
    """A file that was not used: its path below the study, and why."""

    path: str
    reason: str
    broken: bool


class Cost(TypedDict, total=False):
    """What a model costs; times and memory belong to `device`."""

    model: str
    device: str
    params: float | None
    macs: float | None
    latency_ms: float | None
    peak_memory_mib: float | None


class Curve(TypedDict):
    """A learning curve over the seeds, by epoch from 1."""

    epochs: list[int]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


class RunEntry(TypedDict):
    """Where the numbers of a run come from."""

    label: str
    seed: int
    path: str
    mIoU: float | None
    mDice: float | None
    commit: str | None
    dirty: bool | None
    command: str
    hardware: dict[str, str | int | None]
    versions: dict[str, str]
    timings: dict[str, float | dict[str, float] | None]
    kind: str


class Domination(TypedDict):
    """Whether other models make one pointless at one cost; see `domination`."""

    measure: str
    device: str
    model: str
    value: float
    interval: list[float]
    status: str
    by: list[str]


class MetricDifference(Summary):
    """The difference of two models by a further metric."""

    a: str
    b: str
    p: float
    seeds: int
    p_holm: float
    verdict: str


class MetricEntry(TypedDict):
    """A further metric: its value of each model, and the difference of two.

    `approximate`: its intervals contain the truth less often than they say.
    """

    metric: str
    approximate: bool
    models: list[dict[str, object]]
    difference: MetricDifference | None


class MarginModel(TypedDict):
    """One model against the baseline of a margin; see `margins.MarginTest`."""

    label: str
    value: float
    verdict: str
    is_worse: bool
    p_not_worse: float
    p_equivalent: float
    bounds: tuple[float, float]
    seeds_needed: int | None
    images_needed: int | None
    has_power: bool


class MarginEntry(TypedDict):
    """The margin of a comparison, and its tests."""

    points: float
    baseline: str
    fixed: bool
    note: str
    models: list[MarginModel]


class Comparison(TypedDict):
    """The whole file; `headline` is the place of its pair in `pairs`.

    `options`: those of `segbench.compare` that are not the default.
    `approximate`: the intervals of `metric` contain the truth less often than they say.
    """

    schema_version: int
    study: str
    metric: str
    approximate: bool
    split: str
    label_protocol: str
    comparable: bool
    fingerprint: dict[str, str]
    absent_classes: str
    classes: list[str]
    num_images: int
    num_groups: int
    confidence: float
    replicates: int
    resampling: str
    unit: str
    block_length: int
    baseline: str | None
    options: list[str]
    leaderboard: list[Row]
    pairs: list[PairEntry]
    headline: int | None
    audit: list[Finding]
    left_out: list[LeftOutEntry]
    costs: list[Cost]
    curves: dict[str, dict[str, Curve]]
    runs: list[RunEntry]
    by_group: NotRequired[list[GroupDifference]]
    images: NotRequired[DecisiveImages]
    boundary: NotRequired[Summary]
    metrics: list[MetricEntry]
    robustness: RobustnessEntry | None
    margin: MarginEntry | None
    domination: list[Domination]
    verdict: str
    evidence: str


def jsonable(value: Any) -> Any:
    """NumPy values to Python's, NaN and infinity to None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_json(comparison: Mapping[str, Any], file: Path) -> None:
    """Writes comparison.json."""
    text = json.dumps(comparison, indent=2, allow_nan=False) + "\n"
    file.write_text(text, encoding="utf-8")
