"""The world of a drive: its look, and the street as endless chunks, each drawn from a key alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segbench.data import street_objects as things
from segbench.data.street_objects import Polygons, Shapes, facing, flat
from segbench.data.street_traffic import bicyclist, car, pedestrian

CHUNK = 24.0  # metres of street made at a time
SIGHT = 120.0  # metres the camera sees; a backdrop closes the view there

Key = tuple[int, ...]  # seed, split, drive


@dataclass(frozen=True)
class Look:
    """What all frames of a drive share; lengths in metres, colours RGB 0-255."""

    road: float  # from the middle of the road to the kerb
    pavement: float  # width of the pavement
    curve: float  # largest curvature, 1/m
    bend: float  # where in the bend the drive begins, radians
    camera: tuple[float, float]  # x and height
    focal: float  # in image heights at 4:3
    vanishing: tuple[float, float]  # where the road vanishes, as share of width and height
    step: float  # metres from frame to frame
    road_color: np.ndarray
    pavement_color: np.ndarray
    verge_color: np.ndarray
    verge_id: int
    house_colors: np.ndarray  # [5, 3]
    floors: int
    leaf: np.ndarray
    metal: np.ndarray
    fence_color: np.ndarray
    built: float  # share of the lots with a house
    trees: float  # chance of a tree at each place for one
    crowd: float  # factor on everybody on foot or wheels
    parking: bool
    sun: int  # side it stands on, 0 when overcast
    shade: float  # brightness in the shadow
    visibility: float  # metres of fog that leave 1/e
    fog: np.ndarray
    zenith: np.ndarray
    clouds: float
    gain: np.ndarray  # [3]
    gamma: float
    blur: float  # standard deviation in pixels at 360 rows
    noise: float  # standard deviation in grey levels
    rain: int  # streaks
    lit: float  # share of windows with the light on
    grain: int  # which surface textures
    bonnet: np.ndarray | None  # colour of the strip of our own car, which is void


@dataclass(frozen=True)
class Chunk:
    """A piece of street: markings on the ground, shadows on it, and what stands there."""

    marks: Polygons
    shadows: Polygons
    solids: Polygons


@lru_cache(maxsize=256)
def look(key: Key) -> Look:
    """The look of the drive `key`."""
    rng = np.random.default_rng([*key, 0])
    weather = rng.choice(["sun", "overcast", "fog", "rain", "dusk"], p=[0.4, 0.25, 0.1, 0.12, 0.13])
    dim = {"sun": 1.05, "overcast": 0.95, "fog": 0.95, "rain": 0.8, "dusk": 0.62}[weather]
    sky = {
        "sun": ((205, 218, 232), (110, 150, 205)),
        "overcast": ((205, 206, 208), (165, 170, 178)),
        "fog": ((190, 192, 195), (175, 178, 182)),
        "rain": ((160, 165, 172), (120, 126, 135)),
        "dusk": ((225, 165, 125), (95, 105, 145)),
    }[weather]
    visibility = {"sun": 500.0, "overcast": 250.0, "fog": 50.0, "rain": 110.0, "dusk": 220.0}[
        weather
    ]
    warm = np.array([1.0, 0.0, -1.0]) * (rng.normal(0, 0.05) + (0.07 if weather == "dusk" else 0))
    parking = bool(rng.random() < 0.6)
    road = rng.uniform(4.9, 5.8) if parking else rng.uniform(3.6, 4.8)
    green = bool(rng.random() < 0.3)
    leaf = np.array([(70, 95, 45), (105, 110, 50), (120, 95, 60), (55, 70, 55), (140, 105, 45)])
    gray = rng.uniform(75, 135)
    return Look(
        road=road,
        pavement=rng.uniform(2.4, 4.2),
        curve=rng.uniform(-1, 1) / 350,
        bend=rng.uniform(0, 2 * np.pi),
        camera=(rng.choice([-1, 1]) * road * (0.3 if parking else 0.42), rng.uniform(1.35, 1.75)),
        focal=rng.uniform(0.95, 1.25),
        vanishing=(rng.uniform(0.42, 0.58), rng.uniform(0.43, 0.54)),
        step=rng.uniform(1.8, 4.0),
        road_color=gray + rng.normal(0, 5, 3),
        pavement_color=gray * rng.uniform(0.85, 1.4) + rng.normal(0, 9, 3),
        verge_color=leaf[rng.integers(5)] * 1.0
        if green
        else rng.uniform(85, 140) + rng.normal(0, 9, 3),
        verge_id=things.TREE if green else things.PAVEMENT,
        house_colors=_house_colors(rng),
        floors=int(rng.integers(2, 5)),
        leaf=leaf[rng.integers(5)] * rng.uniform(0.8, 1.25) + rng.normal(0, 6, 3),
        metal=rng.uniform(40, 190) + rng.normal(0, 6, 3),
        fence_color=_fence_colors(rng, leaf),
        built=rng.uniform(0.55, 0.95),
        trees=rng.uniform(0.05, 0.6),
        crowd=rng.uniform(0.6, 1.5),
        parking=parking,
        sun=int(rng.choice([-1, 1])) if weather == "sun" else 0,
        shade=rng.uniform(0.45, 0.65),
        visibility=visibility * rng.uniform(0.75, 1.4),
        fog=np.array(sky[0]) + rng.normal(0, 6, 3),
        zenith=np.array(sky[1]) + rng.normal(0, 8, 3),
        clouds=rng.uniform(5, 40),
        gain=dim * rng.uniform(0.85, 1.12) * (1 + warm),
        gamma=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.4, 1.1),
        noise=rng.uniform(2, 9) + (4 if weather == "dusk" else 0),
        rain=int(rng.integers(40, 120)) if weather == "rain" else 0,
        lit=rng.uniform(0.2, 0.5) if weather == "dusk" else 0.02,
        grain=int(rng.integers(3)),
        bonnet=rng.uniform(20, 160, 3) if rng.random() < 0.3 else None,
    )


def _house_colors(rng: np.random.Generator) -> np.ndarray:
    plaster = np.array(
        [(165, 160, 150), (125, 122, 120), (140, 95, 78), (180, 165, 130), (110, 120, 105),
         (150, 152, 160), (95, 85, 80), (185, 185, 182)]
    )  # fmt: skip
    return plaster[rng.integers(len(plaster), size=5)] * rng.uniform(0.75, 1.15, (5, 1))


def _fence_colors(rng: np.random.Generator, leaf: np.ndarray) -> np.ndarray:
    wood = np.array([(100, 80, 60), (120, 122, 124), (55, 60, 58), (165, 160, 150)])
    return np.concatenate([wood, leaf])[rng.integers(9)] * rng.uniform(0.7, 1.2)


@lru_cache(maxsize=512)
def chunk(key: Key, number: int) -> Chunk:
    """The street from `number * CHUNK` metres on."""
    rng = np.random.default_rng([*key, 1, number])
    marks, shadows, solids = Shapes(), Shapes(), Shapes()
    scene, start = look(key), number * CHUNK
    _markings(marks, rng, scene, start)
    for side in (-1, 1):
        _lots(solids, shadows, rng, scene, side, start)
        _furniture(solids, shadows, rng, scene, side, start)
        _people(solids, shadows, rng, scene, side, start)
    _traffic(solids, shadows, rng, scene, start)
    return Chunk(marks.pack(), shadows.pack(), solids.pack())


def _markings(out: Shapes, rng: np.random.Generator, scene: Look, start: float) -> None:
    def mark(tone: float | np.ndarray, x0: float, x1: float, s0: float, s1: float) -> None:
        color = np.clip(scene.road_color * tone, 0, 235)
        out.add(things.ROAD, color, flat(x0, x1, s0, s1), s0)

    for _ in range(rng.integers(1, 4)):  # repairs
        x, s = rng.uniform(-scene.road, scene.road * 0.6), start + rng.uniform(0, CHUNK - 8)
        mark(
            rng.uniform(0.75, 1.25),
            x,
            min(x + rng.uniform(0.6, 3), scene.road),
            s,
            s + rng.uniform(1, 8),
        )
    for s in np.arange(start, start + CHUNK, 6.0):
        mark(1.9, -0.07, 0.07, s, s + 3)
        for side in (-1, 1):
            edge = side * (scene.road - 0.35)
            mark(1.5, edge - 0.06, edge + 0.06, s, s + 6)
    if rng.random() < 0.12:
        for x in np.arange(-scene.road + 0.4, scene.road - 0.4, 1.0):
            mark(1.9, x, x + 0.5, start + 2, start + 5)


def _lots(
    out: Shapes, shadows: Shapes, rng: np.random.Generator, scene: Look, side: int, start: float
) -> None:
    cut = start + CHUNK * rng.uniform(0.4, 0.6)
    front = side * (scene.road + scene.pavement)
    for s0, s1 in ((cut, start + CHUNK), (start, cut)):
        if rng.random() < scene.built:
            gap = rng.uniform(0, 1.5) if rng.random() < 0.5 else 0.0
            floors = int(np.clip(scene.floors + rng.integers(-1, 2), 1, 5))
            color = scene.house_colors[rng.integers(5)] * rng.uniform(0.9, 1.1)
            lit_side = 1.0 if scene.sun == 0 else 1.0 - 0.22 * scene.sun * side
            x = front + side * rng.uniform(0, 1.2)
            things.building(out, rng, x, s0, s1 - gap, color * lit_side, floors, scene.lit)
            if scene.sun == side:
                reach = min(floors * 3.2 * 0.9, 2 * scene.road)
                shadows.add(0, (0, 0, 0), flat(x, x - side * reach, s0, s1 - gap), s0)
            fenced = 0.2
        else:
            fenced = 0.75
            for _ in range(rng.integers(2, 5)):
                x, s = front + side * rng.uniform(2, 9), rng.uniform(s0, s1)
                things.tree(out, rng, x, s, scene.leaf)
            if rng.random() < 0.4:
                things.hedge(out, rng, front + side * 1.0, s0, s1, scene.leaf)
        if rng.random() < fenced:
            things.fence(out, rng, front - side * 0.1, s0, s1, scene.fence_color)


def _furniture(
    out: Shapes, shadows: Shapes, rng: np.random.Generator, scene: Look, side: int, start: float
) -> None:
    kerb = side * (scene.road + 0.55)
    for s in start + np.array([3.0, 11.0, 19.0]):
        if rng.random() < scene.trees:
            things.tree(out, rng, kerb + side * rng.uniform(0, 0.5), s, scene.leaf)
            _cast(shadows, scene, kerb, s, 2.0, 3.5)
    posts = ((things.lamp, 0.55), (things.sign, 0.75), (things.traffic_light, 0.2))
    for thing, chance in posts:
        if rng.random() < chance:
            s = start + rng.uniform(0, CHUNK)
            thing(out, rng, kerb - side * rng.uniform(0, 0.3), s, scene.metal)
            _cast(shadows, scene, kerb, s, 0.12, 4.0)
    if rng.random() < 0.35:
        x = side * (scene.road + scene.pavement - 0.8)
        things.clutter(out, rng, x, start + rng.uniform(0, CHUNK))


def _people(
    out: Shapes, shadows: Shapes, rng: np.random.Generator, scene: Look, side: int, start: float
) -> None:
    for _ in range(rng.poisson(0.9 * scene.crowd)):
        x = side * (scene.road + rng.uniform(0.7, scene.pavement - 0.3))
        if rng.random() < 0.12:
            x = side * rng.uniform(0, scene.road)
        s = start + rng.uniform(0, CHUNK)
        pedestrian(out, rng, x, s)
        _cast(shadows, scene, x, s, 0.3, 1.6)
    if rng.random() < 0.32 * scene.crowd:
        x = side * (scene.road - (2.4 if scene.parking else rng.uniform(0.6, 1.0)))
        speed = scene.step * (0.35 if side * scene.camera[0] > 0 else -0.2)
        s = start + rng.uniform(0, CHUNK) - speed * _arrival(scene, start)
        bicyclist(out, rng, x, s, speed)
        shadows.add(0, (0, 0, 0), flat(x - 0.3, x + 0.3, s - 0.4, s + 0.6), s, speed)


def _traffic(
    out: Shapes, shadows: Shapes, rng: np.random.Generator, scene: Look, start: float
) -> None:
    own = np.sign(scene.camera[0])
    if scene.parking:
        for side in (-1, 1):
            x = side * (scene.road - 1.05)
            for s in start + np.array([0.5, 6.5, 12.5, 18.5]):
                if rng.random() < 0.38:
                    _park(out, shadows, rng, scene, x, s + rng.uniform(0, 0.8), side == own, 0.0)
    if rng.random() < 0.35:
        speed = -scene.step * 0.5
        s = start + rng.uniform(0, CHUNK) - speed * _arrival(scene, start)
        _park(out, shadows, rng, scene, -scene.camera[0], s, False, speed)


def _park(
    out: Shapes, shadows: Shapes, rng: np.random.Generator, scene: Look,
    x: float, s: float, away: bool, speed: float,
) -> None:  # fmt: skip
    visible = -1 if x > scene.camera[0] else 1
    color = _paint(rng, scene)
    car(out, rng, x, s, visible, color, away, speed)
    reach = 1.0 if scene.sun < 0 else 0.0, 1.0 if scene.sun > 0 else 0.0
    shadows.add(
        0, (0, 0, 0), flat(x - 0.95 - reach[1], x + 0.95 + reach[0], s - 0.15, s + 4.4), s, speed
    )


def _paint(rng: np.random.Generator, scene: Look) -> np.ndarray:
    """A car's colour: often that of a house, the road or the leaves."""
    if rng.random() < 0.35:
        near = np.concatenate([scene.house_colors, [scene.road_color, scene.leaf, scene.metal]])
        return near[rng.integers(len(near))] * rng.uniform(0.8, 1.2)
    paints = np.array(
        [(205, 205, 205), (35, 36, 40), (130, 132, 136), (150, 40, 38), (45, 65, 120)]
    )
    return paints[rng.integers(5)] * rng.uniform(0.7, 1.1)


