"""Noise and patterns, created once per process and reused with different offsets."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

TILE = 512  # texels of a surface, which repeats
TEXEL = 0.025  # size of a texel in meters
NEUTRAL = 128  # a surface of this value leaves colors unchanged


@lru_cache(maxsize=4)
def corridor(height: int, width: int) -> np.ndarray:
    """Surface coordinates of each pixel: int16 `[2H, 2W, 2]`, vanishing point in the middle.

    The view is a corridor: the ground below the vanishing point, walls left and right; a pixel
    shows what its ray hits first. The real road may bend or be narrower; this is only texture.
    """
    focal, eye, wall = 1.1 * np.sqrt(0.75 * height * width), 1.5, 8.0
    row = np.arange(-height, height, dtype=np.float32)[:, None] + 0.5
    column = np.arange(-width, width, dtype=np.float32)[None] + 0.5
    to_ground = np.where(row > 0, eye * focal / np.maximum(row, 0.5), np.inf)
    to_wall = wall * focal / np.abs(column)
    distance = np.minimum(np.minimum(to_ground, to_wall), 200)
    across = np.where(to_ground < to_wall, column, row) * distance / focal / TEXEL % TILE
    across += np.where(to_ground < to_wall, 0, TILE)
    return np.stack([across, distance / TEXEL % TILE], axis=-1).astype(np.int16)


@lru_cache(maxsize=3)
def surfaces(kind: int) -> np.ndarray:
    """Textures uint8 `[2T, 2T, 4]`: ground in the left half, walls in the right one, twice in s."""
    rng = np.random.default_rng([kind, 4])
    ground = _rough(rng, 1, 12) + _rough(rng, 16, 12) + _rough(rng, 64, 7)
    wall = _rough(rng, 2, 8) + _rough(rng, 32, 12)
    course, brick = (6, 10, 16)[kind], (12, 24, 40)[kind]
    s, y = np.mgrid[:TILE, :TILE]
    joint = (y % course < 1 + kind // 2) | ((s + y // course % 2 * brick // 2) % brick < 1)
    wall -= 18.0 * joint[..., None]
    tile = np.concatenate([ground, wall], axis=1) + NEUTRAL
    alpha = np.full((*tile.shape[:2], 1), NEUTRAL)
    tile = np.concatenate([np.clip(tile, 0, 255), alpha], axis=2).astype(np.uint8)
    return np.concatenate([tile, tile])


def _rough(rng: np.random.Generator, coarse: int, amount: float) -> np.ndarray:
    """Noise `[T, T, 3]` that tiles seamlessly; its grains are `coarse` texels large."""
    cells = TILE // coarse
    noise = rng.normal(0, amount, (cells, cells, 1)) + rng.normal(
        0, amount * 0.2, (cells, cells, 3)
    )
    noise = np.pad(noise, ((1, 1), (1, 1), (0, 0)), mode="wrap")
    fine = cv2.resize(noise, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_LINEAR)
    return fine[coarse:-coarse, coarse:-coarse]


@lru_cache(maxsize=1)
def clouds() -> np.ndarray:
    """Soft noise float64 `[64, 128]`, about -1 to 1."""
    rng = np.random.default_rng(5)
    coarse = cv2.resize(rng.normal(size=(8, 16)), (128, 64), interpolation=cv2.INTER_CUBIC)
    return coarse + 0.5 * cv2.resize(rng.normal(size=(24, 48)), (128, 64))


@lru_cache(maxsize=4)
def static(height: int, width: int) -> np.ndarray:
    """Sensor noise uint8 around 128, standard deviation 32, larger than a frame."""
    rng = np.random.default_rng(6)
    return np.clip(rng.normal(128, 32, (height + 32, width + 32, 3)), 0, 255).astype(np.uint8)
