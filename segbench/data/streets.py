"""The built-in data set: a procedural street in CamVid's 11 classes, drawn on demand.

Nothing is stored or downloaded: a frame is a function of (seed, split, drive, frame) and the size.
A drive shares light, palette, camera and road, and its frames follow a car through one world, so
images of a group are correlated like those of a real recording. Splits hold different drives.
"""

from __future__ import annotations

import numpy as np

from segbench.data.classes import ClassSet, DataError
from segbench.data.dataset import Record
from segbench.data.street_scene.draw import draw

VERSION = 1  # rises whenever the same arguments draw different pictures
SPLITS = ("train", "val", "test")

CLASSES = ClassSet(
    names=(
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
        "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    ),
    colors=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
        (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip


class Streets:
    """Generated street scenes.

    Args:
        size: height and width of the images in pixels; any size, the scene is the same.
        train: number of training images.
        val: number of validation images.
        test: number of test images.
        frames_per_drive: consecutive frames of one drive; the last drive of a split may be shorter.
        seed: another seed is another town.

    Raises:
        DataError: an argument is out of range; all of them are named.
    """

    classes = CLASSES
    protocol = "streets-11"
    comparable = False  # scores on drawn streets are no CamVid scores

    def __init__(
        self,
        size: tuple[int, int] = (144, 192),
        train: int = 320,
        val: int = 64,
        test: int = 128,
        frames_per_drive: int = 8,
        seed: int = 0,
    ) -> None:
        counts = {"train": train, "val": val, "test": test}
        least = {
            "size": (min(size), 1),
            "frames_per_drive": (frames_per_drive, 1),
            "seed": (seed, 0),
        }
        least |= {split: (count, 0) for split, count in counts.items()}
        problems = [
            f"{key} is {value} but must be at least {low}"
            for key, (value, low) in least.items()
            if value < low
        ]
        if len(size) != 2:
            problems.append(f"size is {tuple(size)} but must be [height, width]")
        if problems:
            raise DataError("data=streets: " + "; ".join(problems) + ".")
        self.height, self.width = size
        self.counts = counts
        self.frames_per_drive = frames_per_drive
        self.seed = seed

    def records(self, split: str) -> list[Record]:
        """One record per image of `split`, ordered by drive, then time.

        Raises:
            DataError: there is no such split.
        """
        if split not in SPLITS:
            raise DataError(
                f"data=streets has no split '{split}': choose one of {', '.join(SPLITS)}."
            )
        records = []
        for index in range(self.counts[split]):
            drive, frame = divmod(index, self.frames_per_drive)
            group = f"{split}_{drive:04d}"
            records.append(Record(f"{group}_{frame:04d}", group, index=index))
        return records

    def read(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Draws the image uint8 `[H, W, 3]` RGB and the mask uint8 `[H, W]`, 255 where void.

        Raises:
            DataError: the record is not one of this data set.
        """
        try:
            split, drive, frame = record.name.split("_")
            key = (self.seed, SPLITS.index(split), int(drive))
            return draw(key, int(frame), self.height, self.width)
        except ValueError as error:
            raise DataError(
                f"record '{record.name}' is not one of data=streets: expected SPLIT_DRIVE_FRAME, "
                "as returned by records()."
            ) from error

    def fingerprint_key(self) -> str:
        """Everything that decides what `read` returns."""
        return (
            f"streets version={VERSION} seed={self.seed} size={self.height}x{self.width} "
            f"counts={self.counts} frames_per_drive={self.frames_per_drive}"
        )
