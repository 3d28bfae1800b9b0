"""Draws one frame of a drive: image and mask in one go, as the four channels of one canvas.

Red, green and blue are the image, the fourth channel holds the class ids, so every polygon lands
in both with the same pixels. What follows (texture, light, weather, blur, noise) changes the
colours alone.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from segbench.data import street_objects as things
from segbench.data.street_objects import Polygons
from segbench.data.street_world import SIGHT, Key, Look, around, look

NEAR = 1.0  # metres; nothing is drawn nearer to the camera
_TILE = 512  # texels of a texture, which repeats
_TEXEL = 0.025  # metres
_NEUTRAL = 128  # a texture of this value changes nothing
_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_NO_FRACTION = np.empty(0)  # tells cv2.remap that the map holds whole pixels


class Camera:
    """Projects metres to pixels for one frame at one size."""

    def __init__(self, scene: Look, frame: int, height: int, width: int) -> None:
        # The geometric mean keeps the view similar for wide, square and tall pictures.
        self.focal = scene.focal * np.sqrt(0.75 * height * width)
        sway = np.sin(frame * 0.7 + scene.bend)
        self.x, self.y = scene.camera[0] + 0.12 * sway, scene.camera[1]
        self.column = scene.vanishing[0] * width
        self.row = scene.vanishing[1] * height + 0.006 * height * np.sin(frame * 1.9)
        self.curve = scene.curve * np.cos(scene.step * frame / 90 + scene.bend)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Metres `[..., 3]` to pixels (column, row) `[..., 2]`; s is clamped to `NEAR`."""
        s = np.maximum(points[..., 2], NEAR)
        x = points[..., 0] + 0.5 * self.curve * s * s - self.x
        column = self.column + self.focal * x / s
        row = self.row + self.focal * (self.y - points[..., 1]) / s
        return np.stack([column, row], axis=-1)


