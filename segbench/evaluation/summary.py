"""All counts of one image, and the scores of all images together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Record
from segbench.data.files import read_raw_mask
from segbench.data.sources.cityscapes import instance_file
from segbench.errors import DataError
from segbench.metrics.catalog import Counts, ImagePair, count_image, image_metric_scores
from segbench.metrics.cityscapes_protocol import (
    InstanceCounts,
    categories_for,
    instance_counts,
    is_cityscapes,
    to_label_ids,
)
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.fine_grained import fine_grained_scores
from segbench.metrics.per_image import category_matrix, group_scores, image_scores
from segbench.metrics.scores import class_iou, mean_over_classes, or_none, reduced, scores

if TYPE_CHECKING:
    from torch import Tensor

MOST_BINS = 20_000_000  # numbers of a run that class-wise calibration may take


@dataclass(frozen=True)
class Extras:
    """The counts of one image in addition to its confusion matrix.

    Args:
        counts: by metric of `metrics.catalog`.
        instances: for iIoU; None if not counted.
    """

    counts: Counts = field(default_factory=dict)
    instances: InstanceCounts | None = None


@dataclass(frozen=True)
class Wanted:
    """What to count beside the confusion matrix.

    Args:
        options: keys of `segbench.evaluate` that turn on metrics of `metrics.catalog`.
        spacing: height and width of a pixel, for distances between outlines.
        tolerance: of outlines, in units of `spacing`.
    """

    options: tuple[str, ...] = ("boundary", "calibration")
    spacing: tuple[float, float] = (1.0, 1.0)
    tolerance: float = 1.0


def count_matrix(
    pred: np.ndarray, mask: np.ndarray, record: Record, classes: ClassSet
) -> np.ndarray:
    """The confusion matrix of one image, int64 `[C, C + 1]`.

    Args:
        pred: uint8 `[H, W]`, class ids or void.
        mask: uint8 `[H, W]`, class ids or `ignore_index`.
        record: the image, for errors.
        classes: the class set.

    Raises:
        DataError: shapes differ, or the mask has labels outside the class set.
    """
    if pred.shape != mask.shape:
        raise DataError(
            f"{record.name}: the prediction is {_size(pred)} but the mask is {_size(mask)}; "
            "predictions are scored at the size of the mask"
        )
    try:
        return confusion_matrix(pred, mask, classes.num_classes, classes.ignore_index)
    except ValueError as error:
        raise DataError(f"{record.mask or record.name}: {error}") from None


def count_extras(
    pred: np.ndarray,
    mask: np.ndarray,
    record: Record,
    classes: ClassSet,
    wanted: Wanted,
    confidence: np.ndarray | None = None,
    label_ids: np.ndarray | None = None,
    probs: Tensor | None = None,
) -> Extras:
    """Counts what a confusion matrix does not contain, for one image.

    Args:
        pred: uint8 `[H, W]`, class ids or void.
        mask: uint8 `[H, W]`, class ids or `ignore_index`.
        record: the image; for Cityscapes, the instance file next to its mask is read.
        classes: the class set.
        wanted: what to count.
        confidence: float32 `[H, W]`, the probability of the predicted class.
        label_ids: uint8 `[H, W]`, the prediction in Cityscapes label IDs, if it came in them.
        probs: float `[C, H, W]`, the probabilities of the classes.
    """
    pair = ImagePair(
        pred, mask, classes.num_classes, classes.ignore_index, confidence, probs,
        wanted.spacing, wanted.tolerance,
    )  # fmt: skip
    instances = None
    if is_cityscapes(classes.names):
        ids = to_label_ids(pred) if label_ids is None else label_ids
        instances = _count_instances(ids, mask, record)
    return Extras(count_image(pair, wanted.options), instances)


def _count_instances(
    label_ids: np.ndarray, mask: np.ndarray, record: Record
) -> InstanceCounts | None:
    file = instance_file(record.mask)
    if file is None:
        return None
    try:
        return instance_counts(label_ids, mask, read_raw_mask(file))
    except ValueError as error:
        raise DataError(f"{file}: {error}") from None


def _size(labels: np.ndarray) -> str:
    return f"{labels.shape[1]}x{labels.shape[0]}"


def summarize(
    matrices: np.ndarray,
    extras: Sequence[Extras],
    groups: Sequence[str],
    classes: ClassSet,
    absent: str,
) -> dict[str, object]:
    """All scores of a set of images: those of `metrics.scores`, and those beyond the matrix.

    Args:
        matrices: int64 `[N, C, C + 1]`, one per image.
        extras: the other counts of each image, N.
        groups: N group names.
        classes: the class set.
        absent: policy for absent classes, see `scores.mean_over_classes`.

    Returns:
        Plain types; fractions. Scores that were not counted are omitted.
    """
    total = matrices.sum(0)
    found: dict[str, object] = {**scores(total, classes.names, absent)}
    found |= image_scores(matrices, absent)
    found["by_image"] = fine_grained_scores(reduced(matrices))
    found["groups"] = group_scores(matrices, groups, absent)
    totals = {name: _sum_over_images(extras, name) for name in _counted(extras)}
    found |= image_metric_scores(totals, classes.names)
    if is_cityscapes(classes.names):
        categories = categories_for(classes.names)
        by_category = class_iou(category_matrix(total, classes.names, categories))
        found["category_IoU"] = {
            name: or_none(value) for name, value in zip(categories, by_category, strict=True)
        }
        found["mean_category_IoU"] = or_none(mean_over_classes(by_category))
    instances = _sum(image.instances for image in extras)
    if instances is not None:
        found |= instances.scores()
    return found


def _counted(extras: Sequence[Extras]) -> list[str]:
    """The metrics that were counted on every image."""
    first = extras[0].counts if extras else {}
    return [name for name in first if all(name in image.counts for image in extras)]


def _sum_over_images(extras: Sequence[Extras], name: str) -> np.ndarray:
    """The counts of a metric, added up without a copy of all of them."""
    total = np.zeros_like(extras[0].counts[name])
    for image in extras:
        total += image.counts[name]
    return total


def stacked_counts(extras: Sequence[Extras]) -> dict[str, np.ndarray]:
    """The counts of every image by metric, `[N, ...]`, as `artifacts.pixel_counts` keeps them.

    Bins of confidences are left out where they would make the file large.
    """
    found = {}
    for name in _counted(extras):
        one = extras[0].counts[name]
        if one.ndim == 2 or one.size * len(extras) <= MOST_BINS:
            found[name] = np.stack([image.counts[name] for image in extras])
    return found


def _sum(parts: Iterable[Any]) -> Any:
    """The sum of all parts, in order; None if any is missing."""
    total = None
    for number, part in enumerate(parts):
        if part is None:
            return None
        total = part if number == 0 else total + part
    return total
