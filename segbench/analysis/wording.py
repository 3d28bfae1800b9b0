"""Numbers and verdicts in words. Fractions become percent here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segbench.analysis.verdicts import BETTER, ONE_SEED, WORSE

MISSING = "–"


def percent(value: float | None, digits: int = 1) -> str:
    """0.567 as `56.7`."""
    return MISSING if value is None else f"{100 * value:.{digits}f}"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of fractions in points, always with a sign: 0.012 as `+1.2`."""
    return MISSING if value is None else f"{100 * value:+.{digits}f}".replace("-", "−")


def bounds(interval: Sequence[float | None], signed: bool = False) -> str:
    """An interval: `55.1 to 58.0`."""
    word = points if signed else percent
    return f"{word(interval[0])} to {word(interval[1])}"


def p_value(p: float | None) -> str:
    """`p = 0.031` or `p < 0.001`."""
    if p is None:
        return "no p value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def verdict(comparison: Mapping[str, Any]) -> str:
    """The whole comparison in one sentence (two where the answer is not to be trusted)."""
    if comparison["headline"] is None:
        best = comparison["leaderboard"][0]
        return (
            f"Only {best['label']} has finished runs ({percent(best['value'])}% mIoU): "
            "there is nothing to compare it with."
        )
    pair = comparison["pairs"][comparison["headline"]]
    sentence = _pair_sentence(pair, comparison)
    broken = [
        finding["field"] for finding in comparison["audit"] if finding["grade"] == "invalidates"
    ]
    if broken:
        sentence += f" But the comparison does not hold: the runs differ in {join(broken)}."
    return sentence


def _pair_sentence(pair: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    a, b = pair["a"], pair["b"]
    seeds = {row["label"]: len(row["seeds"]) for row in comparison["leaderboard"]}
    level = f"{100 * comparison['confidence']:.0f}% interval"
    size = f"{abs(100 * pair['value']):.1f} points of mIoU"
    if pair["verdict"] in (BETTER, WORSE):
        return (
            f"{a} is {pair['verdict']} than {b}, by {size} ({level} "
            f"{bounds(pair['interval'], signed=True)}; {_evidence(pair, comparison)}; "
            f"{seeds[a]} and {seeds[b]} seeds)."
        )
    if pair["verdict"] == ONE_SEED:
        single = join([label for label in (a, b) if seeds[label] < 2])
        return (
            f"No verdict: {single} has one seed, and one seed proves nothing. "
            f"{a} scored {size} more than {b}."
        )
    return (
        f"{a} and {b} are not distinguishable: {a} scored {size} more, but the {level} of the "
        f"difference is {bounds(pair['interval'], signed=True)} "
        f"({_evidence(pair, comparison)}). {needed(pair)}"
    )


def _evidence(pair: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    number = len(comparison["pairs"])
    text = p_value(pair["p_holm"])
    return text + (f" after correction for {number} pairs" if number > 1 else "")


def needed(pair: Mapping[str, Any]) -> str:
    """What it would take to show the observed difference."""
    ways = []
    if pair["seeds_needed"]:
        ways.append(f"about {pair['seeds_needed']} seeds of each on these images")
    if pair["images_needed"]:
        ways.append(f"about {pair['images_needed']:,} images with these seeds")
    if not ways:
        return "More seeds or more images alone would not settle a difference this small."
    return f"To show a difference of this size would take {' or '.join(ways)}."


def join(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
