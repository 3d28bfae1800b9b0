"""Shared by all campaigns: draws by number, requirements on errors, the final table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

LONGEST_MESSAGE = 2_000


def refused(error: Exception, names: str) -> str:
    """Checks that an error is short and names the problem; returns `refused`."""
    assert names in str(error), error
    assert len(str(error)) < LONGEST_MESSAGE, error
    return "refused"


def show(title: str, seed: int, counts: Counter[tuple[str, str]], capsys: Any) -> None:
    """Prints the table of a campaign: how often each thing ended in which way."""
    rows = list(dict.fromkeys(row for row, _ in counts))
    ends = list(dict.fromkeys(end for _, end in counts))
    wide = max(map(len, [title, *rows]))
    with capsys.disabled():
        print(f"\n{title:{wide}} " + " ".join(f"{end:>12}" for end in ends) + f"   (seed {seed})")
        for row in rows:
            print(f"{row:{wide}} " + " ".join(f"{counts[row, end]:12}" for end in ends))


def draws(seed: int, number: int) -> random.Random:
    """The random state of one try, so that it can be repeated alone."""
    return random.Random(f"{seed} {number}")


def each(
    seed: int, numbers: range, end: Callable[[int, random.Random], tuple[str, str]]
) -> Counter[tuple[str, str]]:
    """Counts how the tries end; an error names its number, with which it can be repeated."""
    ends: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        try:
            ends[end(number, draws(seed, number))] += 1
        except Exception as error:
            raise AssertionError(f"number {number}: {type(error).__name__}: {error}") from error
    return ends
