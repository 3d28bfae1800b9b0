"""Differences, intervals and verdicts in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segbench.comparison.verdicts import BETTER, MOST_IMAGES_FACTOR, MOST_SEEDS, ONE_SEED, WORSE
from segbench.metrics.scores import MISSING, percent


def points(value: float | None, digits: int = 1, factor: int = 100) -> str:
    """A difference of fractions in points, with a sign unless it is rounded to 0: `+1.2`."""
    if value is None:
        return MISSING
    text = f"{factor * value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def bounds(interval: Sequence[float | None], signed: bool = False) -> str:
    """An interval: `55.1 to 58.0`."""
    if None in interval:
        return MISSING
    word = points if signed else percent
    return f"{word(interval[0])} to {word(interval[1])}"


def score_interval(row: Mapping[str, Any]) -> str:
    """The interval of a model's score; of one seed, it is marked as one over images only."""
    text = bounds(row["interval"])
    return text if len(row["seeds"]) > 1 or text == MISSING else f"{text} (images only)"


def p_value(p: float | None, bare: bool = False) -> str:
    """`p = 0.031` or `p < 0.001`; `bare` for a column that is called p: `0.031` or `< 0.001`."""
    if p is None:
        return MISSING if bare else "no p value"
    text = "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
    return text.removeprefix("= ") if bare else f"p {text}"


def verdict(comparison: Mapping[str, Any], instead: str = "", more: str = "") -> tuple[str, str]:
    """The whole comparison: one sentence, and the evidence for it in another.

    Args:
        comparison: see `comparison.compare_runs`.
        instead: a sentence on a margin, in the place of that on the pair.
        more: a sentence that the evidence ends with.
    """
    if comparison["headline"] is None:
        best = comparison["leaderboard"][0]
        return (
            f"Only {best['label']} has finished runs: there is nothing to compare it with.",
            f"It scores {percent(best['value'])}% {comparison['metric']} "
            f"({level(comparison)} {score_interval(best)}).",
        )
    pair = comparison["pairs"][comparison["headline"]]
    sentence, evidence = _pair_sentences(pair, comparison)
    if instead:  # which does not say whose score is the higher one
        evidence = f"{pair['a']} − {pair['b']}: d{evidence.removeprefix('D')}"
    sentence, evidence = instead or sentence, f"{evidence} {more}".rstrip()
    broken = [
        finding["field"] for finding in comparison["audit"] if finding["grade"] == "invalidates"
    ]
    if broken:
        sentence += f" But the comparison is invalid: the runs differ in {join(broken)}."
    return sentence, evidence


def _pair_sentences(pair: Mapping[str, Any], comparison: Mapping[str, Any]) -> tuple[str, str]:
    a, b = pair["a"], pair["b"]
    seeds = {row["label"]: len(row["seeds"]) for row in comparison["leaderboard"]}
    size = _size(pair["value"], comparison["metric"])
    number = len(comparison["pairs"])
    if None in pair["interval"]:
        fewest = min(seeds[a], seeds[b])
        interval = f"{_number(fewest)} seed{'s' * (fewest > 1)} give{'s' * (fewest == 1)} no usable"
        interval += f" {level(comparison)}"
    else:
        interval = f"{level(comparison)} {bounds(pair['interval'], signed=True)}"
    evidence = (
        f"Difference {points(pair['value'])} points, {interval}; {p_value(pair['p_holm'])}"
        + (f" after correction for {number} pairs" if number > 1 else "")
        + f"; {_seeds(seeds[a], seeds[b])}."
    )
    if pair["verdict"] in (BETTER, WORSE):
        return f"{a} is {pair['verdict']} than {b}, by {size}.", evidence
    if pair["verdict"] == ONE_SEED:
        single = join([label for label in (a, b) if seeds[label] < 2])
        return (
            f"No verdict: one seed of {single} is not enough. {a} scored {size} more than {b}.",
            f"{evidence} The interval does not include the variance over seeds.",
        )
    return (
        f"{a} and {b} are not distinguishable: {a} scored {size} more, which is within the noise.",
        f"{evidence} {needed(pair, comparison)}",
    )


def _size(value: float, metric: str) -> str:
    """The size of a difference of fractions, for a sentence: `1.2 points of mIoU`."""
    size = f"{abs(100 * value):.1f}"
    return f"{size if float(size) or not value else 'less than 0.1'} points of {metric}"


def _seeds(a: int, b: int) -> str:
    if a == b:
        return "one seed each" if a == 1 else f"{a} seeds each"
    return f"{a} and {b} seeds"


def needed(pair: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """A sentence on what would be needed to show the observed difference."""
    if not pair["has_power"]:
        return (
            "With fewer than four seeds of each model, the number of seeds or images needed to "
            "show such a difference cannot be estimated."
        )
    most = int(MOST_IMAGES_FACTOR * comparison["num_images"])
    seeds, images = pair["seeds_needed"], pair["images_needed"]
    ways = (
        f"about {seeds} seeds" if seeds else f"more than {MOST_SEEDS} seeds",
        f"about {images:,} images" if images else f"more than {most:,} images",
    )
    return (
        f"Showing a difference of this size would take {ways[0]} of each model on these images, "
        f"or {ways[1]} with these seeds."
    )


def level(comparison: Mapping[str, Any]) -> str:
    """`95% interval`, or `approximate 95% interval`."""
    word = "approximate " * comparison["approximate"]
    return f"{word}{100 * comparison['confidence']:.4g}% interval"


def about(is_approximate: bool) -> str:
    """What an interval in a cell begins with: `about` if it is approximate."""
    return "about " * is_approximate


def _number(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return words[count] if count < len(words) else str(count)


def join(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
