"""The world of a drive: an endless street in chunks, each generated from its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segbench.data.sources.street_scene import objects
from segbench.data.sources.street_scene.look import Key, look
from segbench.data.sources.street_scene.shapes import (
    BUILDING,
    ROAD,
    TREE,
    Point,
    Polygons,
    Shapes,
    disc,
    facing,
    flat,
)
from segbench.data.sources.street_scene.traffic import bicyclist, car, pedestrian

CHUNK = 24.0  # meters of street generated at a time
_PAINTS = np.array([(205, 205, 205), (35, 36, 40), (130, 132, 136), (150, 40, 38), (45, 65, 120)])
SIGHT = 96.0  # meters that the camera sees; a backdrop closes the view there


@dataclass(frozen=True)
class Chunk:
    """A piece of street: markings on the ground, shadows, and objects."""

    marks: Polygons
    shadows: Polygons
    solids: Polygons


def around(key: Key, frame: int) -> Chunk:
    """Everything that the camera may see in `frame`; s is relative to the camera."""
    travelled = look(key)[0].step * frame
    first = int(travelled // CHUNK)
    parts = [chunk(key, first + ahead) for ahead in range(int(SIGHT // CHUNK) + 1)]
    solids = _move([part.solids for part in parts], travelled, frame)
    return Chunk(
        _move([part.marks for part in parts], travelled, frame),
        _move([part.shadows for part in parts], travelled, frame),
        Polygons.concatenate([solids, companions(key)]),
    )


def _move(parts: list[Polygons], travelled: float, frame: int) -> Polygons:
    still = Polygons.concatenate(parts)
    shift = still.speed * np.float32(frame) - np.float32(travelled)
    points = still.points.copy()
    points[..., 2] += shift[:, None]
    return Polygons(points, still.colors, still.ids, still.depth + shift, still.speed)


@lru_cache(maxsize=1024)
def chunk(key: Key, number: int) -> Chunk:
    """The street, starting at `number * CHUNK` meters."""
    street = _Street(key, np.random.default_rng([*key, 1, number]), number * CHUNK)
    street.markings()
    for side in (-1, 1):
        street.lots(side)
        street.furniture(side)
        street.people(side)
    street.traffic()
    return Chunk(street.marks.pack(), street.shadows.pack(), street.solids.pack())


@lru_cache(maxsize=1024)
def companions(key: Key) -> Polygons:
    """Objects at a fixed distance from the camera: the backdrop and perhaps a car ahead."""
    street = _Street(key, np.random.default_rng([*key, 2]), 0.0)
    rng, palette, out = street.rng, street.palette, street.solids
    for x in np.arange(-120.0, 120.0, 9.0):
        top = rng.uniform(4, 15)
        if rng.random() < 0.6:
            wall = rng.choice(palette.houses) * 0.9
            out.add(BUILDING, wall, facing(x, x + 9.5, 0, top, SIGHT), SIGHT)
        else:
            hill = disc(x + 4, 0, 8, top * 0.7, SIGHT)
            out.add(TREE, palette.leaf * 0.8, [(u, max(v, 0.0), s) for u, v, s in hill], SIGHT)
    if rng.random() < 0.5:
        street.vehicle(street.layout.camera[0] + rng.uniform(-0.4, 0.4), rng.uniform(9, 30), True)
    return out.pack()


class _Street:
    """Fills one chunk of the drive `key`, which starts at `start` meters."""

    def __init__(self, key: Key, rng: np.random.Generator, start: float) -> None:
        self.layout, self.palette, self.light = look(key)
        self.rng, self.start = rng, start
        self.marks, self.shadows, self.solids = Shapes(), Shapes(), Shapes()
        # The frame in which the camera arrives; moving objects start so that they are here then.
        self.arrival = (start - 30.0) / self.layout.step

    def markings(self) -> None:
        """Road repairs, lines, and occasional zebra crossings."""
        rng, road, start = self.rng, self.layout.road, self.start
        for _ in range(rng.integers(1, 4)):
            x, s = rng.uniform(-road, road * 0.6), start + rng.uniform(0, CHUNK - 8)
            right = min(x + rng.uniform(0.6, 3), road)
            self._mark(rng.uniform(0.75, 1.25), flat(x, right, s, s + rng.uniform(1, 8)))
        for s in np.arange(start, start + CHUNK, 6.0):
            self._mark(1.9, flat(-0.07, 0.07, s, s + 3))
            for edge in (-road + 0.35, road - 0.35):
                self._mark(1.5, flat(edge - 0.06, edge + 0.06, s, s + 6))
        if rng.random() < 0.12:
            for x in np.arange(-road + 0.4, road - 0.4, 1.0):
                self._mark(1.9, flat(x, x + 0.5, start + 2, start + 5))

    def lots(self, side: int) -> None:
        """Two lots beyond the sidewalk: a house, or trees behind a fence."""
        rng, layout, palette = self.rng, self.layout, self.palette
        cut = self.start + CHUNK * rng.uniform(0.4, 0.6)
        front = side * (layout.road + layout.pavement)
        for s0, s1 in ((cut, self.start + CHUNK), (self.start, cut)):
            built = rng.random() < layout.built
            if built:
                gap = rng.uniform(0, 1.5) if rng.random() < 0.5 else 0.0
                self._house(front + side * rng.uniform(0, 1.2), s0, s1 - gap)
            else:
                for _ in range(rng.integers(2, 5)):
                    x, s = front + side * rng.uniform(2, 9), rng.uniform(s0, s1)
                    objects.tree(self.solids, rng, x, s, palette.leaf)
                if rng.random() < 0.4:
                    objects.hedge(self.solids, rng, front + side, s0, s1, palette.leaf)
            if rng.random() < (0.25 if built else 0.8):
                objects.fence(self.solids, rng, front - side * 0.1, s0, s1, palette.fence)

    def furniture(self, side: int) -> None:
        """Street trees, lamps, signs, traffic lights and unlabeled clutter."""
        rng, layout, out = self.rng, self.layout, self.solids
        curb = side * (layout.road + 0.55)
        for s in self.start + np.array([3.0, 11.0, 19.0]):
            if rng.random() < layout.trees:
                x = curb + side * rng.uniform(0, 0.5)
                objects.tree(out, rng, x, s, self.palette.leaf)
                self._cast(x, s, 2.0, 3.5)
        posts = ((objects.lamp, 0.55), (objects.sign, 0.75), (objects.traffic_light, 0.2))
        for post, chance in posts:
            if rng.random() < chance:
                x, s = curb - side * rng.uniform(0, 0.3), self.start + rng.uniform(0, CHUNK)
                post(out, rng, x, s, self.palette.metal)
                self._cast(x, s, 0.12, 4.0)
        if rng.random() < 0.35:
            x = side * (layout.road + layout.pavement - 0.8)
            objects.clutter(out, rng, x, self.start + rng.uniform(0, CHUNK))

    def people(self, side: int) -> None:
        """Pedestrians on the sidewalk, some on the road, and a bicyclist near the curb."""
        rng, layout = self.rng, self.layout
        for _ in range(rng.poisson(1.1 * layout.crowd)):
            x = side * (layout.road + rng.uniform(0.7, layout.pavement - 0.3))
            if rng.random() < 0.12:
                x = side * rng.uniform(0, layout.road)
            s = self.start + rng.uniform(0, CHUNK)
            pedestrian(self.solids, rng, x, s)
            self._cast(x, s, 0.3, 1.6)
        if rng.random() < 0.32 * layout.crowd:
            x = side * (layout.road - (2.4 if layout.parking else rng.uniform(0.6, 1.0)))
            speed = layout.step * (0.35 if side * layout.camera[0] > 0 else -0.2)
            s = self.start + rng.uniform(0, CHUNK) - speed * self.arrival
            bicyclist(self.solids, rng, x, s, speed)
            self._darken(flat(x - 0.3, x + 0.3, s - 0.4, s + 0.6), speed)

    def traffic(self) -> None:
        """Parked cars on both sides and oncoming ones."""
        rng, layout = self.rng, self.layout
        if layout.parking:
            for side in (-1, 1):
                x, away = side * (layout.road - 1.05), side * layout.camera[0] > 0
                for s in self.start + np.array([0.5, 6.5, 12.5, 18.5]):
                    if rng.random() < 0.38:
                        self.vehicle(x, s + rng.uniform(0, 0.8), away)
        if rng.random() < 0.35:
            speed = -layout.step * 0.5
            s = self.start + rng.uniform(0, CHUNK) - speed * self.arrival
            self.vehicle(-layout.camera[0], s, False, speed)

    def vehicle(self, x: float, s: float, away: bool, speed: float = 0.0) -> None:
        """A car and its shadow; often in the color of a house, the road or the leaves."""
        rng, palette = self.rng, self.palette
        near = [*palette.houses, palette.road, palette.leaf, palette.metal]
        paint = rng.choice(near if rng.random() < 0.35 else _PAINTS) * rng.uniform(0.75, 1.15)
        car(self.solids, rng, x, s, -1 if x > self.layout.camera[0] else 1, paint, away, speed)
        left, right = x - 0.95 - (self.light.sun > 0), x + 0.95 + (self.light.sun < 0)
        self._darken(flat(left, right, s - 0.15, s + 4.4), speed)

    def _house(self, x: float, s0: float, s1: float) -> None:
        rng, sun, side = self.rng, self.light.sun, np.sign(x)
        floors = int(np.clip(self.layout.floors + rng.integers(-1, 2), 1, 5))
        wall = rng.choice(self.palette.houses) * rng.uniform(0.9, 1.1) * (1 - 0.22 * sun * side)
        objects.building(self.solids, rng, x, s0, s1, wall, floors, self.light.lit)
        if sun == side:
            reach = min(floors * 2.9, 2 * self.layout.road)
            self._darken(flat(x, x - side * reach, s0, s1))

    def _mark(self, tone: float, points: list[Point]) -> None:
        self.marks.add(ROAD, np.minimum(self.palette.road * tone, 235), points, points[0][2])

    def _cast(self, x: float, s: float, width: float, reach: float) -> None:
        """The shadow of an object `width` meters wide, cast `reach` meters away from the sun."""
        if self.light.sun:
            self._darken(flat(x, x - self.light.sun * reach, s - width / 2, s + width / 2))

    def _darken(self, points: list[Point], speed: float = 0.0) -> None:
        self.shadows.add(ROAD, (0, 0, 0), points, points[0][2], speed)
