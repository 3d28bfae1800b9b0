"""The official Cityscapes protocol beyond class IoU: label IDs, categories, instance-level iIoU.

Source: cityscapesScripts, helpers/labels.py and evaluation/evalPixelLevelSemanticLabeling.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# category -> {class: label ID}; classes in trainId order
CATEGORIES: dict[str, dict[str, int]] = {
    "flat": {"road": 7, "sidewalk": 8},
    "construction": {"building": 11, "wall": 12, "fence": 13},
    "object": {"pole": 17, "traffic light": 19, "traffic sign": 20},
    "nature": {"vegetation": 21, "terrain": 22},
    "sky": {"sky": 23},
    "human": {"person": 24, "rider": 25},
    "vehicle": {"car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33},
}
LABEL_IDS = tuple(label for group in CATEGORIES.values() for label in group.values())
CLASS_NAMES = tuple(name for group in CATEGORIES.values() for name in group)
NUM_LABELS = 34
# Mean size of an instance in pixels; each instance weighs this over its own size.
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
# Categories of which every label has instances, with their ignored labels (caravan, trailer).
INSTANCE_CATEGORIES = {"human": (24, 25), "vehicle": (26, 27, 28, 29, 30, 31, 32, 33)}


def is_cityscapes(names: Sequence[str]) -> bool:
    """Whether these are the 19 classes of Cityscapes, in trainId order."""
    return tuple(name.replace("_", " ").lower() for name in names) == CLASS_NAMES


def category_names(names: Sequence[str]) -> dict[str, list[str]]:
    """The categories with the classes spelled as in `names` (19, in trainId order)."""
    spelling = dict(zip(CLASS_NAMES, names, strict=True))
    return {category: [spelling[n] for n in group] for category, group in CATEGORIES.items()}


def to_label_ids(pred: np.ndarray) -> np.ndarray:
    """trainIds (uint8) to label IDs, as submissions need them; void becomes 0, unlabeled."""
    table = np.zeros(256, np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    return table[pred]


class InstanceScores:
    """iIoU: like IoU, but each instance weighs the same whatever its size.

    Hits and misses within an instance are weighted by the mean size of its class over its own size;
    false alarms, which belong to no instance, are not.
    """

    def __init__(self) -> None:
        self._confusion = np.zeros((NUM_LABELS, NUM_LABELS), np.int64)
        self._hits = np.zeros(NUM_LABELS)
        self._misses = np.zeros(NUM_LABELS)
        self._category_hits = np.zeros(NUM_LABELS)
        self._category_misses = np.zeros(NUM_LABELS)

    def update(self, pred: np.ndarray, mask: np.ndarray, instances: np.ndarray) -> None:
        """Counts one image.

        Args:
            pred: uint8 `[H, W]` in label IDs (see `to_label_ids`).
            mask: uint8 `[H, W]` in trainIds; others are ignored.
            instances: integer `[H, W]` of the `*_instanceIds.png`: label ID * 1000 + number for an
                instance, a label ID elsewhere.

        Raises:
            ValueError: an ID outside 0..33.
        """
        if pred.max(initial=0) >= NUM_LABELS or instances.max(initial=0) >= NUM_LABELS * 1000:
            raise ValueError("label IDs must be 0..33, and instance IDs below 34000")
        truth = to_label_ids(mask)
        joint = truth.astype(np.int64) * NUM_LABELS + pred
        counts = np.bincount(joint.ravel(), minlength=NUM_LABELS**2)
        self._confusion += counts.reshape(NUM_LABELS, NUM_LABELS)

        ids = instances[instances > 1000].astype(np.int64)
        found, label = pred[instances > 1000], ids // 1000
        category = np.zeros(NUM_LABELS, np.int64)
        for number, group in enumerate(INSTANCE_CATEGORIES.values(), 1):
            category[list(group)] = number
        number_of_ids = NUM_LABELS * 1000
        size = np.bincount(ids, minlength=number_of_ids)
        hits = np.bincount(ids[found == label], minlength=number_of_ids)
        category_hits = np.bincount(
            ids[category[found] == category[label]], minlength=number_of_ids
        )
        for instance in np.flatnonzero(size):
            number = int(instance) // 1000
            name = dict(zip(LABEL_IDS, CLASS_NAMES, strict=True)).get(number)
            if name not in AVERAGE_SIZES:
                continue
            weight = AVERAGE_SIZES[name] / size[instance]
            self._hits[number] += hits[instance] * weight
            self._misses[number] += (size[instance] - hits[instance]) * weight
            self._category_hits[number] += category_hits[instance] * weight
            self._category_misses[number] += (size[instance] - category_hits[instance]) * weight

    def scores(self) -> dict[str, dict[str, float | None] | float | None]:
        """`iIoU` by class and `category_iIoU` by category, each with its mean."""
        labels = dict(zip(CLASS_NAMES, LABEL_IDS, strict=True))
        by_class = {}
        for name in AVERAGE_SIZES:
            others = [other for other in LABEL_IDS if other != labels[name]]
            false_alarms = self._confusion[others, labels[name]].sum()
            label = labels[name]
            by_class[name] = _ratio(self._hits[label], self._misses[label] + false_alarms)
        by_category = {}
        for category, group in INSTANCE_CATEGORIES.items():
            members = list(group)
            others = [other for other in LABEL_IDS if other not in group]
            false_alarms = self._confusion[np.ix_(others, members)].sum()
            hits, misses = self._category_hits[members].sum(), self._category_misses[members].sum()
            by_category[category] = _ratio(hits, misses + false_alarms)
        return {
            "iIoU": by_class,
            "mean_iIoU": _mean(list(by_class.values())),
            "category_iIoU": by_category,
            "mean_category_iIoU": _mean(list(by_category.values())),
        }


def _ratio(hits: float, others: float) -> float | None:
    return float(hits / (hits + others)) if hits + others > 0 else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
