"""mIoU_I, mIoU_C and their worst: the numbers of the authors' code, and what counts nowhere."""

import numpy as np
import pytest

from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.fine_grained import fine_grained_scores
from segbench.metrics.scores import reduced

# zifuwanggg/JDTLosses, metrics/accuracy_metric.py at its newest commit, on the maps of `maps`, in
# percent (its sums are float32)
PUBLISHED = {
    "mIoU_I": 58.852905, "mDice_I": 73.276031, "mIoU_C": 56.745686, "mDice_C": 71.64431,
    "mIoU_I1": 38.17783, "mDice_I1": 55.101322, "mIoU_C1": 30.490196, "mDice_C1": 46.376812,
    "mIoU_I5": 38.89299, "mDice_I5": 55.132801, "mIoU_C5": 32.743984, "mDice_C5": 49.108295,
    "mIoU_I10": 41.35051, "mDice_I10": 57.795429, "mIoU_C10": 35.871548, "mDice_C10": 52.601166,
}  # fmt: skip


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Masks and predictions of 40 images; half of them lack the last class, a quarter another."""
    rng = np.random.default_rng(7)
    mask = rng.integers(0, 4, (40, 8, 8))
    mask[:20] = np.minimum(mask[:20], 2)
    mask[rng.random(mask.shape) < 0.1] = 255
    mask[:10][mask[:10] == 1] = 0
    kept = rng.random(mask.shape) < 0.6
    pred = np.where(kept, np.where(mask == 255, 0, mask), rng.integers(0, 4, mask.shape))
    return mask.astype(np.uint8), pred.astype(np.uint8)


def test_the_scores_are_those_of_the_published_code():
    mask, pred = maps()
    matrices = np.stack([confusion_matrix(p, m, 4) for p, m in zip(pred, mask, strict=True)])
    found = fine_grained_scores(reduced(matrices))
    assert found == {key: pytest.approx(value / 100, abs=1e-6) for key, value in PUBLISHED.items()}


def test_a_false_alarm_costs_the_others_but_is_no_class_of_the_image():
    # one image: 8 pixels of class 0, two of them predicted as class 1, which the mask lacks
    counts = np.array([[[6, 0], [8, 0], [6, 2]]])
    assert fine_grained_scores(counts)["mIoU_I"] == pytest.approx(6 / 8)
    assert fine_grained_scores(counts)["mIoU_C"] == pytest.approx(6 / 8)


def test_images_and_classes_without_labels_count_nowhere():
    counts = np.array([[[6, 0], [8, 0], [6, 2]], [[0, 0], [0, 0], [5, 5]]])
    assert fine_grained_scores(counts)["mIoU_I"] == pytest.approx(6 / 8)
    assert set(fine_grained_scores(counts[1:]).values()) == {None}
