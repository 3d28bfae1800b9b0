"""Objects in a street. Each function adds one object to `out`, far parts before near ones."""

from __future__ import annotations

import numpy as np

from segbench.data.sources.street_scene.shapes import (
    BUILDING,
    FENCE,
    OCTAGON,
    POLE,
    SIGN,
    TREE,
    VERTICES,
    VOID,
    Shapes,
    along,
    disc,
    facing,
)


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
    """A house with its front at `x`, from `s0` to `s1`; it extends away from the road.

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
    shop = rng.random() < 0.4
    _windows(out, rng, (x, s0, s1), glass, range(int(shop), floors), floor, lit)
    if shop:
        out.add(BUILDING, glass * 0.9, along(x, 0.5, 2.3, s0 + 0.6, s1 - 0.6), s1)
        board = rng.uniform(30, 230, 3)
        out.add(SIGN, board, along(x - away * 0.15, 2.45, 3.15, s0 + 0.5, s1 - 0.5), s1)
    door = s0 + rng.uniform(0.1, 0.8) * (s1 - s0)
    out.add(BUILDING, rng.uniform(30, 170, 3), along(x, 0, 2.1, door, door + 1.0), s1)


def _windows(
    out: Shapes,
    rng: np.random.Generator,
    wall: tuple[float, float, float],
    glass: np.ndarray,
    levels: range,
    floor: float,
    lit: float,
) -> None:
    """A grid of windows on the wall `(x, s0, s1)`, for each of `levels`, `floor` meters apart."""
    x, s0, s1 = wall
    columns = max(2, int((s1 - s0) / rng.uniform(2.2, 3.4)))
    pitch = (s1 - s0) / columns
    wide, tall = rng.uniform(0.4, 0.6) * pitch, rng.uniform(0.45, 0.6) * floor
    sill, near = np.meshgrid(
        np.array(levels) * floor + 0.9, s0 + (np.arange(columns) + 0.5) * pitch - wide / 2
    )
    corner = np.array(along(x, 0, tall, 0, wide) + [(x, 0, wide)] * (VERTICES - 4))
    origin = np.stack([np.zeros(sill.size), sill.ravel(), near.ravel()], axis=1)
    colors = glass * rng.uniform(0.8, 1.2, (sill.size, 1))
    colors[rng.random(sill.size) < lit] = (235, 205, 140)
    out.add_many(BUILDING, colors, corner + origin[:, None], s1)


def tree(out: Shapes, rng: np.random.Generator, x: float, s: float, leaf: np.ndarray) -> None:
    """A trunk under a crown of leaf clumps: large dark ones behind, small light ones in front."""
    height, spread = rng.uniform(5.0, 9.0), rng.uniform(1.3, 2.4)
    fork, radius = rng.uniform(1.8, 2.6), rng.uniform(0.12, 0.26)
    bark = np.array([85, 70, 58]) * rng.uniform(0.6, 1.4)
    trunk = [(x - radius, 0.0, s), (x + radius, 0.0, s)]
    trunk += [(x + radius * 0.7, fork + 1, s), (x - radius * 0.7, fork + 1, s)]
    out.add(TREE, bark, trunk, s)
    size = np.repeat([0.62, 0.26, 0.17], [5, 12, 14])
    light = np.repeat([0.7, 0.95, 1.35], [5, 12, 14])
    count = len(size)
    turn = rng.uniform(0, 2 * np.pi, count)
    reach = np.sqrt(rng.random(count)) * (0.95 - size)
    extent = np.array([spread, (height - fork) / 2])
    center = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach[:, None] * extent
    center += np.stack([np.full(count, x), (height + fork) / 2 + (light - 0.9) * 0.5], axis=1)
    jagged = rng.uniform(0.7, 1.2, (count, VERTICES, 1)) * size[:, None, None]
    outline = center[:, None] + OCTAGON * extent * jagged
    points = np.concatenate([outline, np.full((count, VERTICES, 1), s)], axis=2)
    shades = light * rng.uniform(0.85, 1.15, count) * rng.uniform(0.8, 1.2)
    out.add_many(TREE, leaf * shades[:, None], points, s)


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
    out.add(POLE, color, facing(x - 0.11, x + 0.11, 0, height, s), s)
    out.add(POLE, color * 0.8, facing(x - 0.17, x + 0.17, 0, 1.0, s), s)
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
    out.add(POLE, color, facing(x - 0.085, x + 0.085, 0, height, s), s)
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
    out.add(POLE, color, facing(x - 0.11, x + 0.11, 0, 2.6, s), s)
    out.add(SIGN, np.full(3, 40.0), facing(x - 0.25, x + 0.25, 2.3, 3.5, s), s)
    on = rng.integers(3)
    for lens, glow in enumerate(((70, 220, 120), (240, 180, 60), (240, 60, 50))):
        tint = np.array(glow) * (1.0 if lens == on else 0.3)
        out.add(SIGN, tint, disc(x, 2.5 + 0.38 * lens, 0.13, 0.13, s), s)


def clutter(out: Shapes, rng: np.random.Generator, x: float, s: float) -> None:
    """An unlabeled bin or box."""
    half, height = rng.uniform(0.25, 0.6), rng.uniform(0.8, 1.5)
    color = rng.uniform(30, 150, 3)
    out.add(VOID, color * 0.8, along(x - np.sign(x) * half, 0, height, s, s + 0.8), s + 0.8)
    out.add(VOID, color, facing(x - half, x + half, 0, height, s), s + 0.8)
    out.add(VOID, color * 1.2, facing(x - half, x + half, height - 0.15, height, s), s + 0.8)
