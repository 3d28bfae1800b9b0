"""Draws one frame of a drive: image and mask together, as the four channels of one canvas.

Red, green and blue are the image; the fourth channel contains the class ids, so every polygon
covers the same pixels in both. The later steps (texture, light, weather, blur, noise) change only
the colors.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from segbench.data.sources.street_scene import shapes, textures
from segbench.data.sources.street_scene.look import Key, Layout, Light, Palette, look
from segbench.data.sources.street_scene.shapes import Polygons
from segbench.data.sources.street_scene.world import SIGHT, around

NEAR = 1.0  # meters; nothing is drawn closer to the camera
_SHIFT = 4  # fractional bits of the coordinates passed to OpenCV
_NO_FRACTION = np.empty(0)  # tells cv2.remap that the map contains integer positions
_SMOOTH = np.isin(
    np.arange(256),
    (shapes.SKY, shapes.SIGN, shapes.CAR, shapes.PEDESTRIAN, shapes.BICYCLIST, shapes.VOID),
).astype(np.uint8)


class Camera:
    """Projects meters to pixels for one frame at one size."""

    def __init__(self, layout: Layout, frame: int, height: int, width: int) -> None:
        # The geometric mean keeps the view similar for wide, square and tall images.
        self.focal = layout.focal * np.sqrt(0.75 * height * width)
        sway = np.sin(frame * 0.7 + layout.bend)
        self.x, self.y = layout.camera[0] + 0.12 * sway, layout.camera[1]
        self.column = layout.vanishing[0] * width
        self.row = layout.vanishing[1] * height + 0.006 * height * np.sin(frame * 1.9)
        self.curve = layout.curve * np.cos(layout.step * frame / 90 + layout.bend)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Meters `[..., 3]` to pixels (column, row) `[..., 2]`; s is clamped to `NEAR`."""
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
    layout, palette, light = look(key)
    camera = Camera(layout, frame, height, width)
    world = around(key, frame)
    canvas = np.zeros((height, width, 4), np.uint8)
    _sky(canvas, camera, light, frame)
    _polygons(canvas, camera, light, _ground(layout, palette))
    _polygons(canvas, camera, light, world.marks)
    _shadows(canvas, camera, light, world.shadows)
    _polygons(canvas, camera, light, world.solids)
    if palette.bonnet is not None:
        center, axes = (width // 2, int(height * 1.06)), (int(width * 0.55), int(height * 0.14))
        cv2.ellipse(canvas, center, axes, 0, 0, 360, (*palette.bonnet.tolist(), shapes.VOID), -1)
    mask = np.ascontiguousarray(canvas[..., 3])
    _texture(canvas, mask, camera, palette.grain, layout.step * frame)
    return _develop(cv2.cvtColor(canvas, cv2.COLOR_RGBA2RGB), light, rng), mask


def _sky(canvas: np.ndarray, camera: Camera, light: Light, frame: int) -> None:
    height, width = canvas.shape[:2]
    rows = int(np.clip(camera.row + 2, 1, height))
    blend = np.linspace(1, 0, 24)[:, None, None] ** 1.5
    drift = (int(light.clouds * 37) + frame) % 96
    cloud = textures.clouds()[:24, drift : drift + 32, None] * light.clouds
    small = np.clip(light.zenith * blend + light.fog * (1 - blend) + cloud * blend, 0, 255)
    small = np.concatenate([small, np.full((24, 32, 1), shapes.SKY)], axis=2).astype(np.uint8)
    canvas[:rows] = cv2.resize(small, (width, rows), interpolation=cv2.INTER_LINEAR)


def _ground(layout: Layout, palette: Palette) -> Polygons:
    """Verge, sidewalk, curb and road as bands, cut into strips that fade into the fog."""
    inner, outer = layout.road, layout.road + layout.pavement + 1.2
    bands = (
        (400.0, palette.verge, layout.verge),
        (outer, palette.pavement, shapes.PAVEMENT),
        (inner + 0.18, palette.pavement * 1.25, shapes.PAVEMENT),
        (inner, palette.road, shapes.ROAD),
    )
    ground = shapes.Shapes()
    for far, near in pairwise(np.geomspace(1.5 * SIGHT, NEAR, 18).tolist()):
        for half, color, class_id in bands:
            ground.add(class_id, color, shapes.flat(-half, half, near, far), far)
    return ground.pack()


def _polygons(canvas: np.ndarray, camera: Camera, light: Light, polygons: Polygons) -> None:
    """Fills polygons, far objects first."""
    height, width = canvas.shape[:2]
    pixels = camera.project(polygons.points)
    low, high = pixels.min(1), pixels.max(1)
    depth = polygons.points[..., 2]
    seen = (high > 0).all(1) & (low < (width, height)).all(1) & (depth.max(1) > NEAR)
    seen &= (high - low).max(1) > 0.7  # smaller ones are invisible and only take time
    chosen = np.flatnonzero(seen)
    chosen = chosen[np.argsort(-polygons.depth[chosen], kind="stable")]
    clear = np.exp(-np.maximum(depth[chosen].mean(1), 0) / light.visibility)[:, None]
    colors = polygons.colors[chosen] * clear + light.fog * (1 - clear)
    filling = np.column_stack([np.clip(colors, 0, 255), polygons.ids[chosen]]).tolist()
    corners = np.clip(pixels[chosen], -9 * width - 999, 9 * width + 999)
    corners = np.round(corners * (1 << _SHIFT)).astype(np.int32)
    for corner, fill in zip(corners, filling, strict=True):
        cv2.fillConvexPoly(canvas, corner, fill, cv2.LINE_8, _SHIFT)


def _shadows(canvas: np.ndarray, camera: Camera, light: Light, shadows: Polygons) -> None:
    top = int(np.clip(camera.row + 1, 0, len(canvas) - 1))
    ground = canvas[top:]
    factor = np.full(ground.shape, textures.NEUTRAL, np.uint8)
    dark = textures.NEUTRAL * light.shade
    pixels = camera.project(shadows.points) - (0, top)
    corners = np.round(np.clip(pixels, -9999, 9999)).astype(np.int32)
    for corner in corners[shadows.points[..., 2].max(1) > NEAR]:
        cv2.fillConvexPoly(factor, corner, (dark, dark, min(1.1 * dark, 255), textures.NEUTRAL))
    cv2.multiply(ground, factor, ground, 1 / textures.NEUTRAL)


def _texture(
    canvas: np.ndarray, mask: np.ndarray, camera: Camera, grain: int, travelled: float
) -> None:
    """Textures ground, walls and plants with surfaces that move past the camera."""
    height, width = mask.shape
    top, left = round(height - camera.row), round(width - camera.column)
    view = textures.corridor(height, width)[top : top + height, left : left + width]
    start = int(travelled / textures.TEXEL) % textures.TILE
    surface = textures.surfaces(grain)[start : start + textures.TILE]
    factor = cv2.remap(surface, view, _NO_FRACTION, cv2.INTER_NEAREST)
    smooth = cv2.LUT(mask, _SMOOTH)
    cv2.copyTo(np.full_like(factor, textures.NEUTRAL), smooth, factor)
    cv2.multiply(canvas, factor, canvas, 1 / textures.NEUTRAL)


def _develop(image: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Exposure and tint, rain, blur and sensor noise."""
    height, width = image.shape[:2]
    levels = (np.arange(256)[:, None] / 255) ** light.gamma * light.gain * rng.uniform(0.95, 1.05)
    image = cv2.LUT(image, np.clip(levels * 255, 0, 255).astype(np.uint8)[:, None])
    for column, row, length in rng.uniform(0, 1, (light.rain, 3)):
        start = int(column * width), int(row * height)
        end = start[0] + int(0.01 * width), start[1] + int((0.03 + 0.05 * length) * height)
        cv2.line(image, start, end, (165, 170, 178), 1)
    sigma = light.blur * np.sqrt(height * width / (360 * 480)) * rng.uniform(0.8, 1.2)
    image = cv2.GaussianBlur(image, (5, 5), max(sigma, 0.2))
    top, left = rng.integers(0, 32, 2)
    noise = textures.static(height, width)[top : top + height, left : left + width]
    share = light.noise / 32
    return cv2.addWeighted(image, 1, noise, share, -textures.NEUTRAL * share)
