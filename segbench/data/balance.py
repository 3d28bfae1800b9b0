"""How often each class occurs, and the class weights that follow from it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def count_pixels(masks: Iterable[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts the pixels of each class.

    Args:
        masks: uint8 `[H, W]` each, in class ids.
        num_classes: C.

    Returns:
        int64 `[C]` pixels of each class, and int64 `[C]` labelled and unlabelled pixels of the
        masks in which the class occurs.
    """
    pixels = np.zeros(num_classes, np.int64)
    of_images_with_it = np.zeros(num_classes, np.int64)
    for mask in masks:
        counts = np.bincount(mask.ravel(), minlength=256)[:num_classes]
        pixels += counts
        of_images_with_it += np.where(counts > 0, mask.size, 0)
    return pixels, of_images_with_it


def class_weights(rule: str, pixels: np.ndarray, of_images_with_it: np.ndarray) -> list[float]:
    """Weights for a loss, from the counts of `count_pixels` over the training set.

    Args:
        rule: one of
            median_frequency: median(f) / f, f = share of a class in the images that hold it
                (Eigen and Fergus 2015, arXiv:1411.4734, section 6.3.1);
            enet: 1 / ln(1.02 + p), p = share of a class in all labelled pixels
                (Paszke et al. 2016, arXiv:1606.02147, section 5);
            effective_number: (1 - b) / (1 - b^n), b = 1 - 1/N, over N labelled pixels, scaled to
                mean 1 (Cui et al. 2019, arXiv:1901.05555, eq. 2).
        pixels: int64 `[C]`.
        of_images_with_it: int64 `[C]`.

    Returns:
        C weights; a class without a training pixel gets 0, it has nothing to weigh.

    Raises:
        ValueError: an unknown rule.
    """
    present = pixels > 0
    safe = np.where(present, pixels, 1).astype(float)
    if rule == "median_frequency":
        frequency = safe / np.maximum(of_images_with_it, 1)
        weights = np.median(frequency[present]) / frequency
    elif rule == "enet":
        weights = 1 / np.log(1.02 + safe / pixels.sum())
    elif rule == "effective_number":
        beta = 1 - 1 / pixels.sum()
        weights = (1 - beta) / -np.expm1(safe * np.log(beta))
        weights /= weights[present].mean()
    else:
        raise ValueError(
            f"class_weights: '{rule}' is not one of median_frequency, enet, effective_number"
        )
    return np.where(present, weights, 0.0).tolist()
