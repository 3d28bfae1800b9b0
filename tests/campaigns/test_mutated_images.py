"""A campaign: damaged images and masks of every format.

    pytest tests/campaigns/test_mutated_images.py -m slow

Each file is either refused with an error message, or gives exactly the pixels and labels of the
undamaged one. Formats without checksums (JPEG, GIF, BMP, WebP, TIFF, PPM) cannot guarantee this;
what is read from them has a valid dtype and size, or is refused. A sample always runs.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench.data.decoding import decode_rgb
from segbench.data.labels import decode_colors, decode_mask
from segbench.errors import DataError
from tests.campaigns.mutations import mutated
from tests.campaigns.tables import each, refused, show
from tests.data.image_files import MASKS, WHOLE

SEED = 20261203
SAMPLE, ALL = 200, 8_000
PATH = Path("a.file")
LARGEST = 1 << 24  # pixels that a damaged header of a small file may claim
READERS = (decode_rgb, decode_mask, decode_colors)
IMAGES = {**MASKS, **WHOLE}
CHECKED = {name for name in IMAGES if name in MASKS or "PNG" in name}


def read_all(data: bytes) -> list[Any]:
    """The output of each reader for the bytes of an image: pixels, or None if it is refused."""
    found: list[Any] = []
    for reader in READERS:
        try:
            found.append(reader(data, PATH))
        except DataError as error:
            refused(error, "a.file: ")
            found.append(None)
    return found


def image_ends(name: str, data: bytes, whole: list[Any]) -> str:
    """How reading a damaged image ends; raises AssertionError for wrong labels."""
    found = read_all(data)
    for got, expected in zip(found, whole, strict=True):
        if got is None:
            continue
        if name not in CHECKED:
            assert got.dtype in (np.uint8, np.uint16, np.int32, np.int64), got.dtype
            assert got.shape[0] * got.shape[1] <= LARGEST
        else:
            assert expected is not None, "only a damaged file is read"
            np.testing.assert_array_equal(got, expected)
    if all(got is None for got in found):
        return "refused"
    return "as it was" if name in CHECKED else "read"


def images(numbers: range) -> Counter[tuple[str, str]]:
    """The campaign of images and masks."""
    whole = {name: read_all(data) for name, data in IMAGES.items()}
    names = list(IMAGES)

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        name = names[number % len(names)]
        return name, image_ends(name, mutated(IMAGES[name], draw), whole[name])

    return each(SEED, numbers, end)


def test_a_sample_of_damaged_images(capsys: Any) -> None:
    show("images and masks", SEED, images(range(SAMPLE)), capsys)


@pytest.mark.slow
def test_every_damaged_image(capsys: Any) -> None:
    ends = images(range(ALL))
    show("images and masks", SEED, ends, capsys)
    assert sum(n for (_, end), n in ends.items() if end == "refused") > ALL // 2
