"""Several data sets: the same models compared on each, and what that says of all of them.

A data set is one study. On each, scores, differences and p values are those of `statistics`; over
all of them stand

- verdicts by pair and data set, with p values corrected by Holm over pairs and data sets together;
- average ranks (1 = best; ties share) of the models that ran on every data set, with an interval
  over redrawn seeds and images;
- the probability of improvement, averaged over data sets (rliable, Agarwal et al., NeurIPS 2021);
- from `FEWEST_FOR_FRIEDMAN` data sets on Friedman's test of the ranks and Nemenyi's critical
  difference (Demsar, JMLR 2006). With fewer data sets these have next to no power, so no verdict
  is drawn from them.

Data sets are a handful that somebody chose: nothing here speaks of data sets that were not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from segbench.comparison.content import Summary
from segbench.comparison.statistics import Resampled, holm
from segbench.comparison.verdicts import (
    BETTER,
    ONE_SEED,
    UNCLEAR,
    WORSE,
    redraw,
    wins,
)

FEWEST_FOR_FRIEDMAN = 5


@dataclass(frozen=True)
class DataSet:
    """One data set: the name of its study, and its models resampled."""

    name: str
    drawn: Resampled

    @property
    def labels(self) -> list[str]:
        """The models that ran on it."""
        return [entrant.name for entrant in self.drawn.entrants]

    def index(self, label: str) -> int:
        """The position of a model."""
        return self.labels.index(label)

    def seeds(self, label: str) -> int:
        """How many runs a model has."""
        return len(self.drawn.entrants[self.index(label)].seeds)


def complete(sets: Sequence[DataSet]) -> list[str]:
    """The models that ran on every data set, in the order of the first."""
    return [label for label in sets[0].labels if all(label in entry.labels for entry in sets)]


def missing(sets: Sequence[DataSet]) -> list[dict[str, str]]:
    """Each model and data set that it did not run on."""
    every = list(dict.fromkeys(label for entry in sets for label in entry.labels))
    return [
        {"model": label, "data": entry.name}
        for label in every
        for entry in sets
        if label not in entry.labels
    ]


def average_ranks(scores: np.ndarray) -> np.ndarray:
    """Mean over data sets of the rank of each model, 1 = best, ties share.

    Args:
        scores: `[..., D, M]`, higher is better.

    Returns:
        float64 `[..., M]`.
    """
    return rankdata(-scores, axis=-1).mean(axis=-2)


def friedman(scores: np.ndarray) -> float | None:
    """P value of Friedman's test on scores `[D, M]`; None for too few data sets or models."""
    if len(scores) < FEWEST_FOR_FRIEDMAN or scores.shape[1] < 3:
        return None
    return float(friedmanchisquare(*scores.T).pvalue)


class RankedModel(TypedDict):
    """Average rank of a model over data sets, with its interval."""

    label: str
    rank: float
    interval: list[float]


class Ranks(TypedDict):
    """Average ranks; Friedman's p value and the critical difference are None where not tested."""

    models: list[RankedModel]
    friedman_p: float | None
    critical_difference: float | None


class OnDataSet(Summary):
    """The difference of two models on one data set, and the verdict on it."""

    data: str
    p: float
    p_holm: float
    verdict: str


class PairAcross(TypedDict):
    """Two models over all data sets they share; `improvement` with its interval."""

    a: str
    b: str
    data: list[OnDataSet]
    improvement: tuple[float, float, float]


def critical_difference(num_models: int, num_sets: int, level: float = 0.05) -> float:
    """Nemenyi: average ranks that differ by more are not those of equal models."""
    quantile = studentized_range.ppf(1 - level, num_models, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(num_models * (num_models + 1) / (6 * num_sets)))


def ranks(sets: Sequence[DataSet], labels: Sequence[str], level: float) -> Ranks:
    """Average ranks with intervals; Friedman and the critical difference where they may be."""
    table = np.array([[_score(entry, label) for label in labels] for entry in sets])
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [np.stack([_redrawn(entry, label, rng) for label in labels], axis=-1) for entry in sets],
        axis=-2,
    )
    low, high = np.quantile(average_ranks(drawn), [level / 2, 1 - level / 2], axis=0)
    p = friedman(table)
    return {
        "models": [
            {"label": label, "rank": rank, "interval": [low[i], high[i]]}
            for i, (label, rank) in enumerate(zip(labels, average_ranks(table), strict=True))
        ],
        "friedman_p": p,
        "critical_difference": None
        if p is None
        else critical_difference(len(labels), len(sets), level),
    }


