"""Reads every file of a data set once and finds what would corrupt a result."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import cv2
import numpy as np
from rich.progress import Progress

from segbench.data.classes import DataError
from segbench.data.dataset import SPLITS, Record, Source
from segbench.data.decoding import orientation
from segbench.data.files import UnpairedError, cores, read_raw_mask
from segbench.data.folder import Folder
from segbench.data.frames import SourceFrames

_LOSSY = (".jpg", ".jpeg", ".webp")


@dataclass
class Finding:
    """Something wrong or remarkable.

    Args:
        severity: an error corrupts results; a warning should be known.
        kind: what it is in one word.
        split: where, `train+val` for several.
        message: for people; names values and remedy.
        files: the files concerned.
    """

    severity: Literal["error", "warning"]
    kind: str
    split: str
    message: str
    files: list[str] = field(default_factory=list)


@dataclass
class SplitStatistics:
    """What was measured on a split.

    Args:
        records: its images, in order, those that could be read.
        counts: pixels per class and image, ignored ones last; int64 `[N, num_classes + 1]`.
        digests: hash of the pixels of every image.
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


@dataclass
class Measured:
    """What one image gave; `sums` and `squares` are over its pixels, per channel of 0..1 RGB."""

    counts: np.ndarray
    digest: str
    size: tuple[int, int]
    sums: np.ndarray
    squares: np.ndarray
    orientation: int  # of EXIF


def check(source: Source) -> tuple[list[Finding], dict[str, SplitStatistics]]:
    """Checks all splits of a source.

    Returns:
        What was found, errors first, and the statistics of every split.
    """
    findings: list[Finding] = []
    statistics: dict[str, SplitStatistics] = {}
    if isinstance(source, Folder):
        everywhere = "+".join(SPLITS)
        findings += [Finding("error", "classes", everywhere, str(e)) for e in source.survey()]
    for split in SPLITS:
        records = _records(source, split, findings)
        if records:
            statistics[split] = _measure(source, split, records, findings)
    findings += _duplicates(statistics)
    findings += _straddling(statistics)
    for split, measured in statistics.items():
        findings += _labels(source, split, measured)
    findings.sort(key=lambda finding: finding.severity != "error")
    return findings, statistics


def _records(source: Source, split: str, findings: list[Finding]) -> list[Record]:
    try:
        records = source.records(split)
    except UnpairedError as error:
        findings += [Finding("error", error.kind, split, text) for text in error.problems]
        return error.records
    except DataError as error:
        findings.append(Finding("error", "missing", split, str(error)))
        return []
    if not records:
        findings.append(Finding("error", "missing", split, f"the {split} split is empty"))
    return records


def _measure(
    source: Source, split: str, records: list[Record], findings: list[Finding]
) -> SplitStatistics:
    frames = SourceFrames(source, records)
    good: list[Record] = []
    measured: list[Measured] = []
    lossy = [str(r.mask) for r in records if _is_lossy(r)]
    if lossy:
        text = (
            f"{len(lossy)} mask(s) are in a lossy format, which blurs labels. Export them as PNG."
        )
        findings.append(Finding("error", "compressed", split, text, lossy))
    for record, result in zip(records, _read_all(frames, split), strict=True):
        if isinstance(result, DataError):
            of_image = result.kind == "unreadable" and str(record.mask) not in str(result)
            path = record.image if of_image else record.mask
            kind = _refined(result.kind, record, source.classes.num_classes)
            text = str(result) + _ADVICE.get(kind, "")
            findings.append(Finding("error", kind, split, text, [str(path or record.name)]))
        else:
            good.append(record)
            measured.append(result)
    turned = [str(r.image) for r, m in zip(good, measured, strict=True) if m.orientation != 1]
    if turned:
        text = (
            f"{len(turned)} image(s) are stored turned (EXIF orientation) and read as displayed. "
            "Their masks must be drawn for the image as displayed: see samples.png."
        )
        findings.append(Finding("warning", "exif", split, text, turned))
    return _summarize(good, measured, source.classes.num_classes)


def _read_all(frames: SourceFrames, split: str) -> Iterator[Measured | DataError]:
    """Measures all frames in order on all cores, few at a time."""

    def measure(index: int) -> Measured | DataError:
        try:
            image, mask = frames.read(index)
        except DataError as error:
            return error
        num_classes = frames.source.classes.num_classes
        histogram = np.bincount(mask.ravel(), minlength=256)
        counts = np.append(histogram[:num_classes], histogram[num_classes:].sum())
        mean, std = (values[:, 0] / 255 for values in cv2.meanStdDev(image))
        pixels = mask.size
        size = (image.shape[0], image.shape[1])
        digest = hashlib.blake2b(repr(size).encode() + image.tobytes()).hexdigest()
        turn = orientation(frames.records[index].image)
        return Measured(counts, digest, size, mean * pixels, (std**2 + mean**2) * pixels, turn)

    workers = cores()
    positions = iter(range(len(frames)))
    with ThreadPoolExecutor(workers) as pool, Progress(transient=True) as progress:
        task = progress.add_task(f"Reading {split}", total=len(frames))
        while chunk := list(islice(positions, 16 * workers)):
            for result in pool.map(measure, chunk):
                progress.advance(task)
                yield result


