"""Regular expressions in configs, which may come from an untrusted file: they cannot hang.

Python's `re` tries all ways in which the repetitions of an expression can share a text. `(a+)+b`
has 2^n of them for n letters, which takes forever for a name of 40 letters. Here the ways are
counted before anything is matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from math import factorial
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_WAYS = 10**9  # seconds, for a worst-case text
MOST_NESTED = 16  # repetitions of something that can itself match in several ways


class Regex:
    """A regular expression that is matched in bounded time.

    Args:
        expression: the expression in Python's syntax.

    Raises:
        ValueError: it is invalid, or repeats something that can itself match in several ways.
    """

    def __init__(self, expression: str) -> None:
        try:
            self._compiled = re.compile(expression)
            parsed = _parser.parse(expression)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"'{expression[:200]}' is not a regular expression: {error}") from None
        self.pattern, self.groups = expression, self._compiled.groups
        self._ways = cache(lambda length: _ways_in_order(parsed, length))
        if _is_endless(parsed):
            raise ValueError(
                f"'{expression[:200]}' repeats a group that can match in several ways, like (a+)+ "
                "or (a|b)*, which can take forever; rewrite it, for example as [ab]+"
            )

    def search(self, text: str) -> re.Match[str] | None:
        """As `re.search`.

        Raises:
            ValueError: the text is too long for the number of repetitions.
        """
        self._check(text, starts=len(text) + 1)
        return self._compiled.search(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """As `re.fullmatch`; errors as `search`."""
        self._check(text, starts=1)
        return self._compiled.fullmatch(text)

    def _check(self, text: str, starts: int) -> None:
        if starts * self._ways(len(text)) > MOST_WAYS:
            raise ValueError(
                f"'{self.pattern[:200]}' has too many repetitions for a text of {len(text)} "
                f"characters ('{text[:40]}...'); write it with fewer * and +"
            )


def _contents(operation: str, argument: Any) -> list[Any]:
    """The parts inside a part: one sequence, or one per alternative."""
    if operation.endswith("_REPEAT"):
        return [argument[2]]
    if operation == "BRANCH":
        return list(argument[1])
    if operation == "GROUPREF_EXISTS":
        return [branch or () for branch in argument[1:]]
    if operation in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [argument[-1]]
    return [argument] if operation == "ATOMIC_GROUP" else []


def _is_endless(parts: Iterable[Any]) -> bool:
    """Whether the number of ways grows exponentially with the text."""
    for operation, argument in parts:
        contents = _contents(str(operation), argument)
        is_repeated = str(operation).endswith("_REPEAT") and argument[1] > MOST_NESTED
        if any(is_repeated and _ways(content, 2)[0] > 1 for content in contents):
            return True
        if any(map(_is_endless, contents)):
            return True
    return False


def _ways_in_order(parts: Iterable[Any], length: int) -> int:
    """Upper bound on the number of ways to match a text of some length from its start."""
    ways, repeats = _ways(parts, length)
    # Consecutive repetitions share the text: their ends are in order.
    return ways // factorial(repeats)


def _ways(parts: Iterable[Any], length: int) -> tuple[int, int]:
    """Ways to match parts in sequence, and how many of them are long repetitions."""
    ways, repeats = 1, 0
    flat = _flat(parts)
    for (operation, argument), following in zip(flat, [*flat[1:], None], strict=False):
        found = [_ways(content, length) for content in _contents(str(operation), argument)]
        if not found:
            continue
        each, nested = sum(each for each, _ in found), min(nested for _, nested in found)
        if str(operation).endswith("_REPEAT") and not _ends_at(argument[2], following):
            least, most = int(argument[0]), min(int(argument[1]), length)
            counts = max(1, most - least + 1)
            nested += counts > length // 2 + 1
            each = counts * (each ** max(1, min(most, MOST_NESTED)))
        ways, repeats = ways * each, repeats + nested
    return ways, repeats


def _flat(parts: Iterable[Any]) -> list[Any]:
    """The parts with groups replaced by their content."""
    found: list[Any] = []
    for operation, argument in parts:
        group = str(operation) == "SUBPATTERN"
        found += _flat(argument[-1]) if group else [(operation, argument)]
    return found


def _ends_at(content: Any, following: Any) -> bool:
    """Whether a repetition can end in only one way, as in `[^/]*/`: at the first other letter."""
    if following is None or str(following[0]) != "LITERAL" or len(content) != 1:
        return False
    operation, argument = content[0]
    if str(operation) == "NOT_LITERAL":
        return bool(argument == following[1])
    if str(operation) != "IN" or str(argument[0][0]) != "NEGATE":
        return False
    return any(str(kind) == "LITERAL" and letter == following[1] for kind, letter in argument[1:])
