"""Cross-validation on any data set: whole groups are divided into folds, and one fold is tested.

All images of all splits are pooled. Fold k is the test set, fold k + 1 selects the epoch (val), the
others train. Images of one group (drive, city, patient) are never divided, and groups are dealt
so that the classes are spread evenly where that is possible (scikit-learn's `StratifiedGroupKFold`,
by the rarest class of each image).

Folds overlap in their training images, so their scores are not independent repetitions: `compare`
uses the corrected resampled variance of Nadeau & Bengio (2003) for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segbench.data.balance import pixel_counts
from segbench.data.classes import ClassSet
from segbench.data.dataset import SPLITS, Arrays, Record, Source
from segbench.data.frames import SourceFrames
from segbench.errors import DataError

MOST_READ = 5000  # images whose masks are read to spread the classes; larger sets are spread anyway


class Folds:
    """A source whose splits are those of one fold.

    Args:
        source: any data set.
        folds: number of folds, at least 3.
        fold: which one is tested, from 0.

    Raises:
        DataError: the numbers make no sense.
    """

    classes: ClassSet  # this and what else a source has is that of the data set
    protocol: str
    comparable = False  # these are not the official splits

    def __init__(self, source: Source, folds: int, fold: int) -> None:
        if folds < 3:
            raise DataError(
                f"data.folds={folds}: at least 3 are needed, one each for train, val and test"
            )
        if not 0 <= fold < folds:
            raise DataError(f"data.fold={fold}: must be from 0 to {folds - 1} (data.folds={folds})")
        self.source, self.folds, self.fold = source, folds, fold
        self._splits: dict[str, list[Record]] | None = None
        self._original: dict[str, Record] = {}

    def __getattr__(self, name: str) -> object:
        """Whatever is not defined here, such as `classes` and `terms`."""
        if name.startswith("_") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def records(self, split: str) -> list[Record]:
        """The images of a split of this fold, in the order of the data set."""
        if self._splits is None:
            self._splits = self._divide()
        return list(self._splits[split])

    def read(self, record: Record) -> Arrays:
        """Reads a record of `records`."""
        if not self._original:
            self.records("test")
        return self.source.read(self._original[record.name])

    def fingerprint_key(self) -> str:
        """That of the data set: which images a fold has is in their names."""
        return self.source.fingerprint_key()

    def _divide(self) -> dict[str, list[Record]]:
        pooled = _pooled(self.source)
        self._original = {shown.name: record for shown, record in pooled}
        records = [shown for shown, _ in pooled]
        number = deal(records, self, self.folds)
        val = (self.fold + 1) % self.folds
        chosen = {"test": number == self.fold, "val": number == val}
        chosen["train"] = ~(chosen["test"] | chosen["val"])
        return {
            split: [record for record, use in zip(records, chosen[split], strict=True) if use]
            for split in SPLITS
        }


def _pooled(source: Source) -> list[tuple[Record, Record]]:
    """Every image once, with a name that no other has: as shown, and as the source knows it."""
    found: list[tuple[Record, Record]] = []
    seen: set[Record] = set()
    names: set[str] = set()
    for split in SPLITS:
        for record in source.records(split):
            is_unlabeled = record.image is not None and record.mask is None
            if record in seen or is_unlabeled:  # seen: splits share images, as a test that is val
                continue
            seen.add(record)
            shown = record if record.name not in names else replace(
                record, name=f"{split}_{record.name}", group=f"{split}_{record.group}"
            )  # fmt: skip
            if shown.name in names:
                raise DataError(f"data.folds: two images are named {shown.name}; rename one")
            names.add(shown.name)
            found.append((shown, record))
    return sorted(found, key=lambda pair: pair[0].group)  # stable: time stays in order


def deal(records: Sequence[Record], source: Source, folds: int) -> np.ndarray:
    """The fold of each record, int64 `[N]`; whole groups, classes spread where possible.

    Args:
        records: the images.
        source: reads their masks, if they are not too many.
        folds: number of folds.

    Raises:
        DataError: there are fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    groups = np.array([record.group for record in records])
    number = len(set(groups))
    if number < folds:
        raise DataError(
            f"data.folds={folds}: there {'is' if number == 1 else 'are'} only {number} "
            f"group{'s' * (number != 1)} of images, and a group is never "
            f"divided; use data.folds={number} or fewer"
            + (", or name smaller groups (data.group_regex of data=folder)" if number < 3 else "")
        )
    kinds = _kinds(records, source) if len(records) <= MOST_READ else np.zeros(len(records), int)
    even = len(np.unique(kinds)) > 1 and np.bincount(kinds).max() >= folds
    splitter = StratifiedGroupKFold(folds) if even else GroupKFold(folds)
    out = np.full(len(records), -1)
    for fold, (_, tested) in enumerate(splitter.split(kinds, kinds, groups)):
        out[tested] = fold
    if len(np.unique(out)) < folds:  # stratification may leave a fold without a group
        for fold, (_, tested) in enumerate(GroupKFold(folds).split(kinds, kinds, groups)):
            out[tested] = fold
    return out


def _kinds(records: Sequence[Record], source: Source) -> np.ndarray:
    """The rarest class of each image, int64 `[N]`; C for an image without labels."""
    frames = SourceFrames(source, list(records))
    counts = pixel_counts(frames, source.classes.num_classes)[:, :-1]
    present = counts > 0
    commonness = present.sum(axis=0)
    ranked = np.where(present, commonness, len(records) + 1)
    return np.where(present.any(axis=1), ranked.argmin(axis=1), source.classes.num_classes)
