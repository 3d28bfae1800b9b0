"""Custom albumentations transforms from a config, tested before they are used in a training.

The requirements of a training are not visible in their signatures, so each transform is first run
on a small image. It must keep size, dtype and bands of the image, return only labels of the mask
(or ignore), and draw only from the given random state: the same key gives the same result.
"""

from __future__ import annotations

import copy
import os
import random
import warnings
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network access on import

import albumentations as A
import cv2
import numpy as np

from segbench.data.bands import Bands

Transform = Any  # one of `_KINDS`; albumentations has no type hints
_KINDS = (A.BasicTransform, A.BaseCompose)
Key = tuple[int, int, int]
_SIDE = 48  # side of the test image in pixels
_CLASSES = 5
_TRIALS = 6  # number of draws that are compared


def admitted(transforms: Mapping[str, Any], bands: Bands, ignore_index: int) -> list[Transform]:
    """Returns the transforms, with padding ignored in masks, after testing each of them.

    Args:
        transforms: transforms by name, built from a config.
        bands: bands of the images; those of 8 bits are uint8, all others float32 in 0..1.
        ignore_index: ignored label of the mask.

    Raises:
        ValueError: an object is not a transform, or violates a requirement; says which and why.
    """
    for name, transform in transforms.items():
        if not isinstance(transform, _KINDS):
            raise ValueError(f"augment.{name}: is not a transform of albumentations")
        for part in _parts(transform):
            how = getattr(part, "mask_interpolation", cv2.INTER_NEAREST)
            if how not in (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT):
                raise ValueError(
                    f"augment.{name}: mask_interpolation={how} would mix labels; remove it"
                )
            if getattr(part, "fill_mask", None) == 0:  # would be the first class
                part.fill_mask = ignore_index
        if reason := _fault(transform, bands, ignore_index):
            raise ValueError(f"augment.{name}: {type(transform).__name__} {reason}")
    return list(transforms.values())


def run(transform: Any, image: np.ndarray, mask: np.ndarray, key: Key) -> Any:
    """The output of a pipeline for image, mask and key; the key alone determines its draws."""
    transform.set_random_state(np.random.default_rng(key), random.Random(f"rest {key}"))
    return transform(image=image, mask=mask)


def _fault(transform: Transform, bands: Bands, ignore_index: int) -> str:
    """Why a transform is refused; empty if it is accepted."""
    rng = np.random.default_rng(0)
    image = rng.random((_SIDE, _SIDE + 8, bands.count), np.float32)
    image = image if bands.keeps_values else (image * 255).astype(np.uint8)
    mask = np.kron(rng.integers(0, _CLASSES, (6, 7), np.uint8), np.ones((8, 8), np.uint8))
    always = copy.deepcopy(transform)
    always.p = 1.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fresh = [run(_pipeline(always), image, mask, (0, 0, n)) for n in range(_TRIALS)]
            used = _pipeline(always)
            again = [run(used, image, mask, (0, 0, n)) for n in reversed(range(_TRIALS))][::-1]
    except Exception as error:  # third-party transforms may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"fails on images of {bands.count} channel(s): {reason}"
    for first, second in zip(fresh, again, strict=True):
        found, labels = first["image"], first["mask"]
        if not isinstance(found, np.ndarray) or found.dtype != image.dtype:
            return f"returns {getattr(found, 'dtype', type(found))}; it must keep {image.dtype}"
        if found.shape != image.shape or labels.shape != mask.shape:
            return (
                f"changes the size or the bands ({list(image.shape)} to {list(found.shape)}); to "
                "crop and scale, set data.crop_size and data.scale_range"
            )
        if extra := set(np.unique(labels).tolist()) - {*range(_CLASSES), ignore_index}:
            return f"creates labels that are not in the mask ({sorted(extra)[:3]})"
        if not (np.array_equal(found, second["image"]) and np.array_equal(labels, second["mask"])):
            return (
                "does not depend only on seed, epoch and index, so training could not be repeated"
            )
    return ""


def _pipeline(transform: Transform) -> A.Compose:
    return A.Compose([copy.deepcopy(transform)])


def _parts(transform: Transform) -> list[Any]:
    """A transform, or those of which it is composed."""
    if isinstance(transform, A.BaseCompose):
        return [part for inner in transform.transforms for part in _parts(inner)]
    return [transform]
