"""Reads images for prediction, exactly as training and evaluation read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segbench.data.bands import RGB8, Bands
from segbench.data.decoding import decode_image, read_bytes
from segbench.data.volumes import is_volume
from segbench.errors import DataError


def read_photo(path: Path, bands: Bands = RGB8) -> np.ndarray:
    """Reads an image in its displayed orientation, by the rules of `data.decoding`.

    Args:
        path: the file.
        bands: the bands that the model sees.

    Returns:
        uint8 `[H, W, 3]` RGB, or as defined by `bands`.

    Raises:
        DataError: the file is missing, damaged, not an image, or has an unsupported pixel type.
    """
    if is_volume(path):
        raise DataError(
            f"{path}: is a volume; `python -m segbench.predict` predicts each of its slices.",
            "unreadable",
        )
    return decode_image(read_bytes(path), path, bands)