def _cast(out: Shapes, scene: Look, x: float, s: float, width: float, reach: float) -> None:
    """The shadow of something `width` metres wide, thrown `reach` metres away from the sun."""
    if scene.sun:
        tip = x - scene.sun * reach
        out.add(0, (0, 0, 0), flat(x, tip, s - width / 2, s + width / 2), s)


def _arrival(scene: Look, start: float) -> float:
    """The frame in which the camera comes within 30 metres of `start`."""
    return (start - 30.0) / scene.step


@lru_cache(maxsize=256)
def companions(key: Key) -> Polygons:
    """What keeps its distance: the backdrop and perhaps a car ahead; s is relative to the camera."""
    rng, scene, out = np.random.default_rng([*key, 2]), look(key), Shapes()
    for x in np.arange(-140.0, 140.0, 9.0):
        top = rng.uniform(4, 15)
        if rng.random() < 0.6:
            color = scene.house_colors[rng.integers(5)]
            out.add(things.BUILDING, color * 0.9, facing(x, x + 9.5, 0, top, SIGHT), SIGHT)
        else:
            out.add(things.TREE, scene.leaf * 0.8, _hill(x + 4, 8, top * 0.7), SIGHT)
    if rng.random() < 0.5:
        x = scene.camera[0] + rng.uniform(-0.4, 0.4)
        visible = -1 if x > scene.camera[0] else 1
        car(out, rng, x, rng.uniform(9, 30), visible, _paint(rng, scene), True)
    return out.pack()


def _hill(x: float, half: float, top: float) -> list[things.Point]:
    return [(px, max(py, 0.0), s) for px, py, s in things.disc(x, 0, half, top, SIGHT)]


def around(key: Key, frame: int) -> Chunk:
    """Everything the camera may see in `frame`; s is relative to the camera."""
    scene = look(key)
    travelled = scene.step * frame
    first = int(travelled // CHUNK)
    chunks = [chunk(key, first + number) for number in range(int(SIGHT // CHUNK) + 1)]
    ahead = companions(key)
    return Chunk(
        _move([part.marks for part in chunks], travelled, frame),
        _move([part.shadows for part in chunks], travelled, frame),
        Polygons.concatenate([_move([part.solids for part in chunks], travelled, frame), ahead]),
    )


def _move(parts: list[Polygons], travelled: float, frame: int) -> Polygons:
    still = Polygons.concatenate(parts)
    shift = still.speed * np.float32(frame) - np.float32(travelled)
    points = still.points.copy()
    points[..., 2] += shift[:, None]
    return Polygons(points, still.colors, still.ids, still.depth + shift, still.speed)
