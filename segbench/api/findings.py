"""The typed result of `segbench.compare`: the verdict and its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelScore:
    """A model of a comparison.

    Args:
        name: name of the run, without the data set if all runs of the study share it.
        value: mean of the metric over the seeds, a fraction.
        interval: confidence interval of `value`; None if it cannot be computed.
        sd: standard deviation over the seeds; None with one seed.
        seeds: seeds of its runs.
        params: number of parameters; None for predictions made elsewhere.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    sd: float | None
    seeds: tuple[int, ...]
    params: int | None


@dataclass(frozen=True)
class Difference:
    """The difference between two models, `a` minus `b`.

    Args:
        a: name of one model.
        b: name of the other model.
        value: difference of the metric, a fraction.
        interval: confidence interval of `value`; None if it cannot be computed.
        p: p value of the test for no difference; None if it cannot be computed.
        p_holm: p value corrected for the number of pairs.
        verdict: the verdict in one word.
    """

    a: str
    b: str
    value: float
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """The result of `segbench.compare`.

    Args:
        study: name of the study.
        metric: the tested score, see `metric` of `segbench.compare`.
        verdict: the answer in one sentence.
        evidence: the numbers behind it.
        models: the models, best one first.
        differences: the differences of all pairs of models.
        page: the report, an HTML file.
        values: the complete content of comparison.json.
    """

    study: str
    metric: str
    verdict: str
    evidence: str
    models: tuple[ModelScore, ...]
    differences: tuple[Difference, ...]
    page: Path
    values: Mapping[str, Any]


def read_comparison(report: Path) -> Comparison:
    """Reads a report from its comparison.json.

    Args:
        report: the folder that `segbench.compare` wrote.
    """
    found = json.loads((report / "comparison.json").read_text(encoding="utf-8"))
    return Comparison(
        **{key: found[key] for key in ("study", "metric", "verdict", "evidence")},
        models=tuple(
            ModelScore(
                name=row["label"],
                interval=_interval(row),
                seeds=tuple(row["seeds"]),
                **{key: row[key] for key in ("value", "sd", "params")},
            )
            for row in found["leaderboard"]
        ),
        differences=tuple(
            Difference(
                **{key: pair[key] for key in ("a", "b", "value", "p", "p_holm", "verdict")},
                interval=_interval(pair),
            )
            for pair in found["pairs"]
        ),
        page=report / "index.html",
        values=found,
    )


def _interval(row: Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = row["interval"] or (None, None)
    return None if low is None or high is None else (low, high)
