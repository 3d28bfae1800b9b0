"""The complete content of a study's report as plain values (comparison.json)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from segbench.artifacts.typed import plain
from segbench.comparison import breakdowns, margin_report, wording
from segbench.comparison.audit import audit
from segbench.comparison.content import (
    Comparison,
    LeftOutEntry,
    PairEntry,
    PlainScores,
    Row,
    RunEntry,
    jsonable,
)
from segbench.comparison.domination import domination
from segbench.comparison.entrants import HEADLINES, Entrant, boundary_entrants
from segbench.comparison.margin_report import margin_of
from segbench.comparison.measures import MEASURES, absent_policy, entrants_by
from segbench.comparison.more_metrics import more_metrics
from segbench.comparison.options import Options
from segbench.comparison.robustness import robustness
from segbench.comparison.runs import LeftOut, Run
from segbench.comparison.side_files import read_costs, read_curves, relative
from segbench.comparison.statistics import Resampled, resample
from segbench.comparison.study import Study
from segbench.comparison.verdicts import Pair, pairs, ranks
from segbench.errors import DataError
from segbench.metrics.scores import class_dice, class_iou, mean_over_classes, union_counts

# 2: metric, mDice, Dice by class, curves, intervals within what is possible
# 3: margin, domination
# 4: robustness, scores by group
# 5: approximate
SCHEMA_VERSION = 5


def compare_runs(study: Study, options: Options) -> Comparison:
    """Computes the comparison.

    Returns:
        A JSON-serializable dict: scores are fractions, missing values None.

    Raises:
        ConfigError: a margin without a baseline.
        DataError: the baseline is not in the study, or there are too few images.
    """
    options = replace(options, baseline=study.label_of(options.baseline))
    words = [*([f"only=[{','.join(study.only)}]"] if study.only else []), *options.words()]
    margin, findings = margin_of(study, options.metric, options.margin, options.baseline)
    options = replace(options, baseline=margin.baseline if margin else options.baseline)
    entrants = entrants_by(study, options.metric)
    drawn = resample_study(entrants, study, options)
    found = pairs(drawn, options.confidence)
    shown = headline(drawn, found, options.baseline)
    costs, unread_costs = read_costs(study)
    curves, unread_curves = read_curves(study, (f"val/{_curve(options.metric)}", "train/loss"))
    macs = {cost["model"]: value for cost in costs if (value := cost.get("macs"))}
    result: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "study": study.path.name,
        "metric": options.metric,
        "approximate": MEASURES[options.metric].is_approximate,
        "split": study.first.data.split,
        "label_protocol": study.first.data.protocol,
        "comparable": study.first.data.comparable,
        "fingerprint": _fingerprint(study),
        "absent_classes": study.absent,
        "classes": list(study.classes.names),
        "num_images": len(study.first.groups),
        "num_groups": len(set(study.first.groups)),
        "confidence": options.confidence,
        "replicates": options.replicates,
        "resampling": drawn.plan.note,
        "unit": drawn.plan.unit,
        "block_length": drawn.plan.block_length,
        "baseline": options.baseline,
        "options": words,
        "leaderboard": _leaderboard(study, drawn, options),
        "pairs": [_pair(pair, study, drawn, options) for pair in found],
        "headline": None if shown is None else found.index(shown),
        "audit": [asdict(finding) for finding in audit(study.runs, options.varies, macs)],
        "left_out": left_out_entries(study, [*study.left_out, *unread_costs, *unread_curves]),
        "costs": costs,
        "curves": curves,
        "runs": [_run(run, study) for runs in study.runs.values() for run in runs],
    }
    labels = [entrant.name for entrant in drawn.entrants]
    pair = None if shown is None else (labels[shown.a], labels[shown.b])

    def resampled(models: Sequence[Entrant], name: str) -> Resampled:
        return resample_study(models, study, replace(options, metric=name))

    result["metrics"] = more_metrics(study, options.metrics, pair, options.confidence, resampled)
    result["robustness"], unequal = robustness(study, pair, options.confidence, resampled)
    result["audit"] += [*findings, *unequal]  # type: ignore[operator]
    result["margin"] = margin and margin_report.entry(margin, drawn, found, options.confidence)
    result["domination"] = domination(result)
    if shown is not None:
        result |= _about_headline(entrants, shown, study, options)
    comparison: Comparison = jsonable(result)  # NaN becomes None, as the wording expects
    about_margin = margin_report.headline(comparison) if margin and shown else ("", "")
    comparison["verdict"], evidence = wording.verdict(comparison, *about_margin)
    caution = f"Caution: {drawn.plan.caution}" if drawn.plan.caution else ""
    comparison["evidence"] = f"{evidence} {caution}".strip()
    return comparison


def resample_study(entrants: Sequence[Entrant], study: Study, options: Options) -> Resampled:
    """The models of a study on resampled images.

    Raises:
        DataError: there are too few images.
    """
    try:
        return resample(
            entrants,
            study.first.groups,
            unit=options.unit,
            block_length=options.block_length,
            replicates=options.replicates,
            absent=absent_policy(study, options.metric),
        )
    except ValueError as error:
        raise DataError(f"{study.path}: {error}") from None


def headline(drawn: Resampled, found: Sequence[Pair], baseline: str | None) -> Pair | None:
    """The pair that the report is about: the best model and the baseline (or the runner-up)."""
    labels = [entrant.name for entrant in drawn.entrants]
    if baseline is not None and baseline not in labels:
        raise DataError(
            f"baseline={baseline} has no finished run in this study; models with finished runs: "
            f"{', '.join(labels)}"
        )
    fitting = (pair for pair in found if baseline in (None, labels[pair.a], labels[pair.b]))
    return next(fitting, None)


def _about_headline(
    entrants: Sequence[Entrant], pair: Pair, study: Study, options: Options
) -> dict[str, object]:
    """Breakdowns of the headline difference."""
    length, replicates, confidence = options.block_length, options.replicates, options.confidence
    found: dict[str, object] = {
        "by_group": breakdowns.by_group(
            entrants, pair, study, length, replicates, confidence, options.metric
        ),
        "images": breakdowns.decisive_images(entrants, pair, study, options.gallery),
    }
    if study.has_boundary and options.metric in HEADLINES:
        near = resample_study(boundary_entrants(study, options.metric), study, options)
        found["boundary"] = near.difference(pair.a, pair.b).summary(-1, confidence)
    return found


def _leaderboard(study: Study, drawn: Resampled, options: Options) -> list[Row]:
    places = ranks(drawn)
    rows: list[Row] = []
    for index, entrant in enumerate(drawn.entrants):
        run = study.runs[entrant.name][0]
        rows.append(
            {
                "label": entrant.name,
                "kind": "untrained" if run.is_untrained else run.result.kind,
                "seeds": list(entrant.seeds),
                "scores": drawn.scores[index][:, -1].tolist(),
                "sd": drawn.seed_sd(index)[-1],
                **drawn.model(index).summary(-1, options.confidence),
                "places": places[index],
                **_plain_scores(study, entrant.name),
                "params": run.result.params,
            }
        )
    return sorted(rows, key=lambda row: -row["value"])


def _plain_scores(study: Study, label: str) -> PlainScores:
    """Means over the runs of a model, without statistics: both metrics, by class too."""
    totals = np.stack([run.images.total for run in study.runs[label]])
    iou, dice = class_iou(totals), class_dice(totals)
    hits, _ = union_counts(totals)
    return {
        "mIoU": mean_over_classes(iou, study.absent).mean(),
        "class_iou": _by_class(iou, study),
        "mDice": mean_over_classes(dice, study.absent).mean(),
        "class_dice": _by_class(dice, study),
        "pixel_acc": (hits.sum(axis=1) / np.maximum(totals.sum(axis=(1, 2)), 1)).mean(),
    }


def _by_class(values: np.ndarray, study: Study) -> dict[str, float | None]:
    """The mean over the runs `[R, C]` in which a class occurs, by name."""
    present = np.nan_to_num(values).sum(axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mean = np.where(np.isnan(values).all(axis=0), np.nan, present)
    return dict(zip(study.classes.names, mean, strict=True))


def _pair(pair: Pair, study: Study, drawn: Resampled, options: Options) -> PairEntry:
    tested = max(1, int(np.isfinite(pair.class_p_holm).sum()))  # only these are corrected for
    corrected = pair.estimate.interval(1 - (1 - options.confidence) / tested)
    return {
        "a": drawn.entrants[pair.a].name,
        "b": drawn.entrants[pair.b].name,
        **pair.estimate.summary(-1, options.confidence),
        "p": pair.p,
        "p_holm": pair.p_holm,
        "verdict": pair.verdict,
        "effect": pair.effect,
        "improvement": list(pair.improvement),
        "seeds_needed": pair.seeds_needed,
        "images_needed": pair.images_needed,
        "has_power": pair.has_power,
        "classes": [
            {
                "name": name,
                "value": pair.estimate.value[index],
                "interval": corrected[index],
                "p_holm": pair.class_p_holm[index],
            }
            for index, name in enumerate(study.classes.names)
            if options.metric in HEADLINES
        ],
    }


def _curve(metric: str) -> str:
    """The metric whose learning curve is shown."""
    return metric if metric in HEADLINES else "mIoU"


def _fingerprint(study: Study) -> dict[str, str]:
    """The fingerprint of each split that any run used."""
    found: dict[str, str] = {}
    for runs in study.runs.values():
        for run in runs:
            found = {**run.data.fingerprint, **found}
    return found


def left_out_entries(study: Study, entries: Sequence[LeftOut]) -> list[LeftOutEntry]:
    """What could not be used: the path below the study, and why."""
    return [
        {"path": relative(entry.path, study), "reason": entry.reason, "broken": entry.broken}
        for entry in entries
    ]


def _run(run: Run, study: Study) -> RunEntry:
    result = run.result
    return {
        "label": run.label,
        "seed": run.seed,
        "path": relative(run.path, study),
        "mIoU": run.scores.mIoU,
        "mDice": run.scores.mDice,
        "commit": result.commit,
        "dirty": result.dirty,
        "command": result.command,
        "hardware": plain(result.hardware),
        "versions": result.versions,
        "timings": plain(result.timings),
        "kind": result.kind,
    }
