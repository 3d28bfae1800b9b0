"""Problems of single files, reported once for all files that share them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from segbench.data.dataset import Record
from segbench.data.findings import Finding

INTERPOLATED = "interpolated"  # kind of a mask with far more values than there are classes
_SHARE = re.compile(r" on [\d.]+% of the pixels")
_NUMBERS = re.compile(r"\d+(?:\.\d+)?%|\d+x\d+|\d+ (?=such|colors)|most often \([^)]*\)")


@dataclass(frozen=True)
class Fault:
    """A problem of one file.

    Args:
        record: its image and mask.
        kind: type of the problem.
        text: message that names the file.
        file: the file with the problem.
    """

    record: Record
    kind: str
    text: str
    file: Path | None

    @property
    def sentence(self) -> str:
        """The text without the names of the files."""
        text = self.text
        for path in (self.record.mask, self.record.image):
            text = text.replace(str(path or self.record.name), "").removeprefix(": ")
        return text


def grouped(split: str, total: int, faults: list[Fault]) -> list[Finding]:
    """One error for each kind of problem, with the number of its files and an example.

    Args:
        split: split of the files.
        total: number of pairs in it.
        faults: one for each file.
    """
    alike: dict[tuple[str, str], list[Fault]] = defaultdict(list)
    for fault in faults:
        # Of interpolated masks, each has other values.
        sentence = "" if fault.kind == INTERPOLATED else fault.sentence
        alike[fault.kind, _NUMBERS.sub("", _SHARE.sub("", sentence))].append(fault)
    return [_finding(split, total, same) for same in alike.values()]


def _finding(split: str, total: int, faults: list[Fault]) -> Finding:
    first = faults[0]
    files = [str(fault.file or fault.record.name) for fault in faults]
    text = first.text
    if len(faults) > 1:
        where = f"on {len(faults)} of {total} masks, e.g. {files[0]}"
        if first.kind != INTERPOLATED and _SHARE.search(first.sentence):
            text = _SHARE.sub(lambda _: f" {where},", first.sentence, count=1).replace(",;", ";")
        else:
            text = f"{len(faults)} of {total} files, e.g. {first.text}"
    return Finding("error", first.kind, split, text, files)
