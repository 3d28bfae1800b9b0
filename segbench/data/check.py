"""Reads every file of a data set once and reports what would corrupt a result."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np

from segbench.data.about import incomplete
from segbench.data.balance import binary_hint
from segbench.data.bands import Bands, bands_of
from segbench.data.dataset import SPLITS, Record, Source
from segbench.data.files import orientation_of, read_raw_mask
from segbench.data.findings import Finding, SplitStatistics, across_splits
from segbench.data.frames import SourceFrames
from segbench.data.grouping import INTERPOLATED, Fault, grouped
from segbench.data.oddities import Oddities, oddities_of
from segbench.data.proposals import BY_YAML, Unlike, proposal, unused_range
from segbench.data.sources.folder import Folder
from segbench.errors import DataError, UnpairedError
from segbench.system.console import progress
from segbench.system.machine import cores

_LOSSY = (".jpg", ".jpeg", ".webp")


@dataclass
class Measured:
    """Measurements of one image; `sums` and `squares` are over its pixels, per channel in 0..1."""

    counts: np.ndarray
    digest: str
    size: tuple[int, int]
    span: tuple[float, float]  # minimum and maximum value
    sums: np.ndarray
    squares: np.ndarray
    orientation: int  # EXIF orientation
    image: Oddities
    mask: Oddities


def check(source: Source) -> tuple[list[Finding], dict[str, SplitStatistics]]:
    """Checks all splits of a source.

    Returns:
        The findings, errors first and hints last, and the statistics of every split.
    """
    findings: list[Finding] = []
    statistics: dict[str, SplitStatistics] = {}
    unlike: dict[str, list[Unlike]] = {}
    if isinstance(source, Folder):
        everywhere = "+".join(SPLITS)
        findings += [Finding("error", "classes", everywhere, str(e)) for e in source.survey()]
    for split in SPLITS:
        if split in getattr(source, "absent", ()):
            continue
        records = _records(source, split, findings)
        if records:
            statistics[split], other = _measure(source, split, records, findings)
            unlike |= {split: other} if other else {}
    if unlike:  # one proposal, from the split that comes first: the range is that of train
        text, keys = proposal(unlike, getattr(source, "slice_axis", 2))
        files = [str(r.image or r.name) for others in unlike.values() for r, _ in others]
        findings.append(Finding("error", "bands", "+".join(unlike), text, files, keys))
    findings += across_splits(statistics)
    for split, measured in statistics.items():
        findings += _labels(source, split, measured)
    findings.sort(key=lambda finding: ("error", "warning", "hint").index(finding.severity))
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
    findings += incomplete(getattr(source, "about", {}), split, len(records))
    return records


def _measure(
    source: Source, split: str, records: list[Record], findings: list[Finding]
) -> tuple[SplitStatistics, list[Unlike]]:
    """Statistics of what can be read, and the images whose bands the config does not describe."""
    frames = SourceFrames(source, records)
    good: list[Record] = []
    measured: list[Measured] = []
    unlike: list[Unlike] = []  # images whose bands or values differ from the config
    robust = getattr(source, "threshold", None) is not None  # then compression has no effect
    lossy = [] if robust else [str(r.mask) for r in records if _is_lossy(r)]
    if lossy:
        text = (
            f"{len(lossy)} mask(s) are in a lossy format, which corrupts labels. Export them as "
            "PNG."
        )
        findings.append(Finding("error", "compressed", split, text, lossy))
    faults: list[Fault] = []
    for record, result in zip(records, _read_all(frames, split), strict=True):
        if isinstance(result, DataError) and result.kind in BY_YAML:
            unlike.append((record, result))
        elif isinstance(result, DataError):
            of_image = result.kind == "unreadable" and str(record.mask) not in str(result)
            path = record.image if of_image else record.mask
            kind = _refined(result.kind, record, source.classes.num_classes)
            text = str(result) + _ADVICE.get(kind, "")
            faults.append(Fault(record, kind, text, path))
        else:
            good.append(record)
            measured.append(result)
    findings += grouped(split, len(records), faults)
    findings += _oddities(split, good, measured, bands_of(source))
    if unused := unused_range([m.span for m in measured], bands_of(source)):
        findings.append(Finding("warning", "range", split, unused))
    return _summarize(good, measured, source.classes.num_classes), unlike


def _oddities(
    split: str, records: list[Record], measured: list[Measured], bands: Bands
) -> list[Finding]:
    """Findings about files that are read without an error, but perhaps not as intended."""
    both = list(zip(records, measured, strict=True))
    found = []
    if turned := [str(r.image) for r, m in both if m.orientation != 1]:
        text = (
            f"{len(turned)} image(s) have an EXIF orientation and are read as displayed. Their "
            "masks must match the image as displayed: see samples.png."
        )
        found.append(Finding("warning", "exif", split, text, turned))
    if clear := [str(r.image) for r, m in both if m.image.alpha and bands.is_rgb]:
        text = (
            f"{len(clear)} image(s) have transparent pixels. The alpha channel is dropped, and "
            "the model sees the colors underneath: see samples.png."
        )
        found.append(Finding("warning", "alpha", split, text, clear))
    paged = [str(r.image) for r, m in both if m.image.frames > 1]
    if paged := paged + [str(r.mask) for r, m in both if m.mask.frames > 1]:
        text = f"{len(paged)} file(s) have several pages or frames; only the first one is read."
        found.append(Finding("warning", "pages", split, text, paged))
    return found


def _read_all(frames: SourceFrames, split: str) -> Iterator[Measured | DataError]:
    """Measures all frames in order on all cores, a few at a time."""

    def measure(index: int) -> Measured | DataError:
        try:
            image, mask = frames.read(index)
        except DataError as error:
            return error
        num_classes = frames.source.classes.num_classes
        histogram = np.bincount(mask.ravel(), minlength=256)
        counts = np.append(histogram[:num_classes], histogram[num_classes:].sum())
        mean, std = _mean_and_std(image, bands_of(frames.source))
        span = (float(image.min()), float(image.max()))
        pixels = mask.size
        size = (image.shape[0], image.shape[1])
        is_blank = (image == image[0, 0]).all()
        content = repr(size).encode() + image.tobytes()
        digest = "" if is_blank else hashlib.blake2b(content).hexdigest()
        record = frames.records[index]
        turn, *odd = orientation_of(record.image), *map(oddities_of, (record.image, record.mask))
        squares = (std**2 + mean**2) * pixels
        return Measured(counts, digest, size, span, mean * pixels, squares, turn, *odd)

    workers = cores()
    positions = iter(range(len(frames)))
    with ThreadPoolExecutor(workers) as pool, progress(f"Reading {split}", len(frames)) as show:
        while chunk := list(islice(positions, 16 * workers)):
            for position, result in zip(chunk, pool.map(measure, chunk), strict=True):
                show(position + 1)
                yield result


def _mean_and_std(image: np.ndarray, bands: Bands) -> tuple[np.ndarray, np.ndarray]:
    if image.dtype == np.uint8:
        mean, std = cv2.meanStdDev(image)
        return mean[:, 0] / 255, std[:, 0] / 255
    limits = (0.0, 1.0) if bands.value_range == "percentile" else bands.limits
    values = (image.reshape(-1, image.shape[2]).astype(np.float32) - limits[0]) / (
        limits[1] - limits[0]
    )
    return values.mean(0, np.float64), values.std(0, np.float64)


def _summarize(
    records: list[Record], measured: list[Measured], num_classes: int
) -> SplitStatistics:
    counts = np.array([m.counts for m in measured]).reshape(-1, num_classes + 1)
    pixels = max(1, int(counts.sum()))
    mean = np.sum([m.sums for m in measured] or [np.zeros(1)], axis=0) / pixels
    squares = np.sum([m.squares for m in measured] or [np.zeros(1)], axis=0) / pixels
    sizes: dict[tuple[int, int], int] = defaultdict(int)
    for one in measured:
        sizes[one.size] += 1
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    digests = [one.digest for one in measured]
    return SplitStatistics(records, counts, digests, dict(sizes), mean.tolist(), std.tolist())


def _labels(source: Source, split: str, measured: SplitStatistics) -> list[Finding]:
    names, counts = source.classes.names, measured.counts
    labeled, ignored = counts[:, :-1], counts[:, -1]
    findings = []
    absent = [name for name, n in zip(names, labeled.sum(axis=0), strict=True) if n == 0]
    blank = [
        str(r.mask) for r, n in zip(measured.records, labeled.sum(axis=1), strict=True) if not n
    ]
    first_only = labeled[:, 1:].sum() == 0 and labeled[:, 0].sum() > 0
    if first_only and ignored.sum() and len(names) > 1:
        share = ignored.sum() / counts.sum()
        text = (
            f"every pixel is '{names[0]}' or ignored ({share:.1%}). {binary_hint(source.classes)}"
        )
        findings.append(Finding("error", "binary", split, text))
    elif absent and len(absent) < len(names):
        text = f"class(es) absent from {split}: {', '.join(absent)}."
        findings.append(Finding("warning", "absent", split, text))
    if blank and len(blank) == len(measured.records):
        findings.append(Finding("warning", "unlabeled", split, f"{split} has no labels at all."))
    elif blank:
        text = f"{len(blank)} mask(s) contain no labeled pixel."
        findings.append(Finding("warning", "unlabeled", split, text, blank))
    return findings


def _is_lossy(record: Record) -> bool:
    own_file = record.mask is not None and record.mask != record.image
    return own_file and record.mask.suffix.lower() in _LOSSY  # type: ignore[union-attr]


def _refined(kind: str, record: Record, num_classes: int) -> str:
    """A mask with far more values than classes was interpolated, not mislabeled."""
    if kind not in ("label", "color") or record.mask is None:
        return kind
    try:
        raw: Any = read_raw_mask(record.mask)
    except DataError:  # its values are not labels
        return kind
    values = np.unique(raw.reshape(-1, raw.shape[2]), axis=0) if raw.ndim == 3 else np.unique(raw)
    return INTERPOLATED if len(values) > 2 * num_classes + 8 else kind


_ADVICE = {
    INTERPOLATED: " It contains far more values than there are classes, so it was probably "
    "anti-aliased, resized with interpolation, or compressed."
}
