"""Augmentation with few parameters; every draw is a function of (seed, epoch, index).

Scale, crop, flip and padding are one step (`ScaleCrop`): choosing the crop window before resizing
makes the data path fast. Rotations by 90 degrees and the vertical flip are exact. Color changes are
one matrix. Other rotations, blur, noise and cutouts are albumentations' own, as are the further
transforms that a config names.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Sequence

import cv2
import numpy as np

from segbench.data.dataset import Arrays
from segbench.data.further_transforms import A, Transform, run
from segbench.data.scale_crop import Fill, ScaleCrop
from segbench.data.window import Size, Window

_LUMA = (0.299, 0.587, 0.114)  # of RGB, ITU-R BT.601


class Augmentation:
    """The training transform; see `Transform` in dataset.py.

    The arguments up to `cutout` are keys of every data config (`conf/pipeline/default.yaml`).

    Args:
        crop_size: output `(H, W)` in pixels; None keeps each frame's own size.
        scale_range: see `ScaleCrop`.
        cat_max_ratio: see `ScaleCrop`.
        class_uniform: see `ScaleCrop`.
        hflip: see `ScaleCrop`.
        vflip: probability of a vertical flip.
        rot90: probability of a rotation by 90, 180 or 270 degrees; only 180 if whole frames are not
            square.
        rotate: maximum angle of a rotation in degrees; the uncovered area is padding.
        color_jitter: strength in 0..1: brightness, contrast and saturation change by up to this
            share; 0 disables it.
        blur: probability of a light Gaussian blur.
        noise: probability of Gaussian noise.
        cutout: probability that 1-4 rectangles are blanked out; their mask is ignored.
        image_fill: value of padding and cutouts in each band; integers for integer images.
        ignore_index: mask value of padding and cutouts.
        limits: values of black and white in uint16 and float32 images; None: 8 bits.
        further: albumentations transforms that are applied last, see `further_transforms`.

    Raises:
        ValueError: parameters are out of range; the message names all of them.
    """

    def __init__(
        self,
        crop_size: tuple[int, int] | None = None,
        scale_range: tuple[float, float] = (0.5, 2.0),
        cat_max_ratio: float = 1.0,
        class_uniform: float = 0.0,
        hflip: float = 0.5,
        vflip: float = 0.0,
        rot90: float = 0.0,
        rotate: float = 0.0,
        color_jitter: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
        image_fill: Fill = (0, 0, 0),
        ignore_index: int = 255,
        limits: tuple[float, float] | None = None,
        further: Sequence[Transform] = (),
    ) -> None:
        shares = {
            "class_uniform": class_uniform,
            "hflip": hflip,
            "vflip": vflip,
            "rot90": rot90,
            "color_jitter": color_jitter,
            "blur": blur,
            "noise": noise,
            "cutout": cutout,
        }
        _check(crop_size, scale_range, cat_max_ratio, rotate, shares)
        crop = None if crop_size is None else (int(crop_size[0]), int(crop_size[1]))
        scales = (float(scale_range[0]), float(scale_range[1]))
        self.scale_crop = ScaleCrop(
            crop, scales, cat_max_ratio, class_uniform, hflip, image_fill, ignore_index
        )
        self.limits = limits or (0.0, 255.0)
        low, high = limits or (0.0, 1.0)
        fill = tuple((value - low) / (high - low) for value in image_fill) if limits else image_fill
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations only warns of an unknown argument
            steps = [
                A.Rotate(
                    limit=rotate,
                    interpolation=cv2.INTER_LINEAR,
                    border_mode=cv2.BORDER_CONSTANT,
                    fill=fill,
                    fill_mask=ignore_index,
                    p=float(rotate > 0),
                ),
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 1.5), p=blur),
                A.GaussNoise(std_range=(0.01, 0.05), p=noise),
                A.CoarseDropout(
                    num_holes_range=(1, 4),
                    hole_height_range=(0.05, 0.2),
                    hole_width_range=(0.05, 0.2),
                    fill=fill,
                    fill_mask=ignore_index,
                    p=cutout,
                ),
            ]
        self.vflip, self.rot90 = vflip, rot90
        self.color_jitter = color_jitter
        self._steps = [*(step for step in steps if step.p > 0), *further]
        self.cpu_only = bool(self._steps) or max(vflip, rot90) > 0
        self._idle: list[A.Compose] = []

    def __call__(self, image: np.ndarray, mask: np.ndarray, key: tuple[int, int, int]) -> Arrays:
        """Augments one frame.

        Args:
            image: `[h, w, C]`; uint8, uint16 or float32.
            mask: uint8 `[h, w]`.
            key: `(seed, epoch, index)`, the only seed of all draws.

        Returns:
            `[H, W, C]` of the same dtype and uint8 `[H, W]` with `(H, W)` = `crop_size`.
        """
        turns, is_flipped = self._draw_turns(key, mask.shape)
        window = self.scale_crop.draw(mask, window_draws(key), is_turned=turns % 2 == 1)
        image = self.scale_crop.apply(image, window)
        mask = self.scale_crop.apply_to_mask(mask, window)
        if turns or is_flipped:
            image, mask = _turned(image, turns, is_flipped), _turned(mask, turns, is_flipped)
        if self.color_jitter:
            image = cv2.transform(image, self.draw_colors(key))
        if not self._steps:
            return image, mask
        # A pipeline stores its current draw, so every thread uses its own.
        pipeline = self._idle.pop() if self._idle else A.Compose(copy.deepcopy(self._steps))
        out = run(pipeline, self._shares(image), mask, key)
        self._idle.append(pipeline)
        return self._stored(out["image"], image.dtype), out["mask"]

    def draw_window(self, mask: np.ndarray, key: tuple[int, int, int]) -> Window:
        """The window that `__call__` crops for this key from a frame with this mask."""
        return self.scale_crop.draw(mask, window_draws(key))

    def _draw_turns(self, key: tuple[int, int, int], shape: Sequence[int]) -> tuple[int, bool]:
        """Number of rotations by 90 degrees, and whether to flip vertically."""
        if not (self.vflip or self.rot90):
            return 0, False
        draws = random.Random(f"turns {key}")
        is_flipped = draws.random() < self.vflip
        turns = 1 + draws.randrange(3) if draws.random() < self.rot90 else 0
        if turns and self.scale_crop.crop_size is None and shape[0] != shape[1]:
            turns = 2  # all frames must keep one size
        return turns, is_flipped

    def draw_colors(self, key: tuple[int, int, int]) -> np.ndarray:
        """The color transform that `__call__` applies for this key.

        Brightness, contrast (around the gray of `image_fill`) and saturation are all linear, so
        they are combined into one matrix.

        Returns:
            float32 `[3, 4]`, to be applied to (R, G, B, 1) with values between the limits.
        """
        draws = random.Random(f"colors {key}")
        low, high = 1 - self.color_jitter, 1 + self.color_jitter
        brightness, contrast, saturation = (draws.uniform(low, high) for _ in range(3))
        black = self.limits[0]  # no zero everywhere
        gray = (1 - contrast) * (np.dot(_LUMA, self.scale_crop.image_fill) - black)
        mix = contrast * (saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1)))
        mix, shift = brightness * mix, brightness * gray
        return np.column_stack([mix, black - black * mix.sum(1) + shift]).astype(np.float32)

    def _shares(self, image: np.ndarray) -> np.ndarray:
        """The input of albumentations: 8 bits unchanged, else float32 between the limits."""
        if image.dtype == np.uint8:
            return image
        low, high = self.limits
        return (image.astype(np.float32) - np.float32(low)) / np.float32(high - low)

    def _stored(self, image: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The inverse of `_shares`; integers are rounded."""
        if dtype == np.uint8:
            return image
        low, high = self.limits
        values = image * np.float32(high - low) + np.float32(low)
        if dtype.kind == "u":
            values = np.rint(values).clip(0, np.iinfo(dtype).max)
        return values.astype(dtype)


def _turned(array: np.ndarray, turns: int, is_flipped: bool) -> np.ndarray:
    turned = np.rot90(array, turns)
    return np.ascontiguousarray(turned[::-1] if is_flipped else turned)


def window_draws(key: tuple[int, int, int]) -> random.Random:
    """The random stream that determines the window of a sample."""
    return random.Random(f"window {key}")


def _check(
    crop_size: Size | None,
    scale_range: tuple[float, float],
    cat_max_ratio: float,
    rotate: float,
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
    if not 0 <= rotate <= 180:
        problems.append(f"rotate is {rotate}; expected 0 to 180 degrees")
    if problems:
        raise ValueError("; ".join(problems))
