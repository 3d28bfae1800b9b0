"""Scores from confusion matrices, against counts computed in another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segbench.metrics.confusion import confusion_matrix
from segbench.metrics.scores import (
    class_dice,
    class_iou,
    class_precision,
    class_recall,
    mean_over_classes,
    scores,
)

CLASSES = 4
VOID = 255
labels = st.sampled_from([0, 1, 2, 3, VOID])
maps = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=labels)
pairs = maps.flatmap(
    lambda mask: st.tuples(st.just(mask), arrays(np.uint8, mask.shape, elements=labels))
)


def by_sets(mask: np.ndarray, pred: np.ndarray) -> tuple[list[float], list[float]]:
    """IoU and Dice of every class as sets of labeled pixels; NaN where both are empty."""
    labeled = {(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x] != VOID}
    iou, dice = [], []
    for label in range(CLASSES):
        true = {p for p in labeled if mask[p] == label}
        found = {p for p in labeled if pred[p] == label}
        both, either = len(true & found), len(true | found)
        iou.append(both / either if either else np.nan)
        dice.append(2 * both / (len(true) + len(found)) if either else np.nan)
    return iou, dice


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_iou_and_dice_are_those_of_sets_of_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    mask, pred = pair
    matrix = confusion_matrix(pred, mask, CLASSES)
    iou, dice = by_sets(mask, pred)
    np.testing.assert_allclose(class_iou(matrix), iou)
    np.testing.assert_allclose(class_dice(matrix), dice)
    found = scores(matrix, "abcd")
    if np.isnan(iou).all():
        assert found["mIoU"] is None
    else:
        assert found["mIoU"] == pytest.approx(np.nanmean(iou))
        assert found["mDice"] == pytest.approx(np.nanmean(dice))


@given(st.lists(pairs, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_matrices_are_summed_before_anything_is_divided(pairs: list) -> None:
    summed = sum(confusion_matrix(pred, mask, CLASSES) for mask, pred in pairs)
    mask = np.concatenate([mask.ravel() for mask, _ in pairs])[None]
    pred = np.concatenate([pred.ravel() for _, pred in pairs])[None]
    assert scores(summed, "abcd") == scores(confusion_matrix(pred, mask, CLASSES), "abcd")


def test_scores_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    mask, pred = rng.integers(0, CLASSES, (2, 50, 40)).astype(np.uint8)
    matrix = confusion_matrix(pred, mask, CLASSES)
    truth, guess = mask.ravel(), pred.ravel()
    found = scores(matrix, "abcd")
    expected = sklearn.jaccard_score(truth, guess, average=None)
    np.testing.assert_allclose(list(found["IoU"].values()), expected)
    assert found["mIoU"] == pytest.approx(sklearn.jaccard_score(truth, guess, average="macro"))
    assert found["fwIoU"] == pytest.approx(sklearn.jaccard_score(truth, guess, average="weighted"))
    assert found["mDice"] == pytest.approx(sklearn.f1_score(truth, guess, average="macro"))
    assert found["pixel_acc"] == pytest.approx(sklearn.accuracy_score(truth, guess))
    assert found["mean_acc"] == pytest.approx(sklearn.balanced_accuracy_score(truth, guess))
    precision = sklearn.precision_score(truth, guess, average=None)
    np.testing.assert_allclose(class_precision(matrix), precision)
    np.testing.assert_allclose(
        class_recall(matrix), sklearn.recall_score(truth, guess, average=None)
    )


# Class a: 3 of 4 found. Class b: never seen, never predicted.
ABSENT = np.array([[3, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("policy", "expected"), [("exclude", 0.75), ("zero", 0.375), ("one", 0.875)]
)
def test_classes_in_neither_mask_nor_prediction(policy: str, expected: float) -> None:
    found = scores(ABSENT, ["a", "b"], absent=policy)
    assert found["mIoU"] == expected
    assert found["IoU"] == {"a": 0.75, "b": None}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="one of exclude, zero, one, not 'skip'"):
        mean_over_classes(np.zeros(2), "skip")


def test_a_class_that_is_predicted_but_not_there_counts_as_zero() -> None:
    found = scores(np.array([[3, 1, 0], [0, 0, 0]]), ["a", "b"])
    assert found["IoU"] == {"a": 0.75, "b": 0.0}
    assert found["mIoU"] == 0.375
    assert found["mean_acc"] == 0.75, "a class without a true pixel has no recall"


def test_predicting_void_is_a_miss_of_the_true_class() -> None:
    mask = np.array([[0, 0, 1, VOID]], np.uint8)
    pred = np.array([[0, VOID, 1, 0]], np.uint8)
    matrix = confusion_matrix(pred, mask, 2)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert scores(matrix, ["a", "b"])["IoU"] == {"a": 0.5, "b": 1.0}


def test_nothing_labeled_gives_no_scores_rather_than_numbers() -> None:
    found = scores(np.zeros((2, 3), np.int64), ["a", "b"])
    assert found["mIoU"] is found["mDice"] is found["pixel_acc"] is found["mean_acc"] is None
