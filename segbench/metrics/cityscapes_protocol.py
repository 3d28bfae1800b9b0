"""The official Cityscapes protocol beyond class IoU: label IDs, categories, instance-level iIoU.

Source: cityscapesScripts, helpers/labels.py and evaluation/evalPixelLevelSemanticLabeling.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segbench.data.sources.cityscapes_labels import LABELS

# Label IDs in trainId order, their names, and the class names of each category.
LABEL_IDS = tuple(sorted((i for i, e in LABELS.items() if e[1] != 255), key=lambda i: LABELS[i][1]))
CLASS_NAMES = tuple(LABELS[label][0] for label in LABEL_IDS)
CATEGORIES = {
    category: [LABELS[label][0] for label in LABEL_IDS if LABELS[label][2] == category]
    for category in dict.fromkeys(LABELS[label][2] for label in LABEL_IDS)
}
NUM_LABELS = len(LABELS)
# Mean instance size in pixels; an instance is weighted by this divided by its own size.
AVERAGE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
# Categories in which every label has instances, with their ignored labels (caravan, trailer).
INSTANCE_CATEGORIES = {
    name: tuple(label for label, entry in LABELS.items() if entry[2] == name)
    for name in ("human", "vehicle")
}


def is_cityscapes(names: Sequence[str]) -> bool:
    """Whether these are the 19 classes of Cityscapes, in trainId order."""
    return tuple(name.replace("_", " ").lower() for name in names) == CLASS_NAMES


def categories_for(names: Sequence[str]) -> dict[str, list[str]]:
    """The categories, with the classes spelled as in `names` (19, in trainId order)."""
    spelling = dict(zip(CLASS_NAMES, names, strict=True))
    return {category: [spelling[n] for n in group] for category, group in CATEGORIES.items()}


def to_label_ids(pred: np.ndarray) -> np.ndarray:
    """Converts trainIds (uint8) to the label IDs of submissions; void becomes 0, unlabeled."""
    table = np.zeros(256, np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    return table[pred]


@dataclass(frozen=True)
class InstanceCounts:
    """iIoU: like IoU, but all instances have equal weight whatever their size.

    `a + b` adds counts up. True positives and misses within an instance are weighted by the mean
    instance size of its class divided by its own size; false positives belong to no instance and
    are not weighted.

    Args:
        confusion: int64 `[34, 34]` in label IDs.
        weighted: float64 `[4, 34]` by label ID: true positives and misses of the class, then
            true positives and misses of its category.
    """

    confusion: np.ndarray
    weighted: np.ndarray

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(self.confusion + other.confusion, self.weighted + other.weighted)

    def scores(self) -> dict[str, Any]:
        """`iIoU` by class and `category_iIoU` by category, each with its mean; None if absent."""
        hits, misses, category_hits, category_misses = self.weighted
        by_class = {}
        for name in AVERAGE_SIZES:
            label = LABEL_IDS[CLASS_NAMES.index(name)]
            others = [other for other in LABEL_IDS if other != label]
            false_alarms = self.confusion[others, label].sum()
            by_class[name] = _ratio(hits[label], misses[label] + false_alarms)
        by_category = {}
        for category, group in INSTANCE_CATEGORIES.items():
            members = list(group)
            others = [other for other in LABEL_IDS if other not in group]
            false_alarms = self.confusion[np.ix_(others, members)].sum()
            wrong = category_misses[members].sum() + false_alarms
            by_category[category] = _ratio(category_hits[members].sum(), wrong)
        return {
            "iIoU": by_class,
            "mean_iIoU": _mean(list(by_class.values())),
            "category_iIoU": by_category,
            "mean_category_iIoU": _mean(list(by_category.values())),
        }


def instance_counts(pred: np.ndarray, mask: np.ndarray, instances: np.ndarray) -> InstanceCounts:
    """Computes the counts of one image.

    Args:
        pred: uint8 `[H, W]` in label IDs (see `to_label_ids`).
        mask: uint8 `[H, W]` in trainIds; other values are ignored.
        instances: integer `[H, W]` of the `*_instanceIds.png`: label ID * 1000 + number for an
            instance, a label ID elsewhere.

    Raises:
        ValueError: an ID outside 0..33.
    """
    if pred.max(initial=0) >= NUM_LABELS or instances.max(initial=0) >= NUM_LABELS * 1000:
        raise ValueError("label IDs must be 0..33, and instance IDs below 34000")
    joint = to_label_ids(mask).astype(np.int64) * NUM_LABELS + pred
    confusion = np.bincount(joint.ravel(), minlength=NUM_LABELS**2).reshape(NUM_LABELS, NUM_LABELS)

    ids = instances[instances > 1000].astype(np.int64)
    found, label = pred[instances > 1000], ids // 1000
    category = np.zeros(NUM_LABELS, np.int64)
    for number, group in enumerate(INSTANCE_CATEGORIES.values(), 1):
        category[list(group)] = number
    size = np.bincount(ids)
    hits = np.bincount(ids[found == label], minlength=size.size)
    category_hits = np.bincount(ids[category[found] == category[label]], minlength=size.size)
    weighted = np.zeros((4, NUM_LABELS))
    for instance in np.flatnonzero(size):
        number = int(instance) // 1000
        name = CLASS_NAMES[LABEL_IDS.index(number)] if number in LABEL_IDS else ""
        if name in AVERAGE_SIZES:
            counts = [hits[instance], size[instance] - hits[instance]]
            counts += [category_hits[instance], size[instance] - category_hits[instance]]
            weighted[:, number] += np.array(counts) * AVERAGE_SIZES[name] / size[instance]
    return InstanceCounts(confusion, weighted)


def _ratio(hits: float, others: float) -> float | None:
    return float(hits / (hits + others)) if hits + others > 0 else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
