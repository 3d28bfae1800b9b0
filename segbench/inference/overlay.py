"""Renders label maps: overlay, error map, side by side, class legend.

All take and return uint8 RGB `[H, W, 3]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segbench.data.classes import ClassSet
from segbench.data.lettering import draw_text, text_width

_WIDEST_NAME = 640  # pixels of a legend below a narrow image; longer names are cut off
RIGHT, WRONG, UNLABELED = (60, 160, 80), (230, 40, 40), (0, 0, 0)


def blend(image: np.ndarray, colors: np.ndarray, where: np.ndarray, alpha: float) -> np.ndarray:
    """Blends `colors` into the image where `where` (bool `[H, W]`) is true.

    Args:
        image: uint8 `[H, W, 3]`.
        colors: uint8 `[H, W, 3]`.
        where: bool `[H, W]`; other pixels of the image are unchanged.
        alpha: opacity of the colors, 0..1.
    """
    mixed = cv2.addWeighted(colors, alpha, image, 1 - alpha, 0)
    return np.where(where[..., None], mixed, image)


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: ClassSet, alpha: float = 0.5
) -> np.ndarray:
    """The image tinted with the class colors; pixels outside the class set are unchanged.

    Args:
        image: uint8 `[H, W, 3]`.
        labels: uint8 `[H, W]`, a mask or a pred.
        classes: names and colors.
        alpha: opacity of the colors, 0..1.
    """
    return blend(image, classes.decode(labels), labels < classes.num_classes, alpha)


def error_map(
    image: np.ndarray, pred: np.ndarray, mask: np.ndarray, classes: ClassSet
) -> np.ndarray:
    """Correct pixels green, wrong ones red, unlabeled ones black, over the darkened gray image."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    verdict = np.array([RIGHT, WRONG, UNLABELED], np.uint8)
    kind = np.where(mask == classes.ignore_index, 2, np.where(pred == mask, 0, 1))
    strength = np.array([0.3, 0.75, 0.75], np.float32)[kind][..., None]
    return (verdict[kind] * strength + gray * (1 - strength)).astype(np.uint8)


def side_by_side(images: Sequence[np.ndarray], gap: int = 8) -> np.ndarray:
    """Places images of one size next to each other, with white gaps."""
    white = np.full((images[0].shape[0], gap, 3), 255, np.uint8)
    row = [part for image in images for part in (image, white)]
    return np.concatenate(row[:-1], axis=1)


def with_legend(image: np.ndarray, classes: ClassSet, labels: Sequence[int]) -> np.ndarray:
    """Adds a white strip with the color and name of every class in `labels` below the image.

    An image narrower than the longest name gets a white margin on the right.

    Args:
        image: uint8 `[H, W, 3]`.
        classes: names and colors.
        labels: class ids to list; ids outside the class set are skipped.
    """
    size = int(np.clip(image.shape[1] / 50, 10, 40))
    row_height, swatch = round(size * 1.6), size
    widths = {
        int(label): round(swatch * 1.5 + text_width(classes.names[label], size) + size)
        for label in labels
        if label < classes.num_classes
    }
    margin = max(0, min(max(widths.values(), default=0), _WIDEST_NAME) - image.shape[1])
    image = np.pad(image, ((0, 0), (0, margin), (0, 0)), constant_values=255)
    width = image.shape[1]
    places, x, y = [], 0, 0
    for label, needed in widths.items():
        if x and x + needed > width:
            x, y = 0, y + row_height
        places.append((label, x, y))
        x += needed
    strip = np.full((y + row_height, width, 3), 255, np.uint8)
    for label, x, y in places:
        top, left = y + (row_height - swatch) // 2, x + swatch // 4
        cv2.rectangle(strip, (left, top), (left + swatch, top + swatch), classes.colors[label], -1)
        cv2.rectangle(strip, (left, top), (left + swatch, top + swatch), (0, 0, 0), 1)
        middle = y + row_height // 2
        draw_text(strip, classes.names[label], x + round(swatch * 1.6), middle, size)
    return np.concatenate([image, strip], axis=0)
