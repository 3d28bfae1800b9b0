"""Findings of a data set check, and problems that only show across splits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from segbench.data.dataset import SPLITS, Record


@dataclass
class Finding:
    """One problem or peculiarity of a data set.

    Args:
        severity: an error corrupts results; a warning is worth knowing; a hint is a question that
            only the user can answer, not a problem.
        kind: type of the finding, one word.
        split: the split, or `train+val` for several.
        message: text for the user, with values and a remedy.
        files: the files concerned, each once (a volume is one file for many images).
        keys: keys of the data set to add, with their values as in YAML.
    """

    severity: Literal["error", "warning", "hint"]
    kind: str
    split: str
    message: str
    files: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files = list(dict.fromkeys(self.files))

    @property
    def yaml(self) -> list[str]:
        """The keys as lines of YAML."""
        return [f"{key}: {value}" for key, value in self.keys.items()]


@dataclass
class SplitStatistics:
    """Statistics of a split.

    Args:
        records: its images that could be read, in order.
        counts: pixels per class and image, ignored ones last; int64 `[N, num_classes + 1]`.
        digests: hash of the pixels of every image; empty if all its pixels are equal.
        sizes: `(H, W)` -> number of images.
        mean: RGB mean of values in 0..1.
        std: RGB standard deviation of values in 0..1.
    """

    records: list[Record]
    counts: np.ndarray
    digests: list[str]
    sizes: dict[tuple[int, int], int]
    mean: list[float]
    std: list[float]


def across_splits(statistics: dict[str, SplitStatistics]) -> list[Finding]:
    """Finds leaks, duplicates, and groups that occur in several splits."""
    findings: list[Finding] = []
    across = dict(statistics)
    if _same_files(statistics):
        text = (
            "val and test are the same images: do not select on val (selection=last), or hold "
            "out other images of train."
        )
        findings.append(Finding("warning", "same", "val+test", text))
        del across["val"]
    findings += _duplicates(across)
    findings += _straddling(across)
    findings += _ungrouped(across)
    return findings


def _same_files(statistics: dict[str, SplitStatistics]) -> bool:
    """Whether a source without a labeled test split returns val as test."""
    if not {"val", "test"} <= statistics.keys():
        return False
    val, test = ([r.image for r in statistics[split].records] for split in ("val", "test"))
    return bool(val) and val == test and None not in val


def _duplicates(statistics: dict[str, SplitStatistics]) -> list[Finding]:
    places: dict[str, list[tuple[str, Record]]] = defaultdict(list)
    for split, measured in statistics.items():
        for record, digest in zip(measured.records, measured.digests, strict=True):
            places[digest].append((split, record))
    found: dict[str, list[str]] = defaultdict(list)
    for digest, copies in places.items():
        if len(copies) > 1 and digest:  # blank slices and tiles are alike everywhere
            splits = "+".join(sorted({split for split, _ in copies}, key=SPLITS.index))
            found[splits].append(" = ".join(_place(record) for _, record in copies))
    findings = []
    for splits, files in found.items():
        leak = "+" in splits
        text = f"{len(files)} image(s) occur more than once" + (
            f" across {splits}: a leak. Remove them from one split." if leak else "."
        )
        kind = "leak" if leak else "duplicate"
        findings.append(Finding("error" if leak else "warning", kind, splits, text, files))
    return findings


def _place(record: Record) -> str:
    """The file of an image, or the name of a slice."""
    return record.name if record.image is None or record.part is not None else str(record.image)


def _straddling(statistics: dict[str, SplitStatistics]) -> list[Finding]:
    members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split, measured in statistics.items():
        for record in measured.records:
            members[record.group][split].append(record.name)
    findings = []
    for group, by_split in members.items():
        if len(by_split) > 1:
            parts = [f"{len(names)} in {s}{_span(s, by_split)}" for s, names in by_split.items()]
            text = (
                f"group {group} is in more than one split: {', '.join(parts)}. Its images are "
                "correlated, so scores are optimistic; split by group, or report this."
            )
            findings.append(Finding("warning", "group", "+".join(by_split), text))
    return findings


def _ungrouped(statistics: dict[str, SplitStatistics]) -> list[Finding]:
    groups = [record.group for measured in statistics.values() for record in measured.records]
    if len(groups) < 2 or len(set(groups)) < len(groups):
        return []
    text = (
        "every image is its own group, so images are treated as independent. If they are video "
        "frames, set data.group_regex: otherwise intervals are too narrow and data.ratio divides "
        "videos."
    )
    return [Finding("hint", "ungrouped", "+".join(statistics), text)]


def _span(split: str, by_split: Mapping[str, list[str]]) -> str:
    """Range of the frame numbers in the names, if all have one, and its position to train's."""
    numbers = {s: [re.search(r"(\d+)$", name) for name in names] for s, names in by_split.items()}
    ranges = {s: sorted(int(m[1]) for m in found if m) for s, found in numbers.items()}
    if any(len(ranges[s]) < len(names) for s, names in by_split.items()):
        return ""
    low, high = ranges[split][0], ranges[split][-1]
    train = ranges.get("train", [0])
    inside = split != "train" and train[0] < low and high < train[-1]
    return f" (frames {low}-{high}{', inside the range of train' if inside else ''})"
