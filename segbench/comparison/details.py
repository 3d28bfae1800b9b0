"""The parts of a comparison: estimates, costs, groups of images, the images that decide."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segbench.comparison.counts import Entrant, influence
from segbench.comparison.resampling import Unit
from segbench.comparison.statistics import Estimate, Sample, holm, sample
from segbench.comparison.study import Study
from segbench.comparison.verdicts import Pair
from segbench.errors import DataError

MOST_GROUPS = 16


@dataclass(frozen=True)
class Options:
    """How to compare.

    Args:
        baseline: label the others are measured against; None = the runner-up.
        unit: what is resampled: auto, image, block or group.
        block_length: images per block; None = chosen from the data.
        replicates: resampled image sets.
        confidence: of intervals; 1 - confidence is the level of the tests.
        varies: audited fields that differ on purpose.
        gallery: images shown where the leader wins, and where it loses.
    """

    baseline: str | None = None
    unit: Unit = "auto"
    block_length: int | None = None
    replicates: int = 10_000
    confidence: float = 0.95
    varies: tuple[str, ...] = ()
    gallery: int = 4


def draw(
    entrants: Sequence[Entrant],
    groups: Sequence[str],
    study: Study,
    options: Options,
    replicates: int,
) -> Sample:
    try:
        return sample(
            entrants,
            groups,
            unit=options.unit,
            block_length=options.block_length,
            replicates=replicates,
            absent=study.absent,
        )
    except ValueError as error:
        raise DataError(f"{study.path}: {error}") from None


def described(estimate: Estimate, column: int, confidence: float) -> dict[str, Any]:
    return {
        "value": estimate.value[column],
        "interval": estimate.interval(confidence)[column],
        "seed_se": np.sqrt(estimate.seed_var[column]),
        "image_se": np.sqrt(estimate.image_var[column]),
        "dof": estimate.dof[column],
    }


def by_group(
    entrants: Sequence[Entrant],
    pair: Pair,
    groups: Sequence[str],
    study: Study,
    options: Options,
) -> list[dict[str, Any]]:
    """The headline difference within each group, the largest groups first.

    Intervals and p values are corrected over the groups that have labels; in the others there is
    nothing to test, and everything but the name and the number of images is missing.
    """
    names, sizes = np.unique(groups, return_counts=True)
    chosen = names[np.argsort(-sizes, kind="stable")[:MOST_GROUPS]]
    found: list[tuple[str, int, Estimate]] = []
    inside = Options(unit="block", block_length=options.block_length)
    for name in chosen:
        where = np.flatnonzero(np.asarray(groups) == name)
        if len(where) < 2:
            continue
        parts = [
            Entrant(entrants[i].name, entrants[i].seeds, entrants[i].counts[:, where])
            for i in (pair.a, pair.b)
        ]
        replicates = min(options.replicates, 2000)
        drawn = draw(parts, [str(name)] * len(where), study, inside, replicates)
        found.append((str(name), len(where), drawn.difference(0, 1)))
    corrected = holm([estimate.p_value()[-1] for _, _, estimate in found])
    tested = max(1, int(np.isfinite(corrected).sum()))
    confidence = 1 - (1 - options.confidence) / tested
    return [
        {"group": name, "images": images, **described(estimate, -1, confidence), "p_holm": p}
        for (name, images, estimate), p in zip(found, corrected, strict=True)
    ]


def decisive_images(
    entrants: Sequence[Entrant], pair: Pair, study: Study, number: int
) -> dict[str, list[dict[str, Any]]]:
    """The images that add most to the headline difference, in both directions."""
    a, b = entrants[pair.a].counts, entrants[pair.b].counts
    gain = influence(a).mean(axis=0) - influence(b).mean(axis=0)
    # Influences sum to zero; with each image's share of the difference they sum to the difference.
    gain = gain + pair.estimate.value[-1] / len(gain)
    order = np.argsort(-gain, kind="stable")

    def entry(i: int) -> dict[str, Any]:
        acc = [float(c[:, i, 0].sum() / max(1, c[:, i, 1].sum())) for c in (a, b)]
        return {
            "name": study.first.names[i],
            "group": study.first.groups[i],
            "gain": gain[i],
            "pixel_acc": acc,
        }

    return {
        "wins": [entry(i) for i in order[:number] if gain[i] > 0],
        "losses": [entry(i) for i in order[::-1][:number] if gain[i] < 0],
    }


def read_costs(study: Study) -> list[dict[str, Any]]:
    """Measured costs: `benchmark.json` of the study, or the parameter counts of its runs.

    Each entry has `model` and any of `device`, `params`, `macs`, `latency_ms` (median),
    `peak_memory_mib`; times and memory belong to their `device`.

    Raises:
        DataError: benchmark.json is not such a list (under the key `models`).
    """
    counted = [
        {"model": label, "params": runs[0].result.params}
        for label, runs in study.runs.items()
        if runs[0].result.params
    ]
    file = study.path / "benchmark.json"
    if not file.is_file():
        return counted
    try:
        measured = json.loads(file.read_text(encoding="utf-8"))["models"]
        labels = {run.result.name: run.label for runs in study.runs.values() for run in runs}
        named = [
            {**entry, "model": labels.get(entry["model"], entry["model"])} for entry in measured
        ]
        entries = [entry for entry in named if entry["model"] in study.runs]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error!r}); measure again or remove it") from None
    known = {entry["model"] for entry in entries}
    return entries + [entry for entry in counted if entry["model"] not in known]
