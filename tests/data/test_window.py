"""Cropping first and resizing only the crop equals resizing first and then cropping."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segbench.data.scale_crop import ScaleCrop
from segbench.data.transforms import window_draws
from segbench.data.window import Window, place

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 19, (90, 120)).astype(np.uint8)  # noise shows any phase error
IMAGE = RNG.integers(0, 256, (90, 120, 3)).astype(np.uint8)


def plain(array: np.ndarray, window: Window, interpolation: int) -> np.ndarray:
    resized = cv2.resize(array, window.resized[::-1], interpolation=interpolation)
    (top, left), (height, width) = window.origin, window.size
    crop = resized[top : top + height, left : left + width]
    return crop[:, ::-1] if window.flip else crop


@pytest.mark.parametrize(("repeat", "crop"), [(1, (70, 80)), (4, (256, 256)), (4, (64, 48))])
def test_400_random_crops_equal_resize_then_crop(repeat: int, crop: tuple[int, int]) -> None:
    mask, image = np.tile(MASK, (repeat, repeat)), np.tile(IMAGE, (repeat, repeat, 1))
    scale_crop = ScaleCrop(crop, (0.3, 2.5), 1.0, 0.3, 0.5, (0, 0, 0), 255)
    for index in range(400):
        window = scale_crop.draw(mask, window_draws((0, 0, index)))
        labels = plain(mask, window, cv2.INTER_NEAREST)
        np.testing.assert_array_equal(window.crop_mask(mask), labels, err_msg=str(window))
        values = plain(image, window, cv2.INTER_LINEAR).astype(int)
        assert np.abs(window.crop_image(image) - values).max() <= 1, window


@pytest.mark.parametrize("free", [(0.0, 0.0), (0.5, 0.3), (0.999999, 0.999999)])
@pytest.mark.parametrize("resized", [(45, 60), (90, 120), (200, 300)])
def test_a_window_lies_inside_the_frame_and_the_output(free, resized) -> None:
    window = place((90, 120), resized, (96, 128), free)
    for axis in (0, 1):
        assert 0 <= window.origin[axis] <= resized[axis] - window.size[axis]
        assert 0 <= window.offset[axis] <= window.output[axis] - window.size[axis]
    assert window.pad(window.crop_mask(MASK), 255).shape == (96, 128)


@pytest.mark.parametrize("center", [(0.5, 0.5), (179.5, 0.5), (90.0, 239.5)])
def test_a_window_contains_the_given_center(center) -> None:
    window = place((90, 120), (180, 240), (50, 60), (0.7, 0.2), center)
    for axis in (0, 1):
        assert window.origin[axis] <= center[axis] < window.origin[axis] + window.size[axis]


def test_reads_do_not_touch_the_frame() -> None:
    frame = MASK.copy()
    frame.flags.writeable = False  # as a memory map is
    window = place((90, 120), (180, 240), (50, 60), (0.7, 0.2))
    assert window.crop_mask(frame).shape == (50, 60)
