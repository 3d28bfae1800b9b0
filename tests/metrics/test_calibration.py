"""Expected calibration error against a loop, and where its value is known."""

import numpy as np
import pytest

from segbench.metrics.calibration import calibration_counts, calibration_error


def test_the_error_equals_a_loop_over_bins():
    rng = np.random.default_rng(0)
    pred, mask = rng.integers(0, 3, (2, 40, 50)).astype(np.uint8)
    mask[:3] = 255
    confidence = rng.uniform(0.34, 1, (40, 50)).astype(np.float32)
    expected, labeled = 0.0, mask != 255
    for m in range(15):
        inside = labeled & (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            gap = abs((pred == mask)[inside].mean() - confidence[inside].mean(dtype=float))
            expected += inside.sum() / labeled.sum() * gap
    first = calibration_counts(pred[:20], confidence[:20], mask[:20])
    second = calibration_counts(pred[20:], confidence[20:], mask[20:])
    assert calibration_error(first + second) == pytest.approx(expected, abs=1e-9)
    assert (first + second)[:, 0].sum() == labeled.sum()


@pytest.mark.parametrize(("confidence", "share_right", "error"), [(1.0, 1, 0), (0.75, 0.5, 0.25)])
def test_known_values(confidence, share_right, error):
    mask = np.zeros((10, 10), np.uint8)
    pred = mask.copy()
    pred[: round(10 * (1 - share_right))] = 1
    counts = calibration_counts(pred, np.full((10, 10), confidence, np.float32), mask)
    assert calibration_error(counts) == pytest.approx(error)


def test_nothing_labeled_gives_nan():
    ignored = np.full((2, 2), 255, np.uint8)
    counts = calibration_counts(ignored, np.ones((2, 2), np.float32), ignored)
    assert np.isnan(calibration_error(counts))
