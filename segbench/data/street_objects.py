"""What stands in a street: every object as flat polygons in metres.

Axes: x to the right of the middle of the road, y up from the ground, s along the road. Each
function adds the polygons of one object in the order in which they hide each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

VERTICES = 8
Point = tuple[float, float, float]
_TURN = [(float(np.cos(a)), float(np.sin(a))) for a in (np.arange(8) + 0.5) * np.pi / 4]


@dataclass(frozen=True)
class Polygons:
    """P polygons; those with fewer corners repeat their last one.

    Args:
        points: float32 `[P, VERTICES, 3]`, x, y, s in metres.
        colors: float32 `[P, 3]`, RGB 0-255.
        ids: uint8 `[P]`, class ids.
        depth: float32 `[P]`, the s an object is sorted by, equal for all its polygons.
        speed: float32 `[P]`, metres per frame along s.
    """

    points: np.ndarray
    colors: np.ndarray
    ids: np.ndarray
    depth: np.ndarray
    speed: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[Polygons]) -> Polygons:
        """All polygons of `parts`, in order."""
        fields = ("points", "colors", "ids", "depth", "speed")
        return cls(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


class Shapes:
    """Collects polygons; `pack` turns them into arrays."""

    def __init__(self) -> None:
        self._points: list[list[Point]] = []
        self._colors: list[np.ndarray] = []
        self._ids: list[int] = []
        self._depth: list[float] = []
        self._speed: list[float] = []

    def add(
        self,
        class_id: int,
        color: Iterable[float],
        points: Sequence[Point],
        depth: float,
        speed: float = 0.0,
    ) -> None:
        """Adds one polygon of at most `VERTICES` corners."""
        self._points.append([*points, *[points[-1]] * (VERTICES - len(points))])
        self._colors.append(np.asarray(color, np.float32))
        self._ids.append(class_id)
        self._depth.append(depth)
        self._speed.append(speed)

    def pack(self) -> Polygons:
        """The polygons as arrays."""
        return Polygons(
            np.array(self._points, np.float32).reshape(-1, VERTICES, 3),
            np.array(self._colors, np.float32).reshape(-1, 3),
            np.array(self._ids, np.uint8),
            np.array(self._depth, np.float32),
            np.array(self._speed, np.float32),
        )


def facing(x0: float, x1: float, y0: float, y1: float, s: float) -> list[Point]:
    """A rectangle that faces the camera."""
    return [(x0, y0, s), (x1, y0, s), (x1, y1, s), (x0, y1, s)]


def along(x: float, y0: float, y1: float, s0: float, s1: float) -> list[Point]:
    """An upright rectangle that runs along the road."""
    return [(x, y0, s0), (x, y1, s0), (x, y1, s1), (x, y0, s1)]


def flat(x0: float, x1: float, s0: float, s1: float, y: float = 0.0) -> list[Point]:
    """A level rectangle."""
    return [(x0, y, s0), (x1, y, s0), (x1, y, s1), (x0, y, s1)]


def disc(x: float, y: float, rx: float, ry: float, s: float) -> list[Point]:
    """An ellipse that faces the camera."""
    return [(x + rx * u, y + ry * v, s) for u, v in _TURN]


def building(
    out: Shapes,
    rng: np.random.Generator,
    x: float,
    s0: float,
    s1: float,
    color: np.ndarray,
    floors: int,
    lit: float,
) -> None:
    """A house whose front stands at `x` and runs from `s0` to `s1`; it extends away from the road.

    Args:
        lit: share of windows with the light on, 0 to 1.
    """
    away = np.sign(x)
    floor = rng.uniform(2.8, 3.6)
    top = floor * floors + rng.uniform(0.2, 0.8)
    ridge = rng.uniform(1.5, 3.5) if rng.random() < 0.55 else 0.0
    roof = np.array([110, 95, 90]) * rng.uniform(0.5, 1.3) + rng.normal(0, 12, 3)
    front_light, end_light = rng.uniform(0.85, 1.1), rng.uniform(0.65, 1.0)
    gable = [(x, 0.0, s0), (x, top, s0), (x + away * 4, top + ridge, s0)]
    gable += [(x + away * 8, top, s0), (x + away * 12, top, s0), (x + away * 12, 0.0, s0)]
    out.add(BUILDING, color * end_light, gable, s1)
    if ridge:
        inner = x + away * 4
        slope = [(x, top, s0), (x, top, s1), (inner, top + ridge, s1), (inner, top + ridge, s0)]
        out.add(BUILDING, roof, slope, s1)
    out.add(BUILDING, color * front_light, along(x, 0, top, s0, s1), s1)
    out.add(BUILDING, color * front_light * 1.15, along(x, top - 0.3, top, s0, s1), s1)
    glass = np.array([70, 80, 95]) * rng.uniform(0.4, 1.9)
    columns = max(2, int((s1 - s0) / rng.uniform(2.2, 3.4)))
    pitch = (s1 - s0) / columns
    wide, tall = rng.uniform(0.4, 0.6) * pitch, rng.uniform(0.45, 0.6) * floor
    shop = rng.random() < 0.4
    for level in range(int(shop), floors):
        sill = level * floor + 0.9
        for column in range(columns):
            near = s0 + (column + 0.5) * pitch - wide / 2
            pane = (
                np.array([235, 205, 140]) if rng.random() < lit else glass * rng.uniform(0.8, 1.2)
            )
            out.add(BUILDING, pane, along(x, sill, sill + tall, near, near + wide), s1)
    if shop:
        out.add(BUILDING, glass * 0.9, along(x, 0.5, 2.3, s0 + 0.6, s1 - 0.6), s1)
        board = rng.uniform(30, 230, 3)
        out.add(SIGN, board, along(x - away * 0.15, 2.45, 3.15, s0 + 0.5, s1 - 0.5), s1)
    door = s0 + rng.uniform(0.1, 0.8) * (s1 - s0)
    out.add(BUILDING, rng.uniform(30, 170, 3), along(x, 0, 2.1, door, door + 1.0), s1)


def tree(out: Shapes, rng: np.random.Generator, x: float, s: float, leaf: np.ndarray) -> None:
    """A trunk under a crown of leaf clumps."""
    height, spread = rng.uniform(5.0, 9.0), rng.uniform(1.3, 2.4)
    fork = rng.uniform(1.8, 2.6)
    bark = np.array([85, 70, 58]) * rng.uniform(0.6, 1.4)
    radius = rng.uniform(0.12, 0.26)
    trunk = [(x - radius, 0.0, s), (x + radius, 0.0, s)]
    out.add(
        TREE, bark, [*trunk, (x + radius * 0.7, fork + 1, s), (x - radius * 0.7, fork + 1, s)], s
    )
    middle, half = (height + fork) / 2, (height - fork) / 2
    tone = leaf * rng.uniform(0.8, 1.2)
    for size, count, light in ((0.62, 5, 0.7), (0.26, 12, 0.95), (0.17, 14, 1.35)):
        for _ in range(count):
            turn, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * (0.95 - size)
            u = x + np.cos(turn) * reach * spread
            v = middle + np.sin(turn) * reach * half + (light - 0.9) * 0.5
            clump = disc(0, 0, size * spread, size * half, s)
            jagged = rng.uniform(0.7, 1.2, VERTICES)
            points = [
                (u + px * j, v + py * j, s) for (px, py, _), j in zip(clump, jagged, strict=True)
            ]
            out.add(TREE, tone * light * rng.uniform(0.85, 1.15), points, s)


def hedge(
    out: Shapes, rng: np.random.Generator, x: float, s0: float, s1: float, leaf: np.ndarray
) -> None:
    """A row of bushes along the road."""
    for s in np.arange(s1, s0, -0.9):
        height = rng.uniform(0.8, 1.7)
        out.add(
            TREE, leaf * rng.uniform(0.6, 1.2), disc(x, height / 2, 0.8, height / 2 + 0.1, s), s
        )


def fence(
    out: Shapes, rng: np.random.Generator, x: float, s0: float, s1: float, color: np.ndarray
) -> None:
    """Panels between posts, with either boards or rails."""
    height = rng.uniform(1.0, 1.8)
    out.add(FENCE, color, along(x, 0, height, s0, s1), s1)
    if rng.random() < 0.5:
        for y in (0.25 * height, 0.6 * height, 0.93 * height):
            out.add(FENCE, color * 1.35, along(x, y, y + 0.09, s0, s1), s1)
    pitch = rng.choice([0.5, 1.0, 2.0])
    for s in np.arange(s0, s1 - 0.1, pitch):
        out.add(FENCE, color * 0.55, along(x, 0, height + 0.1, s, s + 0.16), s1)


def lamp(out: Shapes, rng: np.random.Generator, x: float, s: float, color: np.ndarray) -> None:
    """A lamp post whose arm reaches over the road."""
    height, reach = rng.uniform(5.0, 8.0), -np.sign(x) * rng.uniform(0.8, 2.0)
    out.add(POLE, color, facing(x - 0.1, x + 0.1, 0, height, s), s)
    out.add(POLE, color * 0.8, facing(x - 0.16, x + 0.16, 0, 1.0, s), s)
    arm = [(x, height - 0.1, s), (x, height + 0.05, s)]
    out.add(POLE, color, [*arm, (x + reach, height + 0.4, s), (x + reach, height + 0.25, s)], s)
    out.add(
        POLE,
        color * 1.2,
        facing(x + reach - 0.3, x + reach + 0.3, height + 0.2, height + 0.4, s),
        s,
    )


def sign(out: Shapes, rng: np.random.Generator, x: float, s: float, color: np.ndarray) -> None:
    """A pole with a round, triangular or rectangular plate."""
    height, radius = rng.uniform(2.3, 3.1), rng.uniform(0.36, 0.55)
    out.add(POLE, color, facing(x - 0.07, x + 0.07, 0, height, s), s)
    rim = np.array([(190, 40, 40), (40, 70, 160), (210, 180, 60), (60, 120, 70), (200, 200, 200)])
    rim_color = rng.permutation(rim)[0] * rng.uniform(0.7, 1.1)
    field = rng.choice([215.0, 190.0, 90.0]) * np.ones(3)
    shape = rng.integers(3)
    for size, tint in ((1.0, rim_color), (0.65, field)):
        r = radius * size
        triangle = [(x - r, height - r * 0.7, s), (x + r, height - r * 0.7, s), (x, height + r, s)]
        plate = (
            disc(x, height, r, r, s),
            triangle,
            facing(x - r, x + r, height - r, height + r, s),
        )
        out.add(SIGN, tint, plate[shape], s)
    if rng.random() < 0.4:
        low = height - radius - 0.55
        out.add(SIGN, rim_color * 0.9, facing(x - 0.45, x + 0.45, low, low + 0.4, s), s)


def traffic_light(
    out: Shapes, rng: np.random.Generator, x: float, s: float, color: np.ndarray
) -> None:
    """A pole with a box of three lamps, one of them on."""
    out.add(POLE, color, facing(x - 0.08, x + 0.08, 0, 2.6, s), s)
    out.add(SIGN, np.full(3, 40.0), facing(x - 0.25, x + 0.25, 2.3, 3.5, s), s)
    on = rng.integers(3)
    for lens, glow in enumerate(((70, 220, 120), (240, 180, 60), (240, 60, 50))):
        tint = np.array(glow) * (1.0 if lens == on else 0.3)
        out.add(SIGN, tint, disc(x, 2.5 + 0.38 * lens, 0.13, 0.13, s), s)


def clutter(out: Shapes, rng: np.random.Generator, x: float, s: float) -> None:
    """A bin or a box that nobody labelled."""
    half, height = rng.uniform(0.25, 0.6), rng.uniform(0.8, 1.5)
    color = rng.uniform(30, 150, 3)
    out.add(VOID, color * 0.8, along(x - np.sign(x) * half, 0, height, s, s + 0.8), s + 0.8)
    out.add(VOID, color, facing(x - half, x + half, 0, height, s), s + 0.8)
    out.add(VOID, color * 1.2, facing(x - half, x + half, height - 0.15, height, s), s + 0.8)
