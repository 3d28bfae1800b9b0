"""Class frequencies: a check that a training set has several classes, and class weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.dataset import Frames
from segbench.errors import DataError
from segbench.system.console import progress
from segbench.system.machine import cores

_AT_ONCE = 256  # frames
WEIGHTINGS = ("median_frequency", "enet", "effective_number")


def pixel_counts(frames: Frames, num_classes: int) -> np.ndarray:
    """Pixels of every class in every frame.

    Returns:
        int64 `[N, num_classes + 1]`; the last column counts ignored pixels.
    """

    def count(index: int) -> np.ndarray:
        counts = np.bincount(frames.read(index)[1].ravel(), minlength=256)
        return np.append(counts[:num_classes], counts[num_classes:].sum())

    counted = np.zeros((len(frames), num_classes + 1), np.int64)
    with (
        ThreadPoolExecutor(cores()) as pool,
        progress("Counting classes", len(frames)) as show,
    ):
        for start in range(0, len(frames), _AT_ONCE):  # limits the pending futures of a large set
            indices = range(start, min(start + _AT_ONCE, len(frames)))
            counted[start : indices.stop] = list(pool.map(count, indices))
            show(indices.stop)
    return counted


def check_trainable(frames: Frames, classes: ClassSet) -> None:
    """Refuses a training set whose labeled pixels are all of one class.

    Frames are read only until two classes are found, usually one frame.

    Raises:
        DataError: no pixel is labeled, or all labeled pixels are of the same class.
    """
    found: set[int] = set()
    has_ignored = False
    for index in range(len(frames)):
        values = set(np.unique(frames.read(index)[1]).tolist())
        found |= {value for value in values if value < classes.num_classes}
        has_ignored |= len(values - found) > 0
        if len(found) > 1:
            return
    if not found:
        raise DataError(
            "the training set has no labels: every pixel of every mask is ignored. Check "
            "data.masks and data.label_map; `python -m segbench.check_data` shows samples."
        )
    (only,) = found
    raise DataError(
        f"every labeled pixel of the training set is '{classes.names[only]}'"
        + (
            f". {binary_hint(classes)}"
            if has_ignored and only == 0
            else ", so there is nothing to learn."
        )
    )


def binary_hint(classes: ClassSet) -> str:
    """A hint for masks that contain only class 0 and ignored pixels."""
    first, second = [*classes.names, "OTHER"][:2]
    return (
        "The rest is ignored. Are these binary masks of 0 and 255, where 255 is read as ignore? "
        f"Use mask_type: binary, or a label_map such as {{{first}: [0], {second}: [255]}}."
    )


def class_weights(weighting: str, counts: np.ndarray) -> list[float]:
    """Computes class weights from the training set; a class that never occurs gets 0.

    Args:
        weighting: `median_frequency` (Eigen & Fergus, 2015, as used by SegNet: frequency is pixels
            of the class / pixels of the images that contain it; weight is median frequency /
            frequency); `enet` (Paszke et al., 2016: 1 / ln(1.02 + share of labeled pixels));
            `effective_number` (Cui et al., 2019: (1 - b) / (1 - b^n) with b = 0.99 and n in
            units of one image's pixels, scaled to mean 1).
        counts: as from `pixel_counts`.

    Returns:
        One weight per class.

    Raises:
        ValueError: unknown weighting.
    """
    per_image = counts.sum(axis=1, keepdims=True)
    pixels = counts[:, :-1].sum(axis=0)
    seen = pixels > 0
    if weighting == "median_frequency":
        around = ((counts[:, :-1] > 0) * per_image).sum(axis=0)
        frequency = pixels / np.maximum(around, 1)
        weights = np.median(frequency[seen]) / np.where(seen, frequency, 1.0)
    elif weighting == "enet":
        weights = 1 / np.log(1.02 + pixels / pixels.sum())
    elif weighting == "effective_number":
        images_worth = pixels / per_image.mean()
        weights = (1 - 0.99) / np.maximum(1 - 0.99**images_worth, 1e-12)
        weights = weights / weights[seen].mean()
    else:
        raise ValueError(f"class_weights is '{weighting}'; expected one of {', '.join(WEIGHTINGS)}")
    return [float(weight) for weight in np.where(seen, weights, 0.0)]
