"""What a data set is made of: one `Record` per image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """One image of a split, before anything is read.

    Args:
        name: unique in the split; usable as a file name.
        group: what images are correlated within: a drive, a city, a patient.
        image: the image file; None where the image is generated.
        mask: the mask file; None where the image is unlabelled or generated.
        index: position in the split.
    """

    name: str
    group: str
    image: Path | None = None
    mask: Path | None = None
    index: int = 0
