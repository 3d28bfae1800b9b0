"""What the pages of the repository show: commands, and keys in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = (
    "README.md",
    "SECURITY.md",
    "experiments/README.md",
    "segbench/assets/project/README.md",
    *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))),
)
_BLOCK = re.compile(r"^( *)```bash\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_VERB = re.compile(r"\b(?:python -m segbench\.|python -m segbench |segbench )(\w+)\b(.*)")
_START = re.compile(r"^(python -m segbench[. ]|segbench |torchrun |srun )")


@dataclass(frozen=True)
class Shown:
    """A command on a page: the verb, and its words as a shell would split them."""

    page: str
    verb: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.verb} {shlex.join(self.words)}"


def blocks(text: str) -> list[str]:
    """The bash blocks of a page, without what they are indented by."""
    return [re.sub(f"^{indent}", "", b, flags=re.M) for indent, b in _BLOCK.findall(text)]


def lines(block: str) -> Iterator[str]:
    """The commands of a block: continued lines are joined, variables set, and `&&` separates."""
    variables: dict[str, str] = {}
    for line in block.replace("\\\n", " ").splitlines():
        if found := re.fullmatch(r'([A-Z]+)="(.*)"', line):
            variables[found[1]] = found[2]
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        for part in re.split(r"\s&&\s", line):
            if part.strip() and not part.lstrip().startswith("#"):
                yield part.strip()


def commands(page: str) -> Iterator[Shown]:
    """The commands of segbench that a page shows, in blocks and in running text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    in_blocks = [line for block in blocks(text) for line in lines(block)]
    in_text = [code for code in _INLINE.findall(text) if "=" in code or " -cn " in code]
    for line in (*in_blocks, *in_text):
        found = _VERB.search(line) if _START.match(line) else None
        if found:
            yield Shown(page, found[1], tuple(shlex.split(found[2], comments=True)))


def assignments(page: str) -> Iterator[tuple[str, str]]:
    """Every dotted KEY=VALUE in running text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for code in _INLINE.findall(re.sub(r"^( *)```.*?^\1```", "", text, flags=re.S | re.M)):
        for word in code.split():
            key, equals, value = word.lstrip("+~'\"").partition("=")
            if equals and re.fullmatch(r"[a-z_]+(\.[a-zA-Z_]+)+", key):
                yield key, value


def page_of(name: str) -> Path:
    """The file of a page."""
    return ROOT / name
