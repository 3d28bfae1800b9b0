"""A generated data set on disk: colored disks and squares, for a project's first training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segbench.system.storage import write_png

SIZE = (96, 128)  # height, width
COUNTS = {"train": 24, "val": 8, "test": 8}
_COLORS = ((205, 140, 60), (80, 130, 190))  # of disks and squares


def write_shapes(folder: Path) -> None:
    """Writes `images/SPLIT/shape00.png` and the masks next to them; deterministic.

    Masks contain 0 for the background, 1 for disks and 2 for squares.
    """
    number = 0
    for split, count in COUNTS.items():
        for _ in range(count):
            image, mask = draw(number)
            for kind, pixels in (("images", image), ("masks", mask)):
                file = folder / kind / split / f"shape{number:02d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                write_png(file, pixels)
            number += 1


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 `[96, 128, 3]` RGB and mask uint8 `[96, 128]`."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    mask = np.zeros(SIZE, np.uint8)
    image = np.full((height, width, 3), rng.integers(60, 120), np.float32)
    for _ in range(rng.integers(3, 7)):
        label = int(rng.integers(1, 3))
        x, y, radius = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(6, 20))
        shape = np.zeros(SIZE, np.uint8)
        if label == 1:
            cv2.circle(shape, (x, y), radius, 1, -1)
        else:
            cv2.rectangle(shape, (x - radius, y - radius), (x + radius, y + radius), 1, -1)
        mask[shape == 1] = label
        image[shape == 1] = np.array(_COLORS[label - 1]) + rng.normal(0, 25, 3)
    noisy = image + rng.normal(0, 18, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask
