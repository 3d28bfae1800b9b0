"""Renders text in figures literally: names are never math, and every character is readable.

`$` starts math mode in matplotlib, and a character that its font lacks becomes an empty box. All
figures of segbench are built and saved inside `plain_text()`, and names pass through `label`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib import font_manager

from segbench.system.escaping import one_line

LONGEST = 40  # characters; longer names leave no room for the figure
# Fonts with characters that DejaVu Sans (shipped with matplotlib) lacks; used if installed.
FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "IPAGothic", "IPAexGothic", "TakaoGothic", "NanumGothic", "UnDotum", "Microsoft YaHei",
    "SimHei", "MS Gothic", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans",
    "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Bengali",
)  # fmt: skip


@contextmanager
def plain_text() -> Iterator[None]:
    """Makes figures render all text literally; also a decorator for functions that plot."""
    families = ["DejaVu Sans", *_installed()]
    with matplotlib.rc_context({"text.parse_math": False, "font.family": families}):
        yield


def label(text: str) -> str:
    """A name for a figure: on one line, not too long, and without missing characters.

    A character that no available font has is shown as its escape sequence in Python.
    """
    text = shortened(text)
    if text.isascii():
        return text
    return "".join(char if ord(char) in _glyphs() else _number(char) for char in text)


def shortened(text: str) -> str:
    """A name on one line of at most `LONGEST` characters."""
    text = one_line(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _number(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


@cache
def _installed() -> tuple[str, ...]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in known)


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the fonts of `plain_text` have."""
    found: set[int] = set()
    for name in ("DejaVu Sans", *_installed()):
        file = font_manager.findfont(name)
        found |= set(font_manager.get_font(file).get_charmap())
    return frozenset(found)
