"""What a report says of a margin: who fixed it when, each model's verdict, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.artifacts.aim import Aim, aim_of
from segbench.artifacts.differences import WEAKENS
from segbench.artifacts.result import Result
from segbench.comparison.content import Finding, MarginEntry, MarginModel
from segbench.comparison.margins import EQUIVALENT, NOT_WORSE, MarginTest, margin_tests
from segbench.comparison.statistics import Resampled
from segbench.comparison.study import Study
from segbench.comparison.tables import Column, Table
from segbench.comparison.verdicts import (
    BETTER,
    MOST_IMAGES_FACTOR,
    MOST_SEEDS,
    ONE_SEED,
    WORSE,
    Pair,
)
from segbench.comparison.wording import bounds, join, p_value, points
from segbench.comparison.wording import level as interval_level
from segbench.errors import ConfigError


@dataclass(frozen=True)
class Margin:
    """A margin in points, the label of its baseline, and whether the runs were trained under it."""

    points: float
    baseline: str
    is_fixed: bool
    note: str


def margin_of(
    study: Study, metric: str, points: float | None, baseline: str | None
) -> tuple[Margin | None, list[Finding]]:
    """The margin of a comparison: that of the command, else that of the study's runs.

    A margin is fixed in advance where every training carries it in its config (`compare.margin` of
    the study file), be it the run itself or that of the checkpoint that was scored.

    Args:
        study: its runs.
        metric: the tested score; a margin was fixed for one score only.
        points: of the command; None = as the runs say.
        baseline: likewise, a label.

    Returns:
        The margin, and a finding if the one of the runs is not tested: its baseline is absent, or
        not all runs have it.

    Raises:
        ConfigError: a margin without a baseline.
    """
    trained = [run.result for runs in study.runs.values() for run in runs if run.result.model]
    aims = [_aim(result) for result in trained]
    stated = {
        (aim.margin, study.label_of(aim.baseline), aim.metric) if aim else None for aim in aims
    }
    fixed = (next(iter(stated)) if len(stated) == 1 else None) or (None, None, None)
    given, against = points if points is not None else fixed[0], baseline or fixed[1]
    if given is None:
        return None, [_unequal(study)] if any(aims) else []
    if against is None:
        raise ConfigError(
            f"margin={given:g} says how much worse than a baseline a model may be; add "
            f"baseline=MODEL, one of {', '.join(study.runs)}"
        )
    if points is None and baseline is None and against not in study.runs:
        why = f"the runs were trained under a margin of {given:g} points against {against}, which "
        why += "has no run here: it is not tested"
        return None, [{"field": "margin", "grade": "note", "why": why, "values": {}}]
    is_fixed = fixed == (given, against, metric)
    if is_fixed:
        where = {aim.study for aim in aims if aim} - {study.path.name}
        note = f"It was fixed in the study {join(sorted(where))}" if where else ""
        note = f"{note or 'It was fixed in the study'} before the first run."
    elif fixed[0] is not None:
        note = f"It was given after the runs, which were trained under {fixed[0]:g} points"
        note += f" of {fixed[2]} against {fixed[1]}: read it as exploratory."
    elif any(aims):
        note = "Some runs were trained under another margin or none: read it as exploratory."
    else:
        note = "It was given after the runs: read it as exploratory."
    return Margin(given, against, is_fixed, note), []


def _unequal(study: Study) -> Finding:
    """The finding that the trainings were not all started under the same margin."""
    values = {}
    for label, runs in study.runs.items():
        by_text: dict[str, list[str]] = {}
        for run in runs:
            if run.result.model:
                aim = _aim(run.result)
                text = (
                    f"{aim.margin:g} points of {aim.metric} against {aim.baseline}"
                    if aim
                    else "none"
                )
                by_text.setdefault(text, []).append(str(run.seed))
        if by_text:
            values[label] = "; ".join(
                text + f" (seed {', '.join(seeds)})" * (len(by_text) > 1)
                for text, seeds in by_text.items()
            )
    why = "not all runs were started under the same margin, so none is tested"
    return {"field": "margin", "grade": WEAKENS, "why": why, "values": values}


def _aim(result: Result) -> Aim | None:
    """The margin under which the training of a run, or of its checkpoint, was started."""
    config = result.trained_config
    return aim_of(config, str(config.get("study", result.study)))


def entry(
    margin: Margin, drawn: Resampled, pairs: Sequence[Pair], confidence: float
) -> MarginEntry:
    """The margin and its tests, as comparison.json contains them; fractions."""
    labels = [entrant.name for entrant in drawn.entrants]
    fraction = margin.points / 100
    tests = margin_tests(drawn, pairs, labels.index(margin.baseline), fraction, confidence)
    return {
        "points": margin.points,
        "baseline": margin.baseline,
        "fixed": margin.is_fixed,
        "note": margin.note,
        "models": [_model(test, labels) for test in tests],
    }


def _model(test: MarginTest, labels: Sequence[str]) -> MarginModel:
    return {
        "label": labels[test.model],
        "value": test.estimate.value[-1],
        "verdict": test.verdict,
        "is_worse": test.is_worse,
        "p_not_worse": test.p_not_worse,
        "p_equivalent": test.p_equivalent,
        "bounds": test.bounds,
        "seeds_needed": test.seeds_needed,
        "images_needed": test.images_needed,
        "has_power": test.has_power,
    }


def table(comparison: Mapping[str, Any]) -> Table:
    """One row per model but the baseline."""
    found = comparison["margin"]
    level = interval_level({**comparison, "confidence": 1 - 2 * (1 - comparison["confidence"])})
    columns = (
        Column("model", f"measured against {found['baseline']}", lambda row: row["label"],
               {"model": lambda row: row["label"]}, is_text=True),
        Column("verdict", f"with a margin of {_size(found)}; corrected over the models",
               lambda row: row["verdict"] + (
                   " (measurably lower)" if row["is_worse"] and row["verdict"] != WORSE else ""),
               {"verdict": lambda row: row["verdict"]}, is_text=True),
        Column("difference (points)", f"{comparison['metric']} minus that of {found['baseline']}",
               lambda row: points(row["value"]), {"difference": lambda row: row["value"]}),
        Column(level, "of the difference; each bound is that of a "
               "one-sided test", lambda row: bounds(row["bounds"], signed=True),
               {"low": lambda row: row["bounds"][0], "high": lambda row: row["bounds"][1]}),
        Column("p (not worse)", "how likely so small a loss is for a model that loses the margin, "
               "corrected by Holm for the number of models",
               lambda row: p_value(row["p_not_worse"], bare=True),
               {"p_not_worse": lambda row: row["p_not_worse"]}),
        Column("p (equivalent)", "the larger p value of the two one-sided tests (TOST), corrected "
               "likewise", lambda row: p_value(row["p_equivalent"], bare=True),
               {"p_equivalent": lambda row: row["p_equivalent"]}),
        Column("needed for the margin", "runs of each model, or images, that would show with 80% "
               "power that the loss is below the margin, were the difference the observed one",
               lambda row: needed(row, comparison), is_text=True),
    )  # fmt: skip
    return Table(columns, tuple(found["models"]))


def sentence(comparison: Mapping[str, Any], label: str) -> str:
    """The verdict on one model, in words."""
    found = comparison["margin"]
    row = next(row for row in found["models"] if row["label"] == label)
    base, size = found["baseline"], _size(found)
    score = comparison["metric"]
    by = f"{abs(100 * row['value']):.1f} points of {score}"
    if row["verdict"] in (BETTER, WORSE):
        return f"{label} is {row['verdict']} than {base}, by {by}."
    real = " The loss is real, but smaller than the margin." if row["is_worse"] else ""
    if row["verdict"] == EQUIVALENT:
        return f"{label} and {base} are equivalent within {size} of {score}.{real}"
    if row["verdict"] == NOT_WORSE:
        return f"{label} is not worse than {base} by more than {size} of {score}.{real}"
    if row["verdict"] == ONE_SEED:
        return f"No verdict on {label}: one seed is not enough, whatever the margin."
    return (
        f"Undecided: the runs neither show nor exclude that {label} is worse than {base} by more "
        f"than {size} of {score}."
    )


def headline(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """What replaces the sentence on the headline pair (empty: nothing), and what is added to it."""
    pair, base = comparison["pairs"][comparison["headline"]], comparison["margin"]["baseline"]
    other = pair["a"] if pair["b"] == base else pair["b"]
    row = next(row for row in comparison["margin"]["models"] if row["label"] == other)
    keeps = row["verdict"] in (BETTER, WORSE, ONE_SEED)
    return "" if keeps else sentence(comparison, other), summary(comparison)


def summary(comparison: Mapping[str, Any]) -> str:
    """All models in one sentence, by verdict, and when the margin was fixed."""
    found = comparison["margin"]
    groups: dict[str, list[str]] = {}
    for row in found["models"]:
        groups.setdefault(row["verdict"], []).append(row["label"])
    parts = [f"{verdict}: {join(labels)}" for verdict, labels in groups.items()]
    told = f": {'; '.join(parts)}" if parts else " there is no other model"
    return f"Against {found['baseline']} with a margin of {_size(found)}{told}. {found['note']}"


def needed(row: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """Runs and images that the margin would take."""
    if not row["has_power"]:
        return "unknown: fewer than four seeds"
    if 100 * row["value"] <= -comparison["margin"]["points"]:
        return "no number: the observed loss reaches the margin"
    most = int(MOST_IMAGES_FACTOR * comparison["num_images"])
    seeds, images = row["seeds_needed"], row["images_needed"]
    return (f"{seeds} seeds" if seeds else f"more than {MOST_SEEDS} seeds") + (
        f", or {images:,} images" if images else f", or more than {most:,} images"
    )


def _size(found: Mapping[str, Any]) -> str:
    return f"{found['points']:g} point{'s' * (found['points'] != 1)}"
