"""All counts of one image, and the scores of all images together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Record
from segbench.data.files import read_raw_mask
from segbench.data.sources.cityscapes import instance_file
from segbench.errors import DataError
from segbench.metrics.boundary import BoundaryCounts, boundary_counts
from segbench.metrics.calibration import CalibrationCounts, calibration_counts
from segbench.metrics.cityscapes_protocol import (
    InstanceCounts,
    categories_for,
    instance_counts,
    is_cityscapes,
    to_label_ids,
)
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.per_image import category_matrix, group_scores, image_scores
from segbench.metrics.scores import class_iou, mean_over_classes, scores


@dataclass(frozen=True)
class Extras:
    """The counts of one image in addition to its confusion matrix; None if not counted.

    Args:
        boundary: counts for boundary F-score and boundary IoU.
        calibration: counts for the expected calibration error.
        instances: counts for iIoU.
    """

    boundary: BoundaryCounts | None = None
    calibration: CalibrationCounts | None = None
    instances: InstanceCounts | None = None


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
    boundary: bool,
    confidence: np.ndarray | None = None,
    label_ids: np.ndarray | None = None,
) -> Extras:
    """Counts what a confusion matrix does not contain, for one image.

    Args:
        pred: uint8 `[H, W]`, class ids or void.
        mask: uint8 `[H, W]`, class ids or `ignore_index`.
        record: the image; for Cityscapes, the instance file next to its mask is read.
        classes: the class set.
        boundary: also count boundaries, which takes longest.
        confidence: float32 `[H, W]`, the probability of the predicted class.
        label_ids: uint8 `[H, W]`, the prediction in Cityscapes label IDs, if it has this format.
    """
    ignore = classes.ignore_index
    return Extras(
        boundary_counts(pred, mask, classes.num_classes, ignore) if boundary else None,
        None if confidence is None else calibration_counts(pred, confidence, mask, ignore),
        _count_instances(to_label_ids(pred) if label_ids is None else label_ids, mask, record)
        if is_cityscapes(classes.names)
        else None,
    )


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
) -> dict[str, Any]:
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
    found = scores(total, classes.names, absent)
    found |= image_scores(matrices, absent)
    found["groups"] = group_scores(matrices, groups, absent)
    boundary = _sum(image.boundary for image in extras)
    if boundary is not None:
        for key, values in (("boundary_F", boundary.f_score()), ("boundary_IoU", boundary.iou())):
            found[key] = {
                name: None if np.isnan(value) else float(value)
                for name, value in zip(classes.names, values, strict=True)
            }
            found[f"mean_{key}"] = _number(mean_over_classes(values))
    calibration = _sum(image.calibration for image in extras)
    if calibration is not None:
        found["ECE"] = _number(np.array(calibration.error()))
    if is_cityscapes(classes.names):
        categories = categories_for(classes.names)
        by_category = class_iou(category_matrix(total, classes.names, categories))
        found["category_IoU"] = {
            name: _number(value) for name, value in zip(categories, by_category, strict=True)
        }
        found["mean_category_IoU"] = _number(mean_over_classes(by_category))
    instances = _sum(image.instances for image in extras)
    if instances is not None:
        found |= instances.scores()
    return found


def stacked_boundary(extras: Sequence[Extras]) -> np.ndarray | None:
    """Intersection and union of the boundary bands, int64 `[N, 2, C]`; None if not counted."""
    counts = [image.boundary for image in extras if image.boundary is not None]
    if not counts or len(counts) < len(extras):
        return None
    return np.array([[count.intersection, count.union] for count in counts])


def _sum(parts: Iterable[Any]) -> Any:
    """The sum of all parts, in order; None if any is missing."""
    total = None
    for number, part in enumerate(parts):
        if part is None:
            return None
        total = part if number == 0 else total + part
    return total


def _number(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)
