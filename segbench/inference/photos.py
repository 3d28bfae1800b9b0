"""Reads images for prediction, exactly as training and evaluation read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segbench.data.decoding import decode_rgb, read_bytes


def read_photo(path: Path) -> np.ndarray:
    """Reads an image in its displayed orientation, by the rules of `data.decoding`.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: the file is missing, damaged, not an image, or has an unsupported pixel type.
    """
    return decode_rgb(read_bytes(path), path)
