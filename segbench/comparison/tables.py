"""The tables of a comparison: each column is defined here once, for all output formats.

The terminal, the page, Markdown and LaTeX show percent and points; CSV files contain fractions, one
number per cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segbench.comparison.entrants import HEADLINES
from segbench.comparison.measures import MEASURES, definition
from segbench.comparison.verdicts import ONE_SEED
from segbench.comparison.wording import bounds, level, p_value, points, score_interval
from segbench.metrics.scores import MISSING, amount, percent

OTHER = {"mIoU": "mDice", "mDice": "mIoU"}  # shown beside the tested one
Row = Mapping[str, Any]
METRICS = {name: measure.help for name, measure in MEASURES.items()} | {
    "mIoU": "mean over the classes of the intersection over union (Jaccard index)",
    "mDice": "mean over the classes of the Dice score (F1): twice the intersection over true plus "
    "predicted pixels",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        head: the column header, with the unit.
        help: its meaning, in a sentence.
        text: formats a cell as text.
        values: its content in a CSV file: name and value of each of its columns there.
        is_text: whether it contains words, which are aligned to the left, and not numbers.
        is_optional: whether it is left out if no row has a value.
    """

    head: str
    help: str
    text: Callable[[Any], str]
    values: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    is_text: bool = False
    is_optional: bool = False


@dataclass(frozen=True)
class Table:
    """Columns, and the part of the comparison that each row shows."""

    columns: tuple[Column, ...]
    rows: tuple[Any, ...]

    @property
    def heads(self) -> list[str]:
        """The header of each column."""
        return [column.head for column in self.columns]

    def texts(self) -> list[list[str]]:
        """The cells of each row as text."""
        return [[column.text(row) for column in self.columns] for row in self.rows]

    def values(self) -> list[list[Any]]:
        """Header and rows for a CSV file: text and fractions."""
        parts = [part for column in self.columns for part in column.values.items()]
        return [[name for name, _ in parts], *([of(row) for _, of in parts] for row in self.rows)]


def _table(columns: list[Column], rows: list[Any]) -> Table:
    shown = [
        column
        for column in columns
        if not column.is_optional or any(column.text(row) != MISSING for row in rows)
    ]
    return Table(tuple(shown), tuple(rows))


def _interval(head: str, text: str, shown: Callable[[Any], str]) -> Column:
    ends = {"low": lambda row: row["interval"][0], "high": lambda row: row["interval"][1]}
    return Column(head, text, shown, ends)


def _signed(row: Row) -> str:
    return bounds(row["interval"], signed=True)


def leaderboard(comparison: Mapping[str, Any]) -> Table:
    """One row per model, best first."""
    metric = comparison["metric"]
    other = OTHER.get(metric, "mIoU")
    columns = [
        Column("model", "name of the model", _model,
               {"model": lambda row: row["label"], "kind": lambda row: row["kind"]}, is_text=True),
        Column(f"{metric} (%)", METRICS[metric] + "; mean over seeds",
               lambda row: percent(row["value"]), {metric: lambda row: row["value"]}),
        _interval(level(comparison), "range of the mean score if the runs were repeated with "
                  "other seeds and on other images of the same kind; images only: with one seed, "
                  "on other images alone", score_interval),
        Column("SD over seeds", "standard deviation of the score over the seeds",
               lambda row: percent(row["sd"], 2), {"sd": lambda row: row["sd"]}),
        Column("seeds", "number of runs", lambda row: str(len(row["seeds"])),
               {"seeds": lambda row: len(row["seeds"])}),
        Column("P(rank 1)", "probability that the model ranks first when seeds and images are "
               "resampled; of models with one seed, images only",
               lambda row: _chance(row["places"][0]),
               {"p_rank_1": lambda row: row["places"][0]}),
        Column(f"{other} (%)", METRICS[other] + "; mean over seeds",
               lambda row: percent(row[other]), {other: lambda row: row[other]}, is_optional=True),
        Column("pixel_acc (%)", "share of the labeled pixels that are correct",
               lambda row: percent(row["pixel_acc"]), {"pixel_acc": lambda row: row["pixel_acc"]}),
        Column("params", "number of parameters (K thousands, M millions)",
               lambda row: amount(row["params"]), {"params": lambda row: row["params"]},
               is_optional=True),
    ]  # fmt: skip
    return _table(columns, comparison["leaderboard"])


