"""The official tools of ADE20K, PASCAL VOC and the BRAVO challenge (ACDC) give the same numbers.

The constants were printed by their own code for the label maps below: `accuracy` and
`intersectionAndUnion` of CSAILVision/semantic-segmentation-pytorch (mit_semseg/utils.py),
`VOCevalseg.m` of the VOC devkit, run by GNU Octave 7.3 on PNG files, and `per_class_iou` and
`get_ece` of valeoai/bravo_challenge (bravo_toolkit/eval/metrics.py).
`tests/metrics/test_cityscapes_protocol.py` runs the official scripts of Cityscapes itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from segbench.metrics.calibration import calibration_counts, calibration_error
from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.scores import scores

ADE = {"mIoU": 0.2190502436761065, "pixel_acc": 0.7123130034520802}
ADE_IOU = {0: 0.722222222220216, 3: 0.5749999999985624}
VOC = {"mIoU": 0.57095527116172804}
VOC_IOU = {0: 0.58333333333333336, 1: 0.56799999999999997, 2: 0.55660377358490564}
BRAVO = {"mIoU": 0.5203267002781873, "ECE": 0.28479658837067623}
BRAVO_IOU = {0: 0.6198347107438017, 1: 0.5526315789473685, 2: 0.5528455284552846}


def label_maps(
    num_classes: int, present: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Four masks (255: not labeled), predictions and confidences in steps of 1/255."""
    rng = np.random.default_rng(20261126)
    for _ in range(4):
        mask = rng.choice(present, (20, 24)).astype(np.int64)
        pred = np.where(rng.random((20, 24)) < 0.7, mask, rng.choice(num_classes, (20, 24)))
        mask = np.where(rng.random((20, 24)) < 0.1, 255, mask)
        confidence = np.round(rng.uniform(1 / num_classes, 1, (20, 24)) * 255) / 255
        yield mask.astype(np.uint8), pred.astype(np.uint8), confidence.astype(np.float32)


def test_ade20k() -> None:
    maps = label_maps(150, np.arange(0, 150, 3))
    matrix = sum(confusion_matrix(pred, mask, 150) for mask, pred, _ in maps)
    # Its mean counts a class that does not occur as 0, which is the option absent=zero.
    found = scores(np.asarray(matrix), [str(i) for i in range(150)], absent="zero")
    for key, value in ADE.items():
        assert found[key] == pytest.approx(value, abs=1e-9)
    for class_id, value in ADE_IOU.items():
        assert found["IoU"][str(class_id)] == pytest.approx(value, abs=1e-9)


def test_pascal_voc() -> None:
    maps = label_maps(21, np.arange(21))
    matrix = sum(confusion_matrix(pred, mask, 21) for mask, pred, _ in maps)
    found = scores(np.asarray(matrix), [str(i) for i in range(21)])
    assert found["mIoU"] == pytest.approx(VOC["mIoU"], abs=1e-12)
    for class_id, value in VOC_IOU.items():
        assert found["IoU"][str(class_id)] == pytest.approx(value, abs=1e-12)


def test_bravo() -> None:
    counts = np.zeros((19, 20), np.int64)
    calibration = np.zeros((15, 3))
    for mask, pred, confidence in label_maps(19, np.arange(17)):
        counts += confusion_matrix(pred, mask, 19)
        calibration += calibration_counts(pred, confidence, mask)
    found = scores(counts, [str(i) for i in range(19)])
    assert found["mIoU"] == pytest.approx(BRAVO["mIoU"], abs=1e-12)
    for class_id, value in BRAVO_IOU.items():
        assert found["IoU"][str(class_id)] == pytest.approx(value, abs=1e-12)
    # BRAVO bins by index into 256 levels, segbench by value: the bin edges differ slightly.
    assert calibration_error(calibration) == pytest.approx(BRAVO["ECE"], abs=5e-3)
