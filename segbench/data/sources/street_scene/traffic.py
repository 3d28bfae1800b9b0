"""Moving objects of a street: cars, pedestrians and bicyclists as flat polygons in meters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segbench.data.sources.street_scene.shapes import (
    BICYCLIST,
    CAR,
    PEDESTRIAN,
    Point,
    Shapes,
    along,
    disc,
    facing,
    flat,
)


def car(
    out: Shapes,
    rng: np.random.Generator,
    x: float,
    s: float,
    visible_side: int,
    color: np.ndarray,
    away: bool,
    speed: float = 0.0,
) -> None:
    """A car or van as two boxes on wheels.

    Args:
        s: position of the end closer to the camera.
        visible_side: -1 if the camera sees its left side, 1 for the right side.
        away: it faces away from the camera, which sees its tail lights.
    """
    van = rng.random() < 0.13
    half = rng.uniform(0.95, 1.1) if van else rng.uniform(0.82, 0.92)
    top = rng.uniform(2.0, 2.6) if van else rng.uniform(1.38, 1.6)
    length = rng.uniform(4.8, 6.5) if van else rng.uniform(3.8, 4.6)
    belt, far = top * 0.58, s + length
    front, rear = (0.5, 0.15) if van else (rng.uniform(0.9, 1.3), rng.uniform(0.3, 0.9))
    first, last = (rear, front) if away else (front, rear)
    glass = np.array([45, 52, 60]) * rng.uniform(0.6, 1.6)
    flank = x + visible_side * half

    def add(tint: np.ndarray, points: Sequence[Point]) -> None:
        out.add(CAR, tint, points, far, speed)

    near_roof, far_roof = s + first + 0.35, far - last - 0.35
    inset = visible_side * 0.14
    add(color * 0.8, along(flank, 0.28, belt, s, far))
    add(color * 0.25, along(flank, 0.2, 0.38, s, far))
    for axle in (s + 0.75, far - 0.8):
        for radius, tint in ((0.33, 28.0), (0.18, 110.0)):
            wheel = [(flank, y, axle + u) for u, y, _ in disc(0, 0.33, radius, radius, 0)]
            add(np.full(3, tint), wheel)
    add(color * 1.12, flat(x - half, x + half, s, far, belt))
    cabin = [(flank, belt, s + first), (flank - inset, top, near_roof)]
    add(color * 0.85, [*cabin, (flank - inset, top, far_roof), (flank, belt, far - last)])
    if not van:
        pane = [(flank, belt + 0.04, s + first + 0.2), (flank - inset, top - 0.1, near_roof + 0.1)]
        pane += [(flank - inset, top - 0.1, far_roof - 0.1), (flank, belt + 0.04, far - last - 0.2)]
        add(glass, pane)
    add(color * 1.2, flat(x - half + 0.14, x + half - 0.14, near_roof, far_roof, top))
    screen = [(x - half, belt, s + first), (x + half, belt, s + first)]
    screen += [(x + half - 0.14, top, near_roof), (x - half + 0.14, top, near_roof)]
    add(color * 0.95, screen)
    pane = [(x - half + 0.1, belt + 0.03, s + first), (x + half - 0.1, belt + 0.03, s + first)]
    pane += [(x + half - 0.22, top - 0.1, near_roof), (x - half + 0.22, top - 0.1, near_roof)]
    add(glass * 1.2, pane)
    for wheel_x in (x - half + 0.18, x + half - 0.18):
        add(np.full(3, 25.0), facing(wheel_x - 0.12, wheel_x + 0.12, 0, 0.45, s))
    add(color, facing(x - half, x + half, 0.28, belt, s))
    add(color * 0.45, facing(x - half, x + half, 0.25, 0.42, s))
    add(np.full(3, 200.0), facing(x - 0.25, x + 0.25, 0.45, 0.57, s))
    light = np.array([200, 40, 35]) if away else np.array([245, 240, 215])
    for lamp_x in (x - half + 0.2, x + half - 0.2):
        add(light, facing(lamp_x - 0.16, lamp_x + 0.16, belt - 0.28, belt - 0.12, s))


def pedestrian(
    out: Shapes, rng: np.random.Generator, x: float, s: float, speed: float = 0.0
) -> None:
    """A standing or walking figure."""
    tall = rng.uniform(1.55, 1.9) if rng.random() < 0.85 else rng.uniform(1.1, 1.4)
    _figure(out, rng, PEDESTRIAN, x, s, tall, 0.0, speed)


def bicyclist(
    out: Shapes, rng: np.random.Generator, x: float, s: float, speed: float = 0.0
) -> None:
    """A rider on a bicycle, seen more or less from behind."""
    turn = rng.uniform(0.1, 0.6)
    metal = rng.uniform(20, 150, 3)
    for offset in (turn * 0.9, -turn * 0.9):
        out.add(
            BICYCLIST,
            np.full(3, 30.0),
            disc(x + offset, 0.34, 0.07 + 0.3 * turn, 0.35, s),
            s,
            speed,
        )
        if turn > 0.3:
            hub = disc(x + offset, 0.34, 0.22 * turn, 0.25, s)
            out.add(BICYCLIST, np.full(3, 95.0), hub, s, speed)
    frame = facing(x - turn * 0.8 - 0.05, x + turn * 0.8 + 0.05, 0.45, 0.75, s)
    out.add(BICYCLIST, metal, frame, s, speed)
    bar = facing(x - 0.32, x + 0.32, 1.0, 1.1, s)
    out.add(BICYCLIST, metal * 0.6, bar, s, speed)
    _figure(out, rng, BICYCLIST, x, s, 1.45, 0.35, speed)


def _figure(
    out: Shapes,
    rng: np.random.Generator,
    class_id: int,
    x: float,
    s: float,
    tall: float,
    lift: float,
    speed: float,
) -> None:
    """Legs, body, arms and head of a person `tall` meters high, `lift` meters off the ground."""
    hip, neck = lift + 0.48 * tall, lift + 0.84 * tall
    wide = 0.14 * tall
    coat, trousers = rng.uniform(25, 215, 3) * rng.uniform(0.4, 1), rng.uniform(25, 130, 3)
    skin = np.array([205, 160, 135]) * rng.uniform(0.4, 1.1)
    stride = rng.uniform(0.02, 0.22) * tall * 0.5
    for leg in (-1, 1):
        foot = x + leg * (stride + 0.04)
        points = [(foot - 0.09, lift, s), (foot + 0.09, lift, s)]
        points += [(x + leg * 0.08 + 0.12, hip, s), (x + leg * 0.08 - 0.12, hip, s)]
        out.add(class_id, trousers * (0.85 if leg < 0 else 1.0), points, s, speed)
        arm = x + leg * wide
        limb = facing(arm - 0.07, arm + 0.07, hip - 0.02, neck - 0.06, s)
        out.add(class_id, coat * 0.8, limb, s, speed)
    body = [(x - wide * 0.75, hip - 0.08, s), (x + wide * 0.75, hip - 0.08, s)]
    body += [(x + wide, neck - 0.08, s), (x + 0.08, neck, s)]
    body += [(x - 0.08, neck, s), (x - wide, neck - 0.08, s)]
    out.add(class_id, coat, body, s, speed)
    if rng.random() < 0.3:
        bag = facing(x - wide * 0.6, x + wide * 0.6, hip + 0.1, neck - 0.1, s)
        out.add(class_id, rng.uniform(20, 180, 3), bag, s, speed)
    head = lift + 0.92 * tall
    out.add(class_id, skin, disc(x, head, 0.1, 0.13, s), s, speed)
    out.add(class_id, rng.uniform(20, 140, 3), disc(x, head + 0.06, 0.11, 0.08, s), s, speed)
