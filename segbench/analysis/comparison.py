"""Everything that a report says about a study, as plain values (the content of comparison.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segbench.analysis import wording
from segbench.analysis.audit import audit
from segbench.analysis.counts import Entrant, influence
from segbench.analysis.resampling import Unit
from segbench.analysis.statistics import Estimate, Sample, holm, sample
from segbench.analysis.study import Run, Study
from segbench.analysis.verdicts import Pair, pairs, ranks
from segbench.data.classes import DataError

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


def compare_runs(study: Study, options: Options) -> dict[str, Any]:
    """Computes the comparison.

    Returns:
        A dict that `json` can write: scores are fractions, missing values None.

    Raises:
        DataError: the baseline is not in the study, or there are too few images.
    """
    entrants = study.entrants()
    groups = study.first.groups
    drawn = _sample(entrants, groups, study, options, options.replicates)
    found = pairs(drawn, options.confidence)
    shown = headline(drawn, found, options.baseline)
    costs = read_costs(study)
    macs = {cost["model"]: cost["macs"] for cost in costs if cost.get("macs")}
    findings = [asdict(finding) for finding in audit(study.runs, options.varies, macs)]
    result: dict[str, Any] = {
        "schema_version": 1,
        "study": study.path.name,
        "split": study.first.result["data_info"]["split"],
        "label_protocol": study.first.result["data_info"]["protocol"],
        "comparable": study.first.result["data_info"]["comparable"],
        "absent_classes": study.absent,
        "classes": list(study.classes.names),
        "num_images": len(groups),
        "num_groups": len(set(groups)),
        "confidence": options.confidence,
        "replicates": options.replicates,
        "resampling": drawn.plan.note,
        "unit": drawn.plan.unit,
        "block_length": drawn.plan.block_length,
        "baseline": options.baseline,
        "leaderboard": _leaderboard(study, drawn, options),
        "pairs": [_pair(pair, study, drawn, options) for pair in found],
        "headline": None,
        "audit": findings,
        "left_out": [
            {
                "path": str(entry.path.relative_to(study.path)),
                "reason": entry.reason,
                "broken": entry.broken,
            }
            for entry in study.left_out
        ],
        "costs": costs,
        "runs": [_run(run, study) for runs in study.runs.values() for run in runs],
    }
    if shown is not None:
        result["headline"] = found.index(shown)
        result["by_group"] = _by_group(entrants, shown, groups, study, options)
        result["images"] = _decisive_images(entrants, shown, study, options.gallery)
        if study.has_boundary:
            near = _sample(
                study.entrants(boundary=True), groups, study, options, options.replicates
            )
            estimate = near.difference(shown.a, shown.b)
            result["boundary"] = _estimate(estimate, -1, options.confidence)
    result["verdict"], result["evidence"] = wording.verdict(result)
    return _jsonable(result)


def headline(drawn: Sample, found: Sequence[Pair], baseline: str | None) -> Pair | None:
    """The pair that the report is about: the best model and the baseline (or the runner-up)."""
    labels = [entrant.name for entrant in drawn.entrants]
    if baseline is not None and baseline not in labels:
        raise DataError(
            f"baseline={baseline} has no finished run in this study; it has {', '.join(labels)}"
        )
    fitting = (pair for pair in found if baseline in (None, labels[pair.a], labels[pair.b]))
    return next(fitting, None)


def read_costs(study: Study) -> list[dict[str, Any]]:
    """Measured costs: `benchmark.json` of the study, or the parameter counts of its runs.

    Each entry has `model` and any of `device`, `params`, `macs`, `latency_ms` (median),
    `peak_memory_mib`; times and memory belong to their `device`.

    Raises:
        DataError: benchmark.json is not such a list (under the key `models`).
    """
    counted = [
        {"model": label, "params": runs[0].result.get("params")}
        for label, runs in study.runs.items()
        if runs[0].result.get("params")
    ]
    file = study.path / "benchmark.json"
    if not file.is_file():
        return counted
    try:
        measured = json.loads(file.read_text(encoding="utf-8"))["models"]
        entries = [dict(entry) for entry in measured if entry["model"] in study.runs]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error!r}); measure again or remove it") from None
    known = {entry["model"] for entry in entries}
    return entries + [entry for entry in counted if entry["model"] not in known]


def _sample(
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


def _leaderboard(study: Study, drawn: Sample, options: Options) -> list[dict[str, Any]]:
    places = ranks(drawn)
    rows = []
    for index, entrant in enumerate(drawn.entrants):
        estimate = drawn.model(index)
        first = study.runs[entrant.name][0].result
        rows.append(
            {
                "label": entrant.name,
                "kind": first["kind"],
                "seeds": list(entrant.seeds),
                "scores": drawn.scores[index][:, -1],
                "sd": drawn.seed_sd(index)[-1],
                **_estimate(estimate, -1, options.confidence),
                "places": places[index],
                "class_iou": dict(zip(study.classes.names, estimate.value[:-1], strict=True)),
                "params": first.get("params"),
            }
        )
    return sorted(rows, key=lambda row: -row["value"])


def _estimate(estimate: Estimate, column: int, confidence: float) -> dict[str, Any]:
    return {
        "value": estimate.value[column],
        "interval": estimate.interval(confidence)[column],
        "seed_se": np.sqrt(estimate.seed_var[column]),
        "image_se": np.sqrt(estimate.image_var[column]),
        "dof": estimate.dof[column],
    }


def _pair(pair: Pair, study: Study, drawn: Sample, options: Options) -> dict[str, Any]:
    names = study.classes.names
    corrected = pair.estimate.interval(1 - (1 - options.confidence) / len(names))
    return {
        "a": drawn.entrants[pair.a].name,
        "b": drawn.entrants[pair.b].name,
        **_estimate(pair.estimate, -1, options.confidence),
        "p": pair.p,
        "p_holm": pair.p_holm,
        "verdict": pair.verdict,
        "effect": pair.effect,
        "improvement": list(pair.improvement),
        "seeds_needed": pair.seeds_needed,
        "images_needed": pair.images_needed,
        "classes": [
            {
                "name": name,
                "value": pair.estimate.value[index],
                "interval": corrected[index],
                "p_holm": pair.class_p_holm[index],
            }
            for index, name in enumerate(names)
        ],
    }


def _by_group(
    entrants: Sequence[Entrant],
    pair: Pair,
    groups: Sequence[str],
    study: Study,
    options: Options,
) -> list[dict[str, Any]]:
    """The headline difference within each group, the largest groups first."""
    names, sizes = np.unique(groups, return_counts=True)
    chosen = names[np.argsort(-sizes, kind="stable")[:MOST_GROUPS]]
    rows, p_values = [], []
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
        drawn = _sample(parts, [str(name)] * len(where), study, inside, replicates)
        estimate = drawn.difference(0, 1)
        p_values.append(estimate.p_value()[-1])
        rows.append(
            {
                "group": str(name),
                "images": len(where),
                **_estimate(estimate, -1, 1 - (1 - options.confidence) / len(chosen)),
            }
        )
    return [{**row, "p_holm": p} for row, p in zip(rows, holm(p_values), strict=True)]


def _decisive_images(
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


def _run(run: Run, study: Study) -> dict[str, Any]:
    result = run.result
    split = result["data_info"]["split"]
    keys = ("commit", "dirty", "command", "hardware", "timings", "kind")
    return {
        "label": run.label,
        "seed": run.seed,
        "path": str(run.path.relative_to(study.path)),
        "mIoU": result["scores"][split]["mIoU"],
        **{key: result.get(key) for key in keys},
    }


def _jsonable(value: Any) -> Any:
    """NumPy values to Python's, NaN and infinity to None."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_json(comparison: Mapping[str, Any], file: Path) -> None:
    """Writes comparison.json."""
    text = json.dumps(comparison, indent=2, allow_nan=False) + "\n"
    file.write_text(text, encoding="utf-8")
