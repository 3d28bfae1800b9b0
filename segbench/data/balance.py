"""How often each class occurs, and the class weights that follow from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segbench.data.dataset import Frames
from segbench.machine import cores

WEIGHTINGS = ("median_frequency", "enet", "effective_number")


def pixel_counts(frames: Frames, num_classes: int) -> np.ndarray:
    """Pixels of every class in every frame.

    Returns:
        int64 `[N, num_classes + 1]`; the last column counts ignored pixels.
    """

    def count(index: int) -> np.ndarray:
        counts = np.bincount(frames.read(index)[1].ravel(), minlength=256)
        return np.append(counts[:num_classes], counts[num_classes:].sum())

    with ThreadPoolExecutor(cores()) as pool:
        return np.stack(list(pool.map(count, range(len(frames)))))


def class_weights(weighting: str, counts: np.ndarray) -> list[float]:
    """Class weights of the training set; a class that never occurs gets 0.

    Args:
        weighting: `median_frequency` (Eigen & Fergus, 2015, as SegNet uses it: pixels of the
            class / pixels of the images that have it, median over classes / that); `enet`
            (Paszke et al., 2016: 1 / ln(1.02 + share of labelled pixels)); `effective_number` (Cui
            et al., 2019: (1 - b) / (1 - b^n) with b = 0.99 and n in images' worth of pixels,
            scaled to mean 1).
        counts: as from `pixel_counts`.

    Returns:
        One weight per class.

    Raises:
        ValueError: no such weighting.
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