def pairs(sets: Sequence[DataSet], confidence: float) -> list[PairAcross]:
    """Every pair of models that share a data set, the one with more good verdicts first."""
    every = list(dict.fromkeys(label for entry in sets for label in entry.labels))
    shared = {
        (a, b): found
        for a, b in combinations(every, 2)
        if (found := [entry for entry in sets if a in entry.labels and b in entry.labels])
    }
    estimates = {
        (a, b, entry.name): entry.drawn.difference(entry.index(a), entry.index(b))
        for (a, b), found in shared.items()
        for entry in found
    }
    p_values = [float(estimate.p_value()[-1]) for estimate in estimates.values()]
    corrected = dict(zip(estimates, holm(p_values), strict=True))
    result: list[PairAcross] = []
    for (a, b), found in shared.items():
        on: list[OnDataSet] = []
        for entry in found:
            key = (a, b, entry.name)
            verdict = _verdict(entry, a, b, estimates[key].center[-1], corrected[key], confidence)
            on.append(
                {"data": entry.name, **estimates[key].summary(-1, confidence),
                 "p": estimates[key].p_value()[-1], "p_holm": corrected[key], "verdict": verdict}
            )  # fmt: skip
        result.append({"a": a, "b": b, "data": on,
                       "improvement": improvement(found, a, b, 1 - confidence)})  # fmt: skip
    return [_ordered(pair) for pair in result]


def improvement(
    sets: Sequence[DataSet], a: str, b: str, level: float
) -> tuple[float, float, float]:
    """The chance that a run of `a` beats a run of `b`, averaged over data sets, with its interval.

    Each data set counts the same. The interval redraws runs and images of each by itself.
    """
    rng = np.random.default_rng(0)
    observed, drawn = [], []
    for entry in sets:
        i, j = entry.index(a), entry.index(b)
        scores, runs = entry.drawn.scores, entry.drawn.runs
        observed.append(wins(scores[i][None, :, -1], scores[j][None, :, -1])[0])
        drawn.append(
            wins(redraw(runs[i], rng, runs[i].shape[1]), redraw(runs[j], rng, runs[j].shape[1]))
        )
    low, high = np.quantile(np.mean(drawn, axis=0), [level / 2, 1 - level / 2])
    return float(np.mean(observed)), float(low), float(high)


def tally(pair: Mapping[str, Any]) -> dict[str, int]:
    """On how many data sets the first model of a pair is better, worse, neither, untested."""
    found = [entry["verdict"] for entry in pair["data"]]
    return {verdict: found.count(verdict) for verdict in (BETTER, WORSE, UNCLEAR, ONE_SEED)}


def _verdict(entry: DataSet, a: str, b: str, value: float, p_holm: float, confidence: float) -> str:
    if min(entry.seeds(a), entry.seeds(b)) < 2:
        return ONE_SEED
    if p_holm < 1 - confidence:
        return BETTER if value > 0 else WORSE
    return UNCLEAR


def _ordered(pair: PairAcross) -> PairAcross:
    """The pair, turned so that the first model has more good verdicts, or the larger chance."""
    found = tally(pair)
    ahead = found[BETTER] - found[WORSE]
    if (ahead, pair["improvement"][0]) >= (0, 0.5):
        return pair
    turned = {BETTER: WORSE, WORSE: BETTER}
    on: list[OnDataSet] = [
        {
            **entry,
            "value": -entry["value"],
            "interval": [None if x is None else -x for x in reversed(entry["interval"])],
            "verdict": turned.get(entry["verdict"], entry["verdict"]),
        }
        for entry in pair["data"]
    ]
    middle, low, high = pair["improvement"]
    return {"a": pair["b"], "b": pair["a"], "data": on,
            "improvement": (1 - middle, 1 - high, 1 - low)}  # fmt: skip


def _score(entry: DataSet, label: str) -> float:
    return float(entry.drawn.model(entry.index(label)).value[-1])


def _redrawn(entry: DataSet, label: str, rng: np.random.Generator) -> np.ndarray:
    runs = entry.drawn.runs[entry.index(label)]
    return redraw(runs, rng, max(1, runs.shape[1] - 1)).mean(axis=1)
