"""NLL, Brier, static calibration error and AURC: scikit-learn's and torch-uncertainty's numbers."""

import numpy as np
import pytest
import torch

from segbench.metrics.calibration import calibration_counts, calibration_error
from segbench.metrics.catalog import image_metric_scores
from segbench.metrics.probabilistic import image_aurc, probability_counts

# Of the maps below, by the libraries themselves (see made_by.py)
NETCAL_ECE = 0.448067462
TORCH_UNCERTAINTY = {"AURC": 0.699217876, "Brier": 1.061101437, "NLL": 2.530004978,
                     "ECE": 0.448067456}  # fmt: skip


def maps(classes=4):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (classes, 12, 15))
    probs = np.exp(logits) / np.exp(logits).sum(0)
    mask = rng.integers(0, classes, (12, 15)).astype(np.uint8)
    mask[:2] = 255
    return probs, mask


def scores(counts):
    """NLL, Brier and SCE of counts."""
    found = image_metric_scores(counts, [str(i) for i in range(len(counts["SCE"]))])
    return {name: found[name] for name in ("NLL", "Brier", "SCE")}


def flat(probs, mask):
    labeled = mask != 255
    return probs[:, labeled].T, mask[labeled]


def test_nll_and_brier_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    probs, mask = maps()
    found = scores(probability_counts(torch.from_numpy(probs), torch.from_numpy(mask)))
    values, truth = flat(probs, mask)
    assert found["NLL"] == pytest.approx(metrics.log_loss(truth, values, labels=range(4)), abs=1e-6)
    brier = sum(metrics.brier_score_loss(truth == c, values[:, c]) for c in range(4))
    assert found["Brier"] == pytest.approx(brier, abs=1e-6)


def test_the_static_calibration_error_is_that_of_the_definition():
    probs, mask = maps()
    values, truth = flat(probs, mask)
    expected = []
    for c in range(4):
        gap = 0.0
        for low in np.arange(15) / 15:  # one bin at a time, (low, low + 1 / 15]
            inside = (values[:, c] > low) & (values[:, c] <= low + 1 / 15)
            gap += abs((truth[inside] == c).sum() - values[inside, c].sum())
        expected.append(gap / len(truth))
    counts = probability_counts(torch.from_numpy(probs), torch.from_numpy(mask))
    assert calibration_error(counts["SCE"]) == pytest.approx(expected, abs=1e-6)
    assert scores(counts)["SCE"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_counts_of_parts_add_up():
    probs, mask = maps()
    whole = probability_counts(torch.from_numpy(probs), torch.from_numpy(mask))
    parts = [
        probability_counts(torch.from_numpy(probs[:, rows]), torch.from_numpy(mask[rows]))
        for rows in (slice(0, 1), slice(1, 7), slice(7, 12))
    ]
    assert parts[0]["NLL"][1] == 0
    total = {name: sum(part[name] for part in parts) for name in whole}
    assert scores(total) == pytest.approx(scores(whole))


def test_a_true_class_without_probability_costs_much_and_not_infinitely():
    probs = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    found = scores(probability_counts(probs, torch.ones(1, 1, dtype=torch.uint8)))
    assert found == pytest.approx({"NLL": 27.631021, "Brier": 2.0, "SCE": 1.0})


def test_nothing_labeled_has_no_score():
    probs, mask = maps()
    found = probability_counts(
        torch.from_numpy(probs), torch.full((12, 15), 255, dtype=torch.uint8)
    )
    assert set(scores(found).values()) == {None}
    assert np.isnan(image_aurc(mask, probs.max(0), np.full_like(mask, 255)))


def test_aurc_is_that_of_torch_uncertainty():
    """Its formula: trapezoids of the risk over coverage i / n, divided by 1 - 1 / n."""
    probs, mask = maps()
    pred, sure = probs.argmax(0).astype(np.uint8), probs.max(0)
    labeled = mask != 255
    order = np.argsort(-sure[labeled])
    wrong = (pred[labeled] != mask[labeled])[order]
    n = len(wrong)
    risk = np.cumsum(wrong) / np.arange(1, n + 1)
    expected = np.trapezoid(risk, np.arange(1, n + 1) / n) / (1 - 1 / n)
    assert image_aurc(pred, sure, mask) == pytest.approx(expected, abs=1e-12)


def test_pixels_of_one_confidence_have_no_order():
    pred = np.array([[0, 0, 1, 1]], np.uint8)
    mask = np.array([[0, 1, 0, 1]], np.uint8)
    sure = np.full((1, 4), 0.5)
    assert image_aurc(pred, sure, mask) == pytest.approx(0.5)
    assert image_aurc(pred[:, ::-1], sure, mask[:, ::-1]) == pytest.approx(0.5)


def test_the_scores_are_those_of_netcal_and_torch_uncertainty():
    probs, mask = maps()
    pred, sure = probs.argmax(0).astype(np.uint8), probs.max(0)
    found = scores(probability_counts(torch.from_numpy(probs), torch.from_numpy(mask)))
    found["AURC"] = image_aurc(pred, sure, mask)
    found["ECE"] = float(calibration_error(calibration_counts(pred, sure, mask)))
    assert found["ECE"] == pytest.approx(NETCAL_ECE, abs=1e-6)
    for name, value in TORCH_UNCERTAINTY.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
