"""Random scale, crop, flip and padding: one window is chosen before anything is resized."""

from __future__ import annotations

import random

import numpy as np

from segbench.data.window import Size, Window, place, scaled

Fill = tuple[float, ...]
_CROP_TRIES = 10


class ScaleCrop:
    """Random scale, random crop, left-right flip and padding in one step.

    Args:
        crop_size: output `(H, W)` in pixels; None keeps each frame's own size.
        scale_range: the frame is resized by a factor drawn uniformly from this range.
        cat_max_ratio: draw the crop again (up to 10 times) while one class covers more than this
            share of its labeled pixels; 1 never draws again.
        class_uniform: probability that the crop contains a pixel of a class drawn uniformly from
            those in the frame, so that rare classes are seen more often.
        hflip: probability of a left-right flip.
        image_fill: value of padding in each band of the image.
        ignore_index: value of padding in the mask.
    """

    def __init__(
        self,
        crop_size: Size | None,
        scale_range: tuple[float, float],
        cat_max_ratio: float,
        class_uniform: float,
        hflip: float,
        image_fill: Fill,
        ignore_index: int,
    ) -> None:
        self.crop_size = crop_size
        self.scale_range = scale_range
        self.cat_max_ratio = cat_max_ratio
        self.class_uniform = class_uniform
        self.hflip = hflip
        self.image_fill = image_fill
        self.ignore_index = ignore_index

    def draw(self, mask: np.ndarray, draws: random.Random, is_turned: bool = False) -> Window:
        """Draws a window.

        Args:
            mask: mask of the frame, uint8 `[H, W]`.
            draws: random state that determines the window.
            is_turned: whether the crop will be rotated by 90 degrees, so that its width must be the
                height of the output.
        """
        frame = (mask.shape[0], mask.shape[1])
        flip = draws.random() < self.hflip
        scale = draws.uniform(*self.scale_range)
        resized = scaled(frame, scale)
        output = self.crop_size or frame
        output = output[::-1] if is_turned else output
        center = None
        if self.class_uniform and draws.random() < self.class_uniform:
            center = self._pixel_of_some_class(mask, resized, draws)
        for _ in range(_CROP_TRIES):
            free = (draws.random(), draws.random())
            window = place(frame, resized, output, free, center, flip)
            if center or self.cat_max_ratio >= 1 or self._mixed(window.crop_mask(mask)):
                break
        return window

    def apply(self, image: np.ndarray, window: Window) -> np.ndarray:
        """Crops the window from the image `[h, w, C]`, bilinear; `[H, W, C]`."""
        return window.pad(window.crop_image(image), self.image_fill)

    def apply_to_mask(self, mask: np.ndarray, window: Window) -> np.ndarray:
        """Crops the window from the mask, nearest; uint8 `[H, W]`."""
        return window.pad(window.crop_mask(mask), self.ignore_index)

    def _mixed(self, crop: np.ndarray) -> bool:
        counts = self._labeled(crop)
        return bool(counts.max() <= self.cat_max_ratio * counts.sum())

    def _pixel_of_some_class(
        self, mask: np.ndarray, resized: Size, draws: random.Random
    ) -> tuple[float, float] | None:
        counts = self._labeled(mask)
        present = np.flatnonzero(counts)
        if not present.size:
            return None
        wanted = present[draws.randrange(present.size)]
        nth = draws.randrange(int(counts[wanted]))
        row, column = divmod(int(np.flatnonzero(mask.ravel() == wanted)[nth]), mask.shape[1])
        height, width = mask.shape
        return (row + 0.5) * resized[0] / height, (column + 0.5) * resized[1] / width

    def _labeled(self, mask: np.ndarray) -> np.ndarray:
        counts = np.bincount(mask.ravel(), minlength=256)
        counts[self.ignore_index] = 0
        return counts
