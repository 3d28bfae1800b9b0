"""Text that a person typed (class, model, study and file names), made safe where it is written.

One function for each border: what comes back is shown there as it was typed, and is never syntax.
Pages are HTML by jinja, which escapes by itself; figures have a module of their own (`figures`).
"""

from __future__ import annotations

import re

# Control characters, marks that turn the direction of a line, and halves of surrogate pairs (bytes
# of a file name that are no UTF-8), which cannot be encoded at all. Line ends and tabs stay.
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
_HTML = re.compile(r"&(?=[#\w])|<(?=[\w/!?])|^>")  # what begins an entity, a tag or a quotation
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NO_FILE_NAME = re.compile(rf'[\n\t<>:"/\\|?*]|{_UNSAFE.pattern}')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
LONGEST_FILE_NAME = 120  # bytes in UTF-8: room for endings, and for the limits of encrypted disks


def terminal(text: str) -> str:
    """Text that moves no cursor, changes no color and can be encoded: ESC is shown as `\\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """As `terminal`, and without line ends and tabs."""
    return terminal(text).replace("\n", r"\n").replace("\t", r"\t")


def markdown(text: str) -> str:
    """Text in Markdown, also in a cell of a table: neither HTML nor emphasis, code or a link."""
    text = _MARKDOWN.sub(lambda found: "\\" + found[0], one_line(text))
    return _HTML.sub(lambda found: _ENTITIES[found[0]], text)


def markdown_code(text: str) -> str:
    """Text in Markdown as code, also in a cell of a table; backticks become quotes."""
    return "`" + one_line(text).replace("`", "'").replace("|", r"\|") + "`"


def latex(text: str) -> str:
    """Text in LaTeX, outside of math."""
    return "".join(_LATEX.get(char, char) for char in one_line(text))


def csv_cell(value: object) -> object:
    """A value of a CSV file for people, where a spreadsheet must find no formula in it.

    Numbers stay numbers, None becomes an empty cell; text that begins as a formula gets the quote
    with which spreadsheets mark text.
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


def file_name(text: str) -> str:
    """One component of a path that is legal on every system; different texts may become alike."""
    name = _NO_FILE_NAME.sub("_", text).strip(" ").rstrip(". ")
    name = name.encode()[:LONGEST_FILE_NAME].decode(errors="ignore").rstrip(". ")
    if not name or not name.strip("."):
        return "_"
    return f"_{name}" if _DEVICES.match(name) else name