def _model(row: Row) -> str:
    return f"{row['label']} ({origin})" if (origin := origin_of(row)) else str(row["label"])


def origin_of(row: Row) -> str:
    """What a model did without being trained here; empty for others."""
    if row["kind"] == "untrained":
        return "not trained here"
    is_foreign = row["kind"] == "evaluate" and row["params"] is None  # its label maps alone
    return "predictions" if is_foreign else ""


def _chance(value: float | None) -> str:
    return MISSING if value is None else f"{percent(value, 0)}%"


MOST_PAIRS = 15  # at once: six models have as many


def first_pairs(comparison: Mapping[str, Any]) -> list[Row]:
    """The pairs to show first: all, or of many models those of the baseline or the best."""
    found = comparison["pairs"]
    if len(found) <= MOST_PAIRS:
        return list(found)
    chosen = comparison["baseline"] or comparison["leaderboard"][0]["label"]
    return [pair for pair in found if chosen in (pair["a"], pair["b"])]


def pairs(comparison: Mapping[str, Any], rows: list[Row] | None = None) -> Table:
    """One row per pair of models: all of them, or those of `rows`."""
    columns = [
        Column("models", "the first model minus the second", lambda row: f"{row['a']} − {row['b']}",
               {"a": lambda row: row["a"], "b": lambda row: row["b"]}, is_text=True),
        Column("verdict", "better or worse only if the corrected p value is below "
               f"{1 - comparison['confidence']:.2g}", lambda row: row["verdict"],
               {"verdict": lambda row: row["verdict"]}, is_text=True),
        Column("difference (points)", f"difference of the mean {comparison['metric']}",
               lambda row: points(row["value"]), {"difference": lambda row: row["value"]}),
        _interval(level(comparison), "range of the difference if the runs were repeated with "
                  "other seeds and on other images; with one seed, on other images alone; a dash "
                  "if the seeds allow no estimate", _signed),
        Column("p (Holm)", "probability of such a large difference between equal models, "
               "Holm-corrected for the number of pairs",
               lambda row: p_value(row["p_holm"], bare=True),
               {"p": lambda row: row["p"], "p_holm": lambda row: row["p_holm"]}),
        Column("effect (SDs)", "the difference in standard deviations over seeds (Cohen's d)",
               lambda row: points(row["effect"], factor=1), {"effect": lambda row: row["effect"]}),
        Column("P(improvement)", "probability that a new run of the first model beats a new run "
               "of the second; a dash if a model has one seed",
               lambda row: _chance(row["improvement"][0]),
               {"p_improvement": lambda row: row["improvement"][0],
                "p_improvement_low": lambda row: row["improvement"][1],
                "p_improvement_high": lambda row: row["improvement"][2]}),
    ]  # fmt: skip
    return _table(columns, comparison["pairs"] if rows is None else rows)


def tested_by_class(comparison: Mapping[str, Any]) -> list[str]:
    """The metrics with a score by class, that which was tested first."""
    return sorted(HEADLINES, key=lambda metric: metric != comparison["metric"])


def classes(comparison: Mapping[str, Any], metric: str | None = None) -> Table:
    """One row per class: the score of each model, and the headline difference.

    A class in neither masks nor predictions has a dash in every cell.

    Args:
        comparison: see `comparison.compare_runs`.
        metric: `mIoU` or `mDice`; None = the tested one. Only its table has the difference.
    """
    metric = metric or tested_by_class(comparison)[0]
    name = HEADLINES[metric]
    columns = [Column("class", "", lambda i: comparison["classes"][i],
                      {"class": lambda i: comparison["classes"][i]}, is_text=True)]  # fmt: skip
    for row in comparison["leaderboard"]:
        by_class = row[f"class_{name.lower()}"]
        columns.append(
            _class_scores(row["label"], name, [by_class[c] for c in comparison["classes"]])
        )
    if comparison["headline"] is not None and metric == comparison["metric"]:
        columns += _class_difference(comparison["pairs"][comparison["headline"]])
    return _table(columns, list(range(len(comparison["classes"]))))


