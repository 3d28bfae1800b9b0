"""Escapes user-supplied text (names of classes, models, studies and files) for each output format.

There is one function per format: its result is displayed there as typed, and is never syntax.
HTML pages are written with jinja, which escapes by itself; figures have their own module
(`figures`).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

# Control characters, marks that change the text direction, and unpaired surrogates (bytes of a
# file name that are not UTF-8), which cannot be encoded at all. Newlines and tabs stay.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "−": "$-$", "–": "--", "±": r"$\pm$", "²": r"$^2$",
}  # fmt: skip
_MARKDOWN = re.compile(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)|(?<!\w)~|~(?!\w)")
_HTML = re.compile(r"&(?=[#\w])|<(?=[\w/!?])|^>")  # start of an entity, a tag or a quotation
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN_WORD = re.compile(r"[\w@+=:./\\-]+", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NO_FILE_NAME = re.compile(rf'[\n\t<>:"/\\|?*]|{_UNSAFE.pattern}')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_NOT_IN_FILES = re.compile(rf"{_NO_FILE_NAME.pattern}|[. ]$|%(?=[0-9A-Fa-f]{{2}})")
_NO_MLFLOW_KEY = re.compile(r"[^a-zA-Z0-9_. -]")  # parts are separated by /
LONGEST_MLFLOW_KEY = 250  # characters
LONGEST_FILE_NAME = 120  # bytes in UTF-8: leaves room for suffixes on encrypted disks


def terminal(text: str) -> str:
    """Replaces control characters and what cannot be encoded: ESC becomes `\\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """As `terminal`, and without newlines and tabs."""
    return terminal(text).replace("\n", r"\n").replace("\t", r"\t")


def markdown(text: str) -> str:
    """Escapes text for Markdown, also in table cells: no HTML, emphasis, code or link."""
    text = _MARKDOWN.sub(lambda found: "\\" + found[0], one_line(text))
    return _HTML.sub(lambda found: _ENTITIES[found[0]], text)


def markdown_code(text: str) -> str:
    """Formats text as Markdown code, also in table cells; backticks become quotes."""
    return "`" + one_line(text).replace("`", "'").replace("|", r"\|") + "`"


def latex(text: str) -> str:
    """Escapes text for LaTeX, outside of math mode."""
    return "".join(_LATEX.get(char, char) for char in one_line(text))


def csv_cell(value: object) -> object:
    """Escapes a value of a CSV file so that a spreadsheet does not read it as a formula.

    Numbers stay numbers, None becomes an empty cell; text that looks like a formula gets the
    leading quote with which spreadsheets mark text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = terminal(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def shell(words: Iterable[str], windows: bool = os.name == "nt") -> str:
    """A command to paste into a shell; on Windows, into cmd or PowerShell."""
    if not windows:
        return shlex.join(words)
    return " ".join(w if _PLAIN_WORD.fullmatch(w) else _in_double_quotes(w) for w in words)


def _in_double_quotes(word: str) -> str:
    """As the C library of Windows reads it: backslashes are doubled before a quote and the end."""
    inside = re.sub(r'(\\*)("|\Z)', lambda found: 2 * found[1] + found[2].replace('"', r"\""), word)
    return f'"{inside}"'


def mlflow_key(text: str) -> str:
    """A name of a metric or parameter for MLflow; other characters as in Python: `u80cc`."""
    parts = (_NO_MLFLOW_KEY.sub(lambda found: _number(found[0]), p) for p in text.split("/"))
    legal = "/".join(_number(part) if part in ("", ".", "..") else part for part in parts)
    return legal[:LONGEST_MLFLOW_KEY]


def _number(text: str) -> str:
    return "".join(f"u{ord(char):04x}" for char in text) or "_"


def file_name(text: str) -> str:
    """A legal path component for every system; different texts may give the same one."""
    name = _NO_FILE_NAME.sub("_", text).strip(" ").rstrip(". ")
    name = name.encode()[:LONGEST_FILE_NAME].decode(errors="ignore").rstrip(". ")
    if not name or not name.strip("."):
        return "_"
    return f"_{name}" if _DEVICES.match(name) else name


def file_path(name: str) -> str:
    """The path of a file that belongs to an image, legal on every system.

    Different names have different paths. What some system forbids is written as in a URL: `scan:1`
    becomes `scan%3A1`.

    Args:
        name: the name of the image, with `/` between folders.
    """
    return "/".join(map(_legal, name.split("/")))


def _legal(part: str) -> str:
    legal = _NOT_IN_FILES.sub(lambda found: _encoded(found[0]), part)
    return _encoded(legal[0]) + legal[1:] if _DEVICES.match(legal) else legal


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