def _summarize(
    records: list[Record], measured: list[Measured], num_classes: int
) -> SplitStatistics:
    counts = np.array([m.counts for m in measured]).reshape(-1, num_classes + 1)
    pixels = max(1, int(counts.sum()))
    mean = np.sum([m.sums for m in measured], axis=0) / pixels if measured else np.zeros(3)
    squares = np.sum([m.squares for m in measured], axis=0) / pixels if measured else np.zeros(3)
    sizes: dict[tuple[int, int], int] = defaultdict(int)
    for one in measured:
        sizes[one.size] += 1
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    digests = [one.digest for one in measured]
    return SplitStatistics(records, counts, digests, dict(sizes), mean.tolist(), std.tolist())


def _duplicates(statistics: dict[str, SplitStatistics]) -> list[Finding]:
    places: dict[str, list[tuple[str, Record]]] = defaultdict(list)
    for split, measured in statistics.items():
        for record, digest in zip(measured.records, measured.digests, strict=True):
            places[digest].append((split, record))
    found: dict[str, list[str]] = defaultdict(list)
    for copies in places.values():
        if len(copies) > 1:
            splits = "+".join(sorted({split for split, _ in copies}, key=SPLITS.index))
            found[splits].append(" = ".join(str(r.image or r.name) for _, r in copies))
    findings = []
    for splits, files in found.items():
        leak = "+" in splits
        text = f"{len(files)} image(s) occur more than once" + (
            f" across {splits}: a leak. Remove them from one split." if leak else "."
        )
        kind = "leak" if leak else "duplicate"
        findings.append(Finding("error" if leak else "warning", kind, splits, text, files))
    return findings


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
                f"group {group} straddles splits: {', '.join(parts)}. Its images are correlated, "
                "so scores flatter; split by group, or say so."
            )
            findings.append(Finding("warning", "group", "+".join(by_split), text))
    return findings


def _labels(source: Source, split: str, measured: SplitStatistics) -> list[Finding]:
    names, counts = source.classes.names, measured.counts
    labelled, ignored = counts[:, :-1], counts[:, -1]
    findings = []
    absent = [name for name, n in zip(names, labelled.sum(axis=0), strict=True) if n == 0]
    blank = [
        str(r.mask) for r, n in zip(measured.records, labelled.sum(axis=1), strict=True) if not n
    ]
    first_only = labelled[:, 1:].sum() == 0 and labelled[:, 0].sum() > 0
    if first_only and ignored.sum() and len(names) > 1:
        text = (
            f"every pixel is '{names[0]}' or ignored ({ignored.sum() / counts.sum():.1%}): binary "
            "masks of 0 and 255, whose 255 is read as ignore? Use mask_type: binary, or a "
            f"label_map such as {{{names[0]}: [0], {names[1]}: [255]}}."
        )
        findings.append(Finding("error", "binary", split, text))
    elif absent and len(absent) < len(names):
        text = f"class(es) absent from {split}: {', '.join(absent)}."
        findings.append(Finding("warning", "absent", split, text))
    if blank and len(blank) == len(measured.records):
        findings.append(Finding("warning", "unlabelled", split, f"{split} has no labels at all."))
    elif blank:
        text = f"{len(blank)} mask(s) hold no labelled pixel."
        findings.append(Finding("warning", "unlabelled", split, text, blank))
    return findings


def _is_lossy(record: Record) -> bool:
    own_file = record.mask is not None and record.mask != record.image
    return own_file and record.mask.suffix.lower() in _LOSSY  # type: ignore[union-attr]


def _refined(kind: str, record: Record, num_classes: int) -> str:
    """A mask with far more values than classes was interpolated, not mislabelled."""
    if kind not in ("label", "color") or record.mask is None:
        return kind
    try:
        raw: Any = read_raw_mask(record.mask)
    except DataError:  # its values are no labels at all
        return kind
    values = np.unique(raw.reshape(-1, raw.shape[2]) if raw.ndim == 3 else raw, axis=0)
    return "interpolated" if len(values) > 2 * num_classes + 8 else kind


def _span(split: str, by_split: Mapping[str, list[str]]) -> str:
    """The frame numbers at the ends of the names, if all have one, and how they lie to train's."""
    numbers = {s: [re.search(r"(\d+)$", name) for name in names] for s, names in by_split.items()}
    ranges = {s: sorted(int(m[1]) for m in found if m) for s, found in numbers.items()}
    if any(len(ranges[s]) < len(names) for s, names in by_split.items()):
        return ""
    low, high = ranges[split][0], ranges[split][-1]
    train = ranges.get("train", [0])
    inside = split != "train" and train[0] < low and high < train[-1]
    return f" (frames {low}-{high}{', inside the range of train' if inside else ''})"


_ADVICE = {
    "interpolated": " It holds far more values than there are classes: anti-aliased, resized with "
    "interpolation, or compressed."
}
