"""Breaks a difference down: by group of images, and by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segbench.comparison.content import DecisiveImage, DecisiveImages, GroupDifference
from segbench.comparison.entrants import Entrant
from segbench.comparison.measures import absent_policy
from segbench.comparison.scoring import Ratio
from segbench.comparison.statistics import Estimate, holm, resample
from segbench.comparison.study import Study
from segbench.comparison.verdicts import Pair

MOST_GROUPS = 16
MOST_REPLICATES = 2000


def by_group(
    entrants: Sequence[Entrant],
    pair: Pair,
    study: Study,
    block_length: int | None,
    replicates: int,
    confidence: float,
    metric: str = "mIoU",
) -> list[GroupDifference]:
    """The headline difference within each group, largest groups first.

    Intervals and p values are corrected over the groups that have labels. The others have nothing
    to test; only their name and number of images are set.

    Raises:
        ValueError: the images of a group cannot be resampled in this way.
        ValueError: the images of a group cannot be resampled so.
    """
    groups = np.asarray(study.first.groups)
    names, sizes = np.unique(groups, return_counts=True)
    chosen = names[np.argsort(-sizes, kind="stable")[:MOST_GROUPS]]
    found: list[tuple[str, int, Estimate]] = []
    for name in chosen:
        where = np.flatnonzero(groups == name)
        if len(where) < 2:
            continue
        parts = [
            replace(entrants[i], counts=entrants[i].counts[:, where]) for i in (pair.a, pair.b)
        ]
        drawn = resample(
            parts,
            [str(name)] * len(where),
            unit="block",
            block_length=block_length,
            replicates=min(replicates, MOST_REPLICATES),
            absent=absent_policy(study, metric),
        )
        found.append((str(name), len(where), drawn.difference(0, 1)))
    corrected = holm([estimate.p_value()[-1] for _, _, estimate in found])
    tested = max(1, int(np.isfinite(corrected).sum()))
    level = 1 - (1 - confidence) / tested
    return [
        {"group": name, "images": images, **estimate.summary(-1, level), "p_holm": p}
        for (name, images, estimate), p in zip(found, corrected, strict=True)
    ]


def decisive_images(
    entrants: Sequence[Entrant], pair: Pair, study: Study, number: int
) -> DecisiveImages:
    """The images that contribute most to the headline difference, in both directions."""
    both = [entrants[pair.a], entrants[pair.b]]
    scoring = both[0].scoring or Ratio()
    first, second = (scoring.influence(entrant.counts).mean(axis=0) for entrant in both)
    gain = first - second
    # Influences sum to zero; with each image's share of the difference they sum to the difference.
    gain = gain + pair.estimate.value[-1] / len(gain)
    order = np.argsort(-gain, kind="stable")
    accuracy = [_image_accuracy(study, entrant.name) for entrant in both]

    def entry(i: int) -> DecisiveImage:
        return {
            "name": study.first.names[i],
            "group": study.first.groups[i],
            "gain": gain[i],
            "pixel_acc": [float(values[i]) for values in accuracy],
        }

    return {
        "wins": [entry(i) for i in order[:number] if gain[i] > 0],
        "losses": [entry(i) for i in order[::-1][:number] if gain[i] < 0],
    }


def _image_accuracy(study: Study, label: str) -> np.ndarray:
    """Pixel accuracy of each image, all runs of a model together, float64 `[N]`."""
    counts = sum(run.images.counts.sum(axis=-1) for run in study.runs[label])
    return np.asarray(counts[:, 0] / np.maximum(counts[:, 1], 1))
