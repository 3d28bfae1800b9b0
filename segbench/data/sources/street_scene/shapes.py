"""Flat polygons in meters, from which all objects of a street are built.

Axes: x to the right of the middle of the road, y up from the ground, s along the road.
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
OCTAGON = np.array(_TURN)  # [VERTICES, 2], on the unit circle


@dataclass(frozen=True)
class Polygons:
    """P polygons; those with fewer corners repeat the last one.

    Args:
        points: float32 `[P, VERTICES, 3]`, x, y, s in meters.
        colors: float32 `[P, 3]`, RGB 0-255.
        ids: uint8 `[P]`, class ids.
        depth: float32 `[P]`, the s by which an object is sorted, equal for all its polygons.
        speed: float32 `[P]`, meters per frame along s.
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
    """Collects polygons from far to near; `pack` converts them to arrays."""

    def __init__(self) -> None:
        # Lists of floats: one large conversion at the end is faster than many small arrays.
        self._points: list[Sequence[Point]] = []
        self._colors: list[Iterable[float]] = []
        self._rest: list[tuple[int, float, float]] = []

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
        self._colors.append(color)
        self._rest.append((class_id, depth, speed))

    def add_many(self, class_id: int, colors: np.ndarray, points: np.ndarray, depth: float) -> None:
        """Adds K polygons of one object: colors `[K, 3]`, points `[K, VERTICES, 3]`."""
        self._points += points.tolist()
        self._colors += colors.tolist()
        self._rest += [(class_id, depth, 0.0)] * len(points)

    def pack(self) -> Polygons:
        """The polygons as arrays."""
        class_id, depth, speed = np.array(self._rest, np.float32).reshape(-1, 3).T
        return Polygons(
            np.array(self._points, np.float32).reshape(-1, VERTICES, 3),
            np.array(self._colors, np.float32).reshape(-1, 3),
            class_id.astype(np.uint8),
            depth,
            speed,
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
