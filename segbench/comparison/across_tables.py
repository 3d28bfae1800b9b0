"""The tables over several data sets: models x data sets, and pairs with their outcome."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from segbench.comparison import across
from segbench.comparison.tables import METRICS, Column, Table
from segbench.comparison.verdicts import BETTER, ONE_SEED, UNCLEAR, WORSE
from segbench.comparison.wording import about, bounds, level, p_value, points
from segbench.metrics.scores import MISSING, percent


def outcome(pair: Mapping[str, Any]) -> str:
    """`better on 2 of 3 data sets, worse on none`, and where one seed decides nothing."""
    found = across.tally(pair)
    text = f"better on {found[BETTER] or 'none'} of {number_of(len(pair['data']))}"
    text += f", worse on {found[WORSE] or 'none'}"
    return text + (f" (no verdict on {found[ONE_SEED]}: one seed)" if found[ONE_SEED] else "")


def number_of(sets: int) -> str:
    """`1 data set`, `2 data sets`."""
    return f"{sets} data set{'s' * (sets != 1)}"


def score_table(found: Mapping[str, Any]) -> Table:
    """Models x data sets, and the average rank."""
    ranks = {row["label"]: row for row in (found["ranks"] or {"models": []})["models"]}
    columns = [Column("model", "", lambda row: row["label"],
                      {"model": lambda row: row["label"]}, is_text=True)]  # fmt: skip
    columns += [_score_column(name, found) for name in found["studies"]]

    def rank(row: Mapping[str, Any]) -> str:
        entry = ranks.get(row["label"])
        if entry is None:
            return MISSING
        low, high = entry["interval"]
        return f"{entry['rank']:.2f} ({low:.2f} to {high:.2f})"

    columns.append(
        Column("average rank", "mean over data sets of the place, 1 = best; only of models that "
               "ran on all", rank,
               {"average_rank": lambda row: ranks.get(row["label"], {}).get("rank")})
    )  # fmt: skip
    rows = sorted(found["scores"], key=lambda row: ranks.get(row["label"], {}).get("rank", 1e9))
    return Table(tuple(columns), tuple(rows))


def _score_column(name: str, found: Mapping[str, Any]) -> Column:
    metric, word = found["metric"], about(found["approximate"])

    def text(row: Mapping[str, Any]) -> str:
        entry = row["data"].get(name)
        if entry is None:
            return MISSING
        return f"{percent(entry['value'])} ({word}{bounds(entry['interval'])})"

    def part(row: Mapping[str, Any], key: str, place: int | None = None) -> Any:
        value = row["data"].get(name, {}).get(key)
        return value if place is None or value is None else value[place]

    return Column(f"{name} (%)", f"{METRICS[metric]}; mean over seeds and its interval", text,
                  {f"{name} {metric}": lambda row: part(row, "value"),
                   f"{name} low": lambda row: part(row, "interval", 0),
                   f"{name} high": lambda row: part(row, "interval", 1)})  # fmt: skip


def pair_table(found: Mapping[str, Any]) -> Table:
    """One row per pair: the outcome, and each data set's difference and verdict."""
    columns = [
        *outcome_table(found).columns,
        *(_pair_column(name, about(found["approximate"])) for name in found["studies"]),
    ]
    return Table(tuple(columns), tuple(found["pairs"]))


def outcome_table(found: Mapping[str, Any]) -> Table:
    """One row per pair: the outcome over all data sets."""
    folds = found["cross_validation"]
    told, help = outcome, "p values corrected by Holm over all pairs and data sets"
    if folds is not None:
        told, help = partial(_over_folds, folds), "the corrected test over all folds"
    columns = [
        Column("models", "the first minus the second", _models,
               {"a": lambda row: row["a"], "b": lambda row: row["b"]}, is_text=True),
        Column("outcome", help, told, {"outcome": told}, is_text=True),
        Column("P(improvement)", "how likely a new run of the first beats one of the second, "
               "averaged over data sets", lambda row: "{}% ({} to {})".format(
                   *(percent(chance, 0) for chance in row["improvement"])),
               {"p_improvement": lambda row: row["improvement"][0]}),
    ]  # fmt: skip
    return Table(tuple(columns), tuple(found["pairs"]))


def _over_folds(folds: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The verdict of the test over all folds, said of the first model of a pair."""
    for pair in folds["pairs"]:
        if {pair["a"], pair["b"]} == {row["a"], row["b"]}:
            turned = {BETTER: WORSE, WORSE: BETTER} if pair["a"] != row["a"] else {}
            verdict = turned.get(pair["verdict"], pair["verdict"])
            return f"{verdict} over {folds['folds']} folds ({p_value(pair['p_holm'])})"
    return "not tested: a fold is missing"


def difference_table(found: Mapping[str, Any]) -> Table:
    """One row per pair and data set, which fits a page however many data sets there are."""
    word = about(found["approximate"])
    rows = [{"models": _models(pair), **on} for pair in found["pairs"] for on in pair["data"]]
    columns = (
        Column("models", "", lambda row: row["models"], is_text=True),
        Column("data set", "", lambda row: row["data"], is_text=True),
        Column("difference (points)", "", lambda row: points(row["value"])),
        Column(level(found), "", lambda row: word + bounds(row["interval"], signed=True)),
        Column("p (Holm)", "", lambda row: p_value(row["p_holm"], bare=True)),
        Column("verdict", "", lambda row: row["verdict"], is_text=True),
    )
    return Table(columns, tuple(rows))


def _models(pair: Mapping[str, Any]) -> str:
    return f"{pair['a']} − {pair['b']}"


def _pair_column(name: str, word: str) -> Column:
    def entry(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return next((on for on in row["data"] if on["data"] == name), None)

    def text(row: Mapping[str, Any]) -> str:
        on = entry(row)
        if on is None:
            return MISSING
        mark = {BETTER: "better", WORSE: "worse", UNCLEAR: "unclear", ONE_SEED: "one seed"}
        interval = word + bounds(on["interval"], signed=True)
        return f"{points(on['value'])} ({interval}), {mark[on['verdict']]}"

    return Column(name, "difference in points with its interval", text,
                  {f"{name} difference": lambda row: (entry(row) or {}).get("value"),
                   f"{name} p_holm": lambda row: (entry(row) or {}).get("p_holm")})  # fmt: skip