def draw(key: Key, frame: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws frame `frame` of the drive `key`.

    Returns:
        Image uint8 `[height, width, 3]` RGB and mask uint8 `[height, width]` of class ids, 255
        where void.
    """
    rng = np.random.default_rng([*key, 3, frame])
    scene, camera = look(key), Camera(look(key), frame, height, width)
    world = around(key, frame)
    canvas = np.zeros((height, width, 4), np.uint8)
    _sky(canvas, camera, scene, frame)
    _ground(canvas, camera, scene)
    _polygons(canvas, camera, scene, world.marks)
    _shadows(canvas, camera, scene, world.shadows)
    _polygons(canvas, camera, scene, world.solids)
    if scene.bonnet is not None:
        center, axes = (width // 2, int(height * 1.06)), (int(width * 0.55), int(height * 0.14))
        cv2.ellipse(canvas, center, axes, 0, 0, 360, (*scene.bonnet.tolist(), things.VOID), -1)
    mask = np.ascontiguousarray(canvas[..., 3])
    _texture(canvas, mask, camera, scene, frame)
    return _develop(cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB), scene, rng), mask


def _sky(canvas: np.ndarray, camera: Camera, scene: Look, frame: int) -> None:
    height, width = canvas.shape[:2]
    rows = int(np.clip(camera.row + 2, 1, height))
    blend = np.linspace(1, 0, 24)[:, None, None] ** 1.5
    drift = (scene.grain * 37 + frame) % 96
    cloud = _clouds()[:24, drift : drift + 32, None] * scene.clouds
    small = np.clip(scene.zenith * blend + scene.fog * (1 - blend) + cloud * blend, 0, 255)
    small = np.concatenate([small, np.full((24, 32, 1), things.SKY)], axis=2).astype(np.uint8)
    canvas[:rows] = cv2.resize(small, (width, rows), interpolation=cv2.INTER_LINEAR)


def _ground(canvas: np.ndarray, camera: Camera, scene: Look) -> None:
    """Verge, pavement, kerb and road as bands, cut into strips that fade into the fog."""
    inner, outer = scene.road, scene.road + scene.pavement
    wide = 400.0
    kerb = scene.pavement_color * 1.25
    bands = (
        (-wide, wide, scene.verge_color, scene.verge_id),
        (-outer - 1.2, outer + 1.2, scene.pavement_color, things.PAVEMENT),
        (-inner - 0.18, inner + 0.18, kerb, things.PAVEMENT),
        (-inner, inner, scene.road_color, things.ROAD),
    )
    edges = np.geomspace(NEAR, 1.5 * SIGHT, 18)[::-1]
    shape = things.Shapes()
    for far, near in pairwise(edges.tolist()):
        for left, right, color, class_id in bands:
            shape.add(class_id, color, things.flat(left, right, near, far), far)
    _polygons(canvas, camera, scene, shape.pack())


def _polygons(canvas: np.ndarray, camera: Camera, scene: Look, polygons: Polygons) -> None:
    """Fills polygons, far objects first."""
    height, width = canvas.shape[:2]
    pixels = camera.project(polygons.points)
    low, high = pixels.min(1), pixels.max(1)
    depth = polygons.points[..., 2]
    seen = (high > 0).all(1) & (low < (width, height)).all(1) & (depth.max(1) > NEAR)
    seen &= (high - low).max(1) > 0.7  # smaller ones only cost time
    chosen = np.flatnonzero(seen)
    chosen = chosen[np.argsort(-polygons.depth[chosen], kind="stable")]
    clear = np.exp(-np.maximum(depth[chosen].mean(1), 0) / scene.visibility)[:, None]
    colors = polygons.colors[chosen] * clear + scene.fog * (1 - clear)
    filling = np.column_stack([np.clip(colors, 0, 255), polygons.ids[chosen]]).tolist()
    corners = np.clip(pixels[chosen], -9 * width - 999, 9 * width + 999)
    corners = np.round(corners * (1 << _SHIFT)).astype(np.int32)
    for corner, fill in zip(corners, filling, strict=True):
        cv2.fillConvexPoly(canvas, corner, fill, cv2.LINE_8, _SHIFT)


def _shadows(canvas: np.ndarray, camera: Camera, scene: Look, shadows: Polygons) -> None:
    top = int(np.clip(camera.row + 1, 0, len(canvas) - 1))
    ground = canvas[top:]
    light = np.full(ground.shape, _NEUTRAL, np.uint8)
    dark = _NEUTRAL * scene.shade
    pixels = camera.project(shadows.points) - (0, top)
    corners = np.round(np.clip(pixels, -9999, 9999)).astype(np.int32)
    for corner in corners[shadows.points[..., 2].max(1) > NEAR]:
        cv2.fillConvexPoly(light, corner, (dark, dark, min(1.1 * dark, 255), _NEUTRAL))
    cv2.multiply(ground, light, ground, 1 / _NEUTRAL)


def _texture(canvas: np.ndarray, mask: np.ndarray, camera: Camera, scene: Look, frame: int) -> None:
    """Roughens ground and walls with textures that pass by as the camera moves."""
    height, width = mask.shape
    top, left = round(height - camera.row), round(width - camera.column)
    view = _corridor(height, width)[top : top + height, left : left + width]
    start = int(scene.step * frame / _TEXEL) % _TILE
    surface = _surfaces(scene.grain)[start : start + _TILE]
    texture = cv2.remap(surface, view, _NO_FRACTION, cv2.INTER_NEAREST)
    smooth = np.isin(np.arange(256), (things.SKY, things.SIGN, things.CAR, things.PEDESTRIAN,
                                      things.BICYCLIST, things.VOID))  # fmt: skip
    cv2.copyTo(np.full_like(texture, _NEUTRAL), cv2.LUT(mask, smooth.astype(np.uint8)), texture)
    cv2.multiply(canvas, texture, canvas, 1 / _NEUTRAL)


@lru_cache(maxsize=4)
def _corridor(height: int, width: int) -> np.ndarray:
    """Where a pixel looks into the surfaces: int16 `[2H, 2W, 2]`, vanishing point in the middle.

    The view is a corridor: below the vanishing point lies the ground, left and right stand walls,
    and a pixel shows what it meets first. The true road may bend or be narrower: these are textures.
    """
    focal, eye, wall = 1.1 * np.sqrt(0.75 * height * width), 1.5, 8.0
    row = np.arange(-height, height, dtype=np.float32)[:, None] + 0.5
    column = np.arange(-width, width, dtype=np.float32)[None] + 0.5
    to_ground = np.where(row > 0, eye * focal / np.maximum(row, 0.5), np.inf)
    to_wall = wall * focal / np.abs(column)
    distance = np.minimum(np.minimum(to_ground, to_wall), 200)
    across = np.where(to_ground < to_wall, column, row) * distance / focal / _TEXEL % _TILE
    across += np.where(to_ground < to_wall, 0, _TILE)
    return np.stack([across, distance / _TEXEL % _TILE], axis=-1).astype(np.int16)


@lru_cache(maxsize=3)
def _surfaces(kind: int) -> np.ndarray:
    """Textures uint8 `[2T, 2T, 4]`: ground in the left half, walls in the right one, twice in s."""
    rng = np.random.default_rng([kind, 4])
    ground = _rough(rng, 1, 16) + _rough(rng, 16, 12) + _rough(rng, 64, 7)
    wall = _rough(rng, 2, 10) + _rough(rng, 32, 12)
    course, brick = (6, 10, 16)[kind], (12, 24, 40)[kind]
    s, y = np.mgrid[:_TILE, :_TILE]
    joint = (y % course < 1 + kind // 2) | ((s + y // course % 2 * brick // 2) % brick < 1)
    wall -= 22.0 * joint[..., None]
    tile = np.concatenate([ground, wall], axis=1) + _NEUTRAL
    alpha = np.full((*tile.shape[:2], 1), _NEUTRAL)
    tile = np.concatenate([np.clip(tile, 0, 255), alpha], axis=2).astype(np.uint8)
    return np.concatenate([tile, tile])


def _rough(rng: np.random.Generator, coarse: int, amount: float) -> np.ndarray:
    """Noise `[T, T, 3]` that repeats without a seam; its grains are `coarse` texels large."""
    cells = _TILE // coarse
    noise = rng.normal(0, amount, (cells, cells, 1)) + rng.normal(
        0, amount * 0.2, (cells, cells, 3)
    )
    noise = np.pad(noise, ((1, 1), (1, 1), (0, 0)), mode="wrap")
    fine = cv2.resize(noise, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_LINEAR)
    return fine[coarse:-coarse, coarse:-coarse]


@lru_cache(maxsize=1)
def _clouds() -> np.ndarray:
    """Soft noise float64 `[64, 128]`, about -1 to 1."""
    rng = np.random.default_rng(5)
    coarse = cv2.resize(rng.normal(size=(8, 16)), (128, 64), interpolation=cv2.INTER_CUBIC)
    return coarse + 0.5 * cv2.resize(rng.normal(size=(24, 48)), (128, 64))


@lru_cache(maxsize=4)
def _static(height: int, width: int) -> np.ndarray:
    """Sensor noise uint8 around 128, standard deviation 32, larger than a frame."""
    rng = np.random.default_rng(6)
    return np.clip(rng.normal(128, 32, (height + 32, width + 32, 3)), 0, 255).astype(np.uint8)


def _develop(image: np.ndarray, scene: Look, rng: np.random.Generator) -> np.ndarray:
    """Exposure and tint, rain, blur and sensor noise."""
    height, width = image.shape[:2]
    levels = (np.arange(256)[:, None] / 255) ** scene.gamma * scene.gain * rng.uniform(0.95, 1.05)
    image = cv2.LUT(image, np.clip(levels * 255, 0, 255).astype(np.uint8)[:, None])
    for column, row, length in rng.uniform(0, 1, (scene.rain, 3)):
        start = int(column * width), int(row * height)
        end = start[0] + int(0.01 * width), start[1] + int((0.03 + 0.05 * length) * height)
        cv2.line(image, start, end, (165, 170, 178), 1)
    sigma = scene.blur * np.sqrt(height * width / (360 * 480)) * rng.uniform(0.8, 1.2)
    image = cv2.GaussianBlur(image, (5, 5), max(sigma, 0.2))
    top, left = rng.integers(0, 32, 2)
    noise = _static(height, width)[top : top + height, left : left + width]
    share = scene.noise / 32
    return cv2.addWeighted(image, 1, noise, share, -_NEUTRAL * share)
