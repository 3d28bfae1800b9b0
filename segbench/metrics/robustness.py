"""Scores on corrupted images (ImageNet-C): by corruption, their mean, the worst, and the drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np

CORRUPTED = "mIoU_corrupted"  # the metric, and its counts in confusion.npz
Scored = Mapping[str, Mapping[str, float | None]]  # by corruption and severity


class Summary(TypedDict):
    """Scores on corrupted images.

    Attributes:
        mean: mean over severities, by corruption.
        mean_corrupted: mean of `mean`.
        worst, worst_name: lowest value of `mean` and its corruption.
        drop: score on the clean images minus `mean_corrupted`.
    """

    mean: dict[str, float]
    mean_corrupted: float | None
    worst: float | None
    worst_name: str | None
    drop: float | None


def summary(scored: Scored, clean: float | None) -> Summary:
    """Mean over severities of each corruption, then over corruptions; the worst; and the drop.

    Returns:
        All values are None if no corruption has a score.
    """
    means = {
        name: float(np.mean(known))
        for name, by_severity in scored.items()
        if (known := [value for value in by_severity.values() if value is not None])
    }
    if not means:
        return {"mean": {}, "mean_corrupted": None, "worst": None, "worst_name": None, "drop": None}
    overall = float(np.mean(list(means.values())))
    worst = min(means, key=lambda name: means[name])
    return {
        "mean": means,
        "mean_corrupted": overall,
        "worst": means[worst],
        "worst_name": worst,
        "drop": None if clean is None else clean - overall,
    }
