"""The sentences of a comparison over several data sets, or over the folds of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segbench.artifacts.differences import INVALIDATES
from segbench.comparison import across
from segbench.comparison.across import FEWEST_FOR_FRIEDMAN
from segbench.comparison.across_tables import number_of, outcome
from segbench.comparison.verdicts import BETTER, ONE_SEED, UNCLEAR, WORSE
from segbench.comparison.wording import bounds, join, level, p_value, points
from segbench.metrics.scores import percent


def headline(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pair of the best model by average rank and the baseline, or the second."""
    pairs, base = found["pairs"], found["baseline"]
    ranked = sorted(found["ranks"]["models"], key=lambda row: row["rank"]) if found["ranks"] else []
    order = [row["label"] for row in ranked]
    fitting = [pair for pair in pairs if base in (None, pair["a"], pair["b"])]

    def place(pair: Mapping[str, Any]) -> tuple[int, ...]:
        return tuple(sorted(order.index(x) if x in order else len(order)
                            for x in (pair["a"], pair["b"])))  # fmt: skip

    return min(fitting, key=place, default=None)


def of_sets(found: Mapping[str, Any]) -> tuple[str, str]:
    """The whole comparison in a sentence, and its evidence."""
    pair = headline(found)
    sets = f"{len(found['studies'])} data sets"
    if pair is None:
        return f"Only one model ran on {sets}: there is nothing to compare it with.", ""
    sentence = f"{pair['a']} is better than {pair['b']} {outcome(pair).removeprefix('better ')}."
    if not any(entry["verdict"] in (BETTER, WORSE) for entry in pair["data"]):
        sentence = undecided(pair)
    chance = pair["improvement"]
    evidence = (
        f"A run of {pair['a']} beats one of {pair['b']} with a probability of "
        f"{percent(chance[0], 0)}% ({level(found)} {percent(chance[1], 0)} to "
        f"{percent(chance[2], 0)}%), averaged over the data sets. {about_friedman(found)}"
    )
    return sentence, evidence + _gaps(found)


def _gaps(found: Mapping[str, Any]) -> str:
    """The sentence on models that did not run everywhere; empty if there are none."""
    if not found["missing"]:
        return ""
    words = [f"{gap['model']} on {gap['data']}" for gap in found["missing"]]
    lost = "are not tested" if found["cross_validation"] else "have no average rank"
    return f" Missing: {join(words)}; models with a gap {lost}."


def undecided(pair: Mapping[str, Any]) -> str:
    """The sentence on two models of which none is better on any data set."""
    found = across.tally(pair)
    both, unclear, single = f"{pair['a']} and {pair['b']}", found[UNCLEAR], found[ONE_SEED]
    where = "any of " * ((unclear or single) > 1) + number_of(unclear or single)
    if not unclear:
        return f"No verdict on {both}: one seed is not enough, on {where}."
    untested = f" (no verdict on {single}: one seed)" * bool(single)
    return f"{both} are not distinguishable on {where}{untested}."


def of_folds(found: Mapping[str, Any]) -> tuple[str, str]:
    """The same for the folds of one data set."""
    folds, base = found["cross_validation"], found["baseline"]
    number = folds["folds"]
    pair = next((p for p in folds["pairs"] if base in (None, p["a"], p["b"])), None)
    if pair is None:
        return f"Only one model ran on all {number} folds: there is nothing to compare it with.", ""
    size = f"{abs(100 * pair['value']):.1f} points of {found['metric']}"
    told = f"{pair['a']} is {pair['verdict']} than {pair['b']} over {number} folds, by {size}."
    if pair["verdict"] == UNCLEAR:
        told = f"{pair['a']} and {pair['b']} are not distinguishable over {number} folds."
    return told, (
        f"Difference {points(pair['value'])} points, {level(found)} "
        f"{bounds(pair['interval'], signed=True)}; {p_value(pair['p_holm'])}; with the corrected "
        f"resampled variance of Nadeau and Bengio (2003), since folds share training images "
        f"(tested / trained on = {folds['share']:.2f}).{_gaps(found)}"
    )


def about_friedman(found: Mapping[str, Any]) -> str:
    """What Friedman's test says, or why nothing is said."""
    number, ranks = len(found["studies"]), found["ranks"]
    if number < FEWEST_FOR_FRIEDMAN:
        return (
            f"No Friedman test and no critical difference: {number} data sets are fewer than "
            f"{FEWEST_FOR_FRIEDMAN}, with which these tests can show nothing."
        )
    if ranks is None or ranks["friedman_p"] is None:
        return "No Friedman test: it needs three models that ran on every data set."
    return (
        f"Friedman's test of equal ranks: {p_value(ranks['friedman_p'])}; average ranks must "
        f"differ by {ranks['critical_difference']:.2f} (Nemenyi)."
    )


def invalid(audits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The sentence that the verdict ends with if the comparison of a study is invalid."""
    found = {
        name: [entry["field"] for entry in entries if entry["grade"] == INVALIDATES]
        for name, entries in audits.items()
    }
    words = [
        f"on {name} the runs differ in {join(fields)}" for name, fields in found.items() if fields
    ]
    return f" But the comparison is invalid: {join(words)}." if words else ""
