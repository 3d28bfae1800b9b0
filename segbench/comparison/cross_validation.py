"""Folds of one data set: one test over all of them, which knows that they share training images.

The folds' differences scatter too little for independent repetitions, since any two folds train on
mostly the same images. Nadeau & Bengio, "Inference for the generalization error", Machine Learning
2003, correct the variance of the mean over k folds:

    (1 / k + n_test / n_train) * S^2,   Student's t with k - 1 degrees of freedom

where S^2 is the variance of the differences over folds. Seeds of a fold are averaged first; they
are not further folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypedDict

import numpy as np
from scipy.stats import t as student_t

from segbench.artifacts.differences import scored_node
from segbench.comparison.across import DataSet, complete
from segbench.comparison.statistics import holm
from segbench.comparison.study import Study
from segbench.comparison.verdicts import BETTER, UNCLEAR, WORSE
from segbench.errors import DataError


def folds_of(studies: Sequence[Study]) -> list[int] | None:
    """The fold of each study; None if they are not folds of one data set.

    Raises:
        DataError: some are folds and some are not, or a fold is there twice or divided otherwise.
    """
    found = [_fold(study) for study in studies]
    if all(fold is None for fold in found):
        return None
    names = [study.path.name for study in studies]
    if any(fold is None for fold in found):
        without = [name for name, fold in zip(names, found, strict=True) if fold is None]
        raise DataError(f"studies: {', '.join(without)} are no folds (data.folds), the others are")
    known = [fold for fold in found if fold is not None]
    if len({number for number, _ in known}) > 1:
        raise DataError("studies: they divide the data into different numbers of folds")
    _refuse_other_data(studies)
    numbers = [fold for _, fold in known]
    if len(set(numbers)) < len(numbers):
        raise DataError("studies: a fold is there twice; give one study per fold (data.fold)")
    if missing := sorted(set(range(known[0][0])) - set(numbers)):
        raise DataError(
            f"studies: fold {', '.join(map(str, missing))} of {known[0][0]} is missing; run it, "
            "since some images would never be tested"
        )
    return numbers


def _refuse_other_data(studies: Sequence[Study]) -> None:
    """Raises DataError unless all folds are of one data set."""
    first = studies[0].first
    for study in studies[1:]:
        run = study.first
        of_first = (first.result.data, first.data.protocol, first.classes.names)
        if (run.result.data, run.data.protocol, run.classes.names) != of_first:
            raise DataError(
                f"studies: {studies[0].path.name} and {study.path.name} are folds of different "
                f"data ({first.result.data}, {first.data.protocol}; {run.result.data}, "
                f"{run.data.protocol}); compare the folds of one data set at a time"
            )


def _fold(study: Study) -> tuple[int, int] | None:
    node = scored_node(study.first.result)
    folds, fold = node.get("folds"), node.get("fold")
    is_fold = type(folds) is int and type(fold) is int
    return (folds, fold) if is_fold else None  # type: ignore[return-value]


def tested_share(studies: Sequence[Study]) -> float:
    """Tested images over training images, mean over folds."""
    found = [study.first.data for study in studies]
    if any(not data.num_images.get("train") for data in found):
        raise DataError("studies: the runs do not say how many images they were trained on")
    tested = [len(study.first.names) for study in studies]
    shares = [n / data.num_images["train"] for n, data in zip(tested, found, strict=True)]
    return float(np.mean(shares))


class Corrected(TypedDict):
    """A mean over folds with its corrected interval, p value and degrees of freedom."""

    value: float
    interval: list[float]
    p: float
    dof: int


class FoldModel(Corrected):
    """A model that ran on all folds."""

    label: str


class FoldPair(Corrected):
    """Two of them."""

    a: str
    b: str
    p_holm: float
    verdict: str


class Folds(TypedDict):
    """A cross-validation; `share`: see `tested_share`."""

    folds: int
    share: float
    models: list[FoldModel]
    pairs: list[FoldPair]


def corrected(values: np.ndarray, share: float, confidence: float) -> Corrected:
    """Mean over folds of scores or differences `[k]`, with interval and p value of zero."""
    count = len(values)
    error = float(np.sqrt((1 / count + share) * values.var(ddof=1)))
    mean, dof = float(values.mean()), count - 1
    reach = float(student_t.ppf(0.5 + confidence / 2, dof)) * error
    p = float(mean == 0)
    if error > 0:
        p = 2 * float(student_t.sf(abs(mean) / error, dof))
    return {"value": mean, "interval": [mean - reach, mean + reach], "p": p, "dof": dof}


def cross_validation(sets: Sequence[DataSet], share: float, confidence: float) -> Folds:
    """Every model that ran on all folds, and every pair of them.

    Args:
        sets: one per fold.
        share: see `tested_share`.
        confidence: of intervals; p values are corrected by Holm over the pairs.
    """
    labels = complete(sets)
    scores = {
        label: np.array([float(e.drawn.model(e.index(label)).value[-1]) for e in sets])
        for label in labels
    }
    order = sorted(labels, key=lambda label: -scores[label].mean())
    both = list(combinations(order, 2))
    differences = [corrected(scores[a] - scores[b], share, confidence) for a, b in both]
    p_values = holm([difference["p"] for difference in differences])
    pairs: list[FoldPair] = []
    for (a, b), difference, p in zip(both, differences, p_values, strict=True):
        verdict = BETTER if difference["value"] > 0 else WORSE
        is_sure = p < 1 - confidence
        pairs.append(
            {"a": a, "b": b, **difference, "p_holm": p, "verdict": verdict if is_sure else UNCLEAR}
        )
    return {
        "folds": len(sets),
        "share": share,
        "models": [
            {"label": label, **corrected(scores[label], share, confidence)} for label in order
        ],
        "pairs": pairs,
    }
