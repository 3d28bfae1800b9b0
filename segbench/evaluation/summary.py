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
from segbench.metrics.fine_grained import fine_grained_scores
from segbench.metrics.per_image import category_matrix, group_scores, image_scores
from segbench.metrics.probabilistic import ProbabilityCounts, image_aurc
from segbench.metrics.scores import class_iou, mean_over_classes, reduced, scores
from segbench.metrics.surface import SurfaceCounts, surface_counts

MOST_BINS = 20_000_000  # numbers of a run that class-wise calibration may take


@dataclass(frozen=True)
class Extras:
    """The counts of one image in addition to its confusion matrix; None if not counted.

    Args:
        boundary: for boundary F-score and boundary IoU.
        calibration: for the expected calibration error.
        instances: for iIoU.
        probabilities: for NLL, Brier score and class-wise calibration.
        aurc: of this image.
        surface: for HD95 and NSD.
    """

    boundary: BoundaryCounts | None = None
    calibration: CalibrationCounts | None = None
    instances: InstanceCounts | None = None
    probabilities: ProbabilityCounts | None = None
    aurc: float | None = None
    surface: SurfaceCounts | None = None


@dataclass(frozen=True)
class Wanted:
    """What to count beside the confusion matrix.

    Args:
        boundary: boundary F-score and IoU, which take long.
        calibration: what needs confidences or probabilities.
        surface: HD95 and NSD.
        spacing: height and width of a pixel, for `surface`.
        tolerance: of NSD, in units of `spacing`.
    """

    boundary: bool = True
    calibration: bool = True
    surface: bool = False
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
    probabilities: ProbabilityCounts | None = None,
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
        probabilities: counted where they were predicted.
    """
    ignore, number = classes.ignore_index, classes.num_classes
    sure = confidence
    return Extras(
        boundary_counts(pred, mask, number, ignore) if wanted.boundary else None,
        None if sure is None else calibration_counts(pred, sure, mask, ignore),
        _count_instances(to_label_ids(pred) if label_ids is None else label_ids, mask, record)
        if is_cityscapes(classes.names)
        else None,
        probabilities,
        None if sure is None else image_aurc(pred, sure, mask, ignore),
        surface_counts(pred, mask, number, ignore, wanted.spacing, wanted.tolerance)
        if wanted.surface
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
    found |= _probability_scores(extras, classes) | _surface_scores(extras, classes)
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


def _probability_scores(extras: Sequence[Extras], classes: ClassSet) -> dict[str, object]:
    found: dict[str, object] = {}
    counts: ProbabilityCounts | None = _sum(image.probabilities for image in extras)
    if counts is not None:
        found |= counts.scores()
        found["class_SCE"] = _by_class(counts.class_errors(), classes)
    areas = [image.aurc for image in extras if image.aurc is not None]
    if areas and len(areas) == len(extras):
        found["AURC"] = _number(_mean(np.array(areas)[:, None])[0])
    return found


def _surface_scores(extras: Sequence[Extras], classes: ClassSet) -> dict[str, object]:
    parts = [image.surface for image in extras if image.surface is not None]
    if not parts or len(parts) < len(extras):
        return {}
    found: dict[str, object] = {}
    for key, values in (("HD95", [p.hd95 for p in parts]), ("NSD", [p.nsd for p in parts])):
        by_class = _mean(np.array(values))
        found[key] = _by_class(by_class, classes)
        found[f"mean_{key}"] = _number(mean_over_classes(by_class))
    return found


def _by_class(values: np.ndarray, classes: ClassSet) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(classes.names, values, strict=True)}


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over images `[N, K]` to `[K]` of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def stacked_extras(extras: Sequence[Extras]) -> dict[str, np.ndarray]:
    """The further counts of every image, as `artifacts.pixel_counts` keeps them."""
    found: dict[str, np.ndarray] = {}

    def add(key: str, arrays: list[Any]) -> None:
        if arrays and all(array is not None for array in arrays):
            found[key] = np.array(arrays, np.float64)

    def means(values: np.ndarray | None) -> np.ndarray | None:
        """A value by class, as numerator and denominator."""
        if values is None:
            return None
        known = ~np.isnan(values)
        return np.stack([np.where(known, values, 0), known])

    edge, sure, surface, probs = (
        [getattr(image, key) for image in extras]
        for key in ("boundary", "calibration", "surface", "probabilities")
    )
    add("sum_boundary_F", [b and np.stack([b.f_sum, b.f_images]) for b in edge])
    add("bins_ECE", [c and np.stack([c.pixels, c.right, c.confidence], -1)[None] for c in sure])
    add("sum_AURC", [means(None if image.aurc is None else np.array([image.aurc]))
                     for image in extras])  # fmt: skip
    add("sum_HD95", [means(s and s.hd95) for s in surface])
    add("sum_NSD", [means(s and s.nsd) for s in surface])
    for key, name in (("nll", "NLL"), ("brier", "Brier")):
        add(f"sum_{name}", [p and np.array([[getattr(p, key)], [p.pixels]]) for p in probs])
    if probs[0] is not None and len(probs) * probs[0].bins.size <= MOST_BINS:
        add("bins_SCE", [p and p.bins for p in probs])
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
