"""Everything that a report says about a study, as plain values (the content of comparison.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from segbench.artifacts.typed import plain
from segbench.comparison import wording
from segbench.comparison.audit import audit
from segbench.comparison.counts import pixel_acc
from segbench.comparison.details import (
    Options,
    by_group,
    decisive_images,
    described,
    draw,
    read_costs,
)
from segbench.comparison.runs import Run
from segbench.comparison.statistics import Sample
from segbench.comparison.study import Study
from segbench.comparison.verdicts import Pair, pairs, ranks
from segbench.errors import DataError


def compare_runs(study: Study, options: Options) -> dict[str, Any]:
    """Computes the comparison.

    Returns:
        A dict that `json` can write: scores are fractions, missing values None.

    Raises:
        DataError: the baseline is not in the study, or there are too few images.
    """
    entrants = study.entrants()
    groups = study.first.groups
    drawn = draw(entrants, groups, study, options, options.replicates)
    found = pairs(drawn, options.confidence)
    shown = headline(drawn, found, options.baseline)
    costs = read_costs(study)
    macs = {cost["model"]: cost["macs"] for cost in costs if cost.get("macs")}
    findings = [asdict(finding) for finding in audit(study.runs, options.varies, macs)]
    result: dict[str, Any] = {
        "schema_version": 1,
        "study": study.path.name,
        "split": study.first.data.split,
        "label_protocol": study.first.data.protocol,
        "comparable": study.first.data.comparable,
        "fingerprint": _fingerprint(study),
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
        result["by_group"] = by_group(entrants, shown, groups, study, options)
        result["images"] = decisive_images(entrants, shown, study, options.gallery)
        if study.has_boundary:
            near = draw(study.entrants(boundary=True), groups, study, options, options.replicates)
            estimate = near.difference(shown.a, shown.b)
            result["boundary"] = described(estimate, -1, options.confidence)
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


def _leaderboard(study: Study, drawn: Sample, options: Options) -> list[dict[str, Any]]:
    places = ranks(drawn)
    rows = []
    for index, entrant in enumerate(drawn.entrants):
        estimate = drawn.model(index)
        first = study.runs[entrant.name][0].result
        rows.append(
            {
                "label": entrant.name,
                "kind": first.kind,
                "seeds": list(entrant.seeds),
                "scores": drawn.scores[index][:, -1],
                "sd": drawn.seed_sd(index)[-1],
                **described(estimate, -1, options.confidence),
                "interval": np.clip(estimate.interval(options.confidence)[-1], 0, 1),
                "places": places[index],
                "pixel_acc": pixel_acc(entrant.counts),
                "class_iou": dict(zip(study.classes.names, estimate.value[:-1], strict=True)),
                "params": first.params,
            }
        )
    return sorted(rows, key=lambda row: -row["value"])


def _pair(pair: Pair, study: Study, drawn: Sample, options: Options) -> dict[str, Any]:
    names = study.classes.names
    tested = max(1, int(np.isfinite(pair.class_p_holm).sum()))  # others have nothing to correct
    corrected = pair.estimate.interval(1 - (1 - options.confidence) / tested)
    return {
        "a": drawn.entrants[pair.a].name,
        "b": drawn.entrants[pair.b].name,
        **described(pair.estimate, -1, options.confidence),
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


def _fingerprint(study: Study) -> dict[str, str]:
    """The fingerprint of each split that any run used."""
    found: dict[str, str] = {}
    for runs in study.runs.values():
        for run in runs:
            found = {**run.data.fingerprint, **found}
    return found


def _run(run: Run, study: Study) -> dict[str, Any]:
    result = run.result
    return {
        "label": run.label,
        "seed": run.seed,
        "path": str(run.path.relative_to(study.path)),
        "mIoU": run.scores.mIoU,
        "commit": result.commit,
        "dirty": result.dirty,
        "command": result.command,
        "hardware": plain(result.hardware),
        "versions": result.versions,
        "timings": plain(result.timings),
        "kind": result.kind,
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
