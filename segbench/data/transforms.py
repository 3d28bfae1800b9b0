"""Augmentation with few parameters; every draw is a function of (seed, epoch, index).

Scale, crop, flip and padding are one albumentations transform of our own (`ScaleCrop`): choosing
the crop window before resizing makes the data path fast. Color changes are one matrix. Blur, noise
and cutouts are albumentations' own.
"""

from __future__ import annotations

import copy
import os
import random
import warnings
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network access on import

import albumentations as A
import cv2
import numpy as np

from segbench.data.dataset import Arrays
from segbench.data.window import Size, Window, place, scaled

_CROP_TRIES = 10
_LUMA = (0.299, 0.587, 0.114)  # of RGB, ITU-R BT.601


class ScaleCrop(A.DualTransform):
    """Random scale, random crop, left-right flip and padding in one step.

    Args:
        crop_size: output `(H, W)` in pixels; None keeps each frame's own size.
        scale_range: the frame is resized by a factor drawn uniformly from this range.
        cat_max_ratio: draw the crop again (up to 10 times) while one class covers more than this
            share of its labeled pixels; 1 never draws again.
        class_uniform: probability that the crop contains a pixel of a class drawn uniformly from
            those in the frame, so that rare classes are seen more often.
        hflip: probability of a left-right flip.
        image_fill: RGB of padding in the image.
        ignore_index: value of padding in the mask.
    """

    def __init__(
        self,
        crop_size: Size | None,
        scale_range: tuple[float, float],
        cat_max_ratio: float,
        class_uniform: float,
        hflip: float,
        image_fill: tuple[int, int, int],
        ignore_index: int,
    ) -> None:
        super().__init__(p=1.0)
        self.crop_size = crop_size
        self.scale_range = scale_range
        self.cat_max_ratio = cat_max_ratio
        self.class_uniform = class_uniform
        self.hflip = hflip
        self.image_fill = image_fill
        self.ignore_index = ignore_index

    @property
    def targets_as_params(self) -> list[str]:
        """The transform depends on the mask, which determines where to crop."""
        return ["mask"]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draws the window for `data["mask"]`."""
        return {"window": self.draw(data["mask"], self.py_random)}

    def draw(self, mask: np.ndarray, draws: random.Random) -> Window:
        """Draws a window for a frame with this mask (uint8 `[H, W]`)."""
        frame = (mask.shape[0], mask.shape[1])
        flip = draws.random() < self.hflip
        scale = draws.uniform(*self.scale_range)
        resized = scaled(frame, scale)
        output = self.crop_size or frame
        center = None
        if self.class_uniform and draws.random() < self.class_uniform:
            center = self._pixel_of_some_class(mask, resized, draws)
        for _ in range(_CROP_TRIES):
            free = (draws.random(), draws.random())
            window = place(frame, resized, output, free, center, flip)
            if center or self.cat_max_ratio >= 1 or self._mixed(window.crop_mask(mask)):
                break
        return window

    def apply(self, img: np.ndarray, window: Window, **params: Any) -> np.ndarray:
        """Crops the window from the image, bilinear; uint8 `[H, W, 3]`."""
        return window.pad(window.crop_image(img), self.image_fill)

    def apply_to_mask(self, mask: np.ndarray, window: Window, **params: Any) -> np.ndarray:
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


class Augmentation:
    """The training transform; see `Transform` in dataset.py.

    Args:
        crop_size: output `(H, W)` in pixels; None keeps each frame's own size.
        scale_range: see `ScaleCrop`.
        cat_max_ratio: see `ScaleCrop`.
        class_uniform: see `ScaleCrop`.
        hflip: see `ScaleCrop`.
        color_jitter: strength in 0..1: brightness, contrast and saturation change by up to this
            share; 0 disables it.
        blur: probability of a light Gaussian blur.
        noise: probability of Gaussian noise.
        cutout: probability that 1-4 rectangles are blanked out; their mask is ignored.
        image_fill: RGB of padding and cutouts.
        ignore_index: mask value of padding and cutouts.

    Raises:
        ValueError: parameters are out of range; the message names all of them.
    """

    def __init__(
        self,
        crop_size: Size | None,
        scale_range: tuple[float, float] = (0.5, 2.0),
        cat_max_ratio: float = 1.0,
        class_uniform: float = 0.0,
        hflip: float = 0.5,
        color_jitter: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
        image_fill: tuple[int, int, int] = (0, 0, 0),
        ignore_index: int = 255,
    ) -> None:
        shares = {
            "class_uniform": class_uniform,
            "hflip": hflip,
            "color_jitter": color_jitter,
            "blur": blur,
            "noise": noise,
            "cutout": cutout,
        }
        _check(crop_size, scale_range, cat_max_ratio, shares)
        self.scale_crop = ScaleCrop(
            crop_size, scale_range, cat_max_ratio, class_uniform, hflip, image_fill, ignore_index
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations only warns of an unknown argument
            steps = [
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 1.5), p=blur),
                A.GaussNoise(std_range=(0.01, 0.05), p=noise),
                A.CoarseDropout(
                    num_holes_range=(1, 4),
                    hole_height_range=(0.05, 0.2),
                    hole_width_range=(0.05, 0.2),
                    fill=image_fill,
                    fill_mask=ignore_index,
                    p=cutout,
                ),
            ]
        self.color_jitter = color_jitter
        self.cpu_only = max(blur, noise, cutout) > 0
        self._steps = [step for step in steps if step.p > 0]
        self._idle: list[A.Compose] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray, key: tuple[int, int, int]) -> Arrays:
        """Augments one frame.

        Args:
            image: uint8 `[h, w, 3]`.
            mask: uint8 `[h, w]`.
            key: `(seed, epoch, index)`, the only seed of all draws.

        Returns:
            uint8 `[H, W, 3]` and uint8 `[H, W]` with `(H, W)` = `crop_size`.
        """
        window = self.draw_window(mask, key)
        image = self.scale_crop.apply(image, window)
        mask = self.scale_crop.apply_to_mask(mask, window)
        if self.color_jitter:
            image = cv2.transform(image, self.draw_colors(key))
        if not self._steps:
            return image, mask
        # A pipeline stores its current draw, so every thread uses its own.
        pipeline = self._idle.pop() if self._idle else A.Compose(copy.deepcopy(self._steps))
        pipeline.set_random_state(np.random.default_rng(key), random.Random(f"rest {key}"))
        out = pipeline(image=image, mask=mask)
        self._idle.append(pipeline)
        return out["image"], out["mask"]

    def draw_window(self, mask: np.ndarray, key: tuple[int, int, int]) -> Window:
        """The window that `__call__` crops for this key from a frame with this mask."""
        return self.scale_crop.draw(mask, window_draws(key))

    def draw_colors(self, key: tuple[int, int, int]) -> np.ndarray:
        """The color transform that `__call__` applies for this key.

        Brightness, contrast (around the gray of `image_fill`) and saturation are all linear, so
        they are combined into one matrix.

        Returns:
            float32 `[3, 4]`, to be applied to (R, G, B, 1) with values in 0..255.
        """
        draws = random.Random(f"colors {key}")
        low, high = 1 - self.color_jitter, 1 + self.color_jitter
        brightness, contrast, saturation = (draws.uniform(low, high) for _ in range(3))
        gray = (1 - contrast) * np.dot(_LUMA, self.scale_crop.image_fill)
        mix = contrast * (saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1)))
        return (brightness * np.column_stack([mix, [gray] * 3])).astype(np.float32)


def window_draws(key: tuple[int, int, int]) -> random.Random:
    """The random stream that determines the window of a sample."""
    return random.Random(f"window {key}")


def _check(
    crop_size: Size | None,
    scale_range: tuple[float, float],
    cat_max_ratio: float,
    shares: dict[str, float],
) -> None:
    problems = [
        f"{name} is {value}; expected 0 to 1"
        for name, value in shares.items()
        if not 0 <= value <= 1
    ]
    if crop_size is not None and (len(crop_size) != 2 or min(crop_size) < 1):
        problems.append(f"crop_size is {crop_size}; expected (height, width) in pixels")
    if len(scale_range) != 2 or not 0 < scale_range[0] <= scale_range[1]:
        problems.append(f"scale_range is {scale_range}; expected (low, high) with 0 < low <= high")
    if not 0 < cat_max_ratio <= 1:
        problems.append(f"cat_max_ratio is {cat_max_ratio}; expected above 0, at most 1")
    if problems:
        raise ValueError("; ".join(problems))
