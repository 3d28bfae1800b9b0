"""Breaks a difference down: by group of images, and by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segbench.comparison.content import ByClass, DecisiveImage, DecisiveImages, GroupDifference
from segbench.comparison.entrants import Entrant
from segbench.comparison.measures import absent_policy
from segbench.comparison.scoring import Ratio
from segbench.comparison.statistics import Estimate, holm, resample
from segbench.comparison.study import Study
from segbench.comparison.verdicts import Pair
from segbench.metrics.scores import or_none

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
    """
    groups = np.asarray(study.first.groups)
    names, sizes = np.unique(groups, return_counts=True)
    chosen = names[np.argsort(-sizes, kind="stable")[:MOST_GROUPS]]
    if len(names) == len(groups):  # every image is its own
        return []
    absent = absent_policy(study, metric)
    found: list[tuple[GroupDifference, Estimate | None]] = []
    for name in chosen:
        where = np.flatnonzero(groups == name)
        estimate = None
        if len(where) > 1:
            parts = [
                replace(entrants[i], counts=entrants[i].counts[:, where]) for i in (pair.a, pair.b)
            ]
            estimate = resample(
                parts,
                [str(name)] * len(where),
                unit="block",
                block_length=block_length,
                replicates=min(replicates, MOST_REPLICATES),
                absent=absent,
            ).difference(0, 1)
        scores = {entrant.name: _score(entrant, where, absent) for entrant in entrants}
        found.append((_group(str(name), len(where), scores, entrants, pair), estimate))
    known = [estimate for _, estimate in found if estimate is not None]
    corrected = holm([estimate.p_value()[-1] for estimate in known])
    level = 1 - (1 - confidence) / max(1, int(np.isfinite(corrected).sum()))
    p_values = iter(corrected)
    for entry, estimate in found:
        if estimate is not None:
            entry.update(estimate.summary(-1, level))  # type: ignore[typeddict-item]
            entry["p_holm"] = next(p_values)
    return [entry for entry, _ in found]


def _group(
    name: str, images: int, scores: ByClass, entrants: Sequence[Entrant], pair: Pair
) -> GroupDifference:
    """A group whose difference has no interval: one image alone has none."""
    a, b = scores[entrants[pair.a].name], scores[entrants[pair.b].name]
    return {"group": name, "images": images, "scores": scores, "interval": [None, None],
            "value": np.nan if a is None or b is None else a - b, "seed_se": None,
            "image_se": None, "dof": None, "p_holm": None}  # fmt: skip


def _score(entrant: Entrant, images: np.ndarray, absent: str) -> float | None:
    """The score of a model on some of the images, mean over its runs."""
    scoring = entrant.scoring or Ratio()
    return or_none(scoring.observed(entrant.counts[:, images], absent)[:, -1].mean())


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