def _class_scores(label: str, score: str, found: list[float | None]) -> Column:
    """The score of each class of one model."""
    values = {f"{score} {label}": lambda i: found[i]}
    return Column(label, f"{score} (%), mean over seeds", lambda i: percent(found[i]), values)


def _class_difference(pair: Mapping[str, Any]) -> list[Column]:
    found = pair["classes"]
    return [
        Column(f"{pair['a']} − {pair['b']}", "difference in points",
               lambda i: points(found[i]["value"]), {"difference": lambda i: found[i]["value"]}),
        Column("corrected interval", "corrected for the number of classes; a dash if the seeds "
               "allow no estimate", lambda i: bounds(found[i]["interval"], signed=True),
               {"low": lambda i: found[i]["interval"][0],
                "high": lambda i: found[i]["interval"][1]}),
        Column("p (Holm)", "probability of such a large difference between equal models, "
               "Holm-corrected for the number of classes",
               lambda i: p_value(found[i]["p_holm"], bare=True),
               {"p_holm": lambda i: found[i]["p_holm"]}),
    ]  # fmt: skip


def groups(comparison: Mapping[str, Any]) -> Table | None:
    """One row per group of images (drive, city, condition); None for a single one."""
    rows = comparison.get("by_group", [])
    if len(rows) < 2:
        return None
    metric, pair = comparison["metric"], comparison["pairs"][comparison["headline"]]
    columns = [
        Column("group", "correlated images, such as a drive, city, patient or weather",
               lambda row: row["group"], {"group": lambda row: row["group"]}, is_text=True),
        Column("images", "", lambda row: str(row["images"]), {"images": lambda row: row["images"]}),
        *(_group_scores(row["label"], metric) for row in comparison["leaderboard"]),
        Column(f"{pair['a']} − {pair['b']}", "difference in points",
               lambda row: points(row["value"]), {"difference": lambda row: row["value"]}),
        _interval("corrected interval", "corrected for the number of groups; a dash if the seeds "
                  "allow no estimate", _signed),
    ]  # fmt: skip
    return _table(columns, rows)


def _group_scores(label: str, metric: str) -> Column:
    def value(row: Row) -> float | None:
        return row.get("scores", {}).get(label)  # earlier versions have none

    return Column(label, f"{metric} (%), mean over seeds", lambda row: percent(value(row)),
                  {f"{metric} {label}": value}, is_optional=True)  # fmt: skip


def has_dice(comparison: Mapping[str, Any]) -> bool:
    """Whether both scores of every class are available; results of earlier versions lack one."""
    return all(row["mDice"] is not None for row in comparison["leaderboard"])


def separated(comparison: Mapping[str, Any], class_index: int | None = None) -> str | None:
    """The label of the best model, if the corrected test separates it from the second.

    Args:
        comparison: see `comparison.compare_runs`.
        class_index: for one class; None = for the mean.
    """
    if class_index is not None and comparison["metric"] not in HEADLINES:
        return None
    key = "class_" + HEADLINES.get(comparison["metric"], "").lower()
    rows = comparison["leaderboard"]
    if class_index is not None:
        name = comparison["classes"][class_index]
        known = [row for row in rows if row[key][name] is not None]
        rows = sorted(known, key=lambda row: -row[key][name])
    if len(rows) < 2:
        return None
    best, second = rows[0]["label"], rows[1]["label"]
    pair = next(p for p in comparison["pairs"] if {p["a"], p["b"]} == {best, second})
    tested = pair if class_index is None else pair["classes"][class_index]
    p = tested["p_holm"]
    is_sure = p is not None and p < 1 - comparison["confidence"] and pair["verdict"] != ONE_SEED
    return best if is_sure else None


def method(comparison: Mapping[str, Any]) -> str:
    """A paragraph on how the numbers were computed."""
    groups = comparison["num_groups"]
    return (
        f"{comparison['num_images']} {comparison['split']} images in {groups} "
        f"group{'s' * (groups != 1)}; label protocol {comparison['label_protocol']}; absent "
        f"classes: {comparison['absent_classes']}. {definition(comparison['metric'])} "
        f"{comparison['resampling']} {comparison['replicates']:,} replicates, the same for all "
        "models; intervals from seed variance plus image variance with Student's t, "
        "clipped to possible values; p values Holm-corrected over all pairs; class intervals "
        "corrected over the classes."
    )
