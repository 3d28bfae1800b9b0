"""What all frames of a drive share: the layout of the street, its colors, and the light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segbench.data.sources.street_scene.shapes import PAVEMENT, TREE

Key = tuple[int, ...]  # seed, split, drive

_LEAVES = np.array([(70, 95, 45), (105, 110, 50), (120, 95, 60), (55, 70, 55), (140, 105, 45)])
_WALLS = np.array(
    [(165, 160, 150), (125, 122, 120), (140, 95, 78), (180, 165, 130),
     (110, 120, 105), (150, 152, 160), (95, 85, 80), (185, 185, 182)]
)  # fmt: skip
_WOOD = np.array([(100, 80, 60), (120, 122, 124), (55, 60, 58), (165, 160, 150)])


@dataclass(frozen=True)
class Layout:
    """Positions and numbers of objects; lengths in meters."""

    road: float  # from the middle of the road to the curb
    pavement: float  # width of the sidewalk
    curve: float  # maximum curvature, 1/m
    bend: float  # phase of the bend at which the drive begins, radians
    camera: tuple[float, float]  # x and height
    focal: float  # in image heights at 4:3
    vanishing: tuple[float, float]  # vanishing point of the road, as share of width and height
    step: float  # travelled from frame to frame
    verge: int  # class of the ground beyond the sidewalk
    floors: int  # of most houses
    built: float  # share of the lots with a house
    trees: float  # probability of a tree at each possible place
    crowd: float  # factor on the number of people
    parking: bool


@dataclass(frozen=True)
class Palette:
    """Colors of surfaces, RGB 0-255. They overlap between classes on purpose."""

    road: np.ndarray
    pavement: np.ndarray
    verge: np.ndarray
    houses: np.ndarray  # [5, 3]
    leaf: np.ndarray
    metal: np.ndarray
    fence: np.ndarray
    grain: int  # index of the surface textures, 0 to 2
    bonnet: np.ndarray | None  # the strip of the own car's hood at the lower edge, which is void


@dataclass(frozen=True)
class Light:
    """Weather and camera."""

    sun: int  # side of the sun, -1 or 1; 0 when overcast
    shade: float  # brightness in the shadow
    visibility: float  # meters of fog after which 1/e of the contrast is left
    fog: np.ndarray  # color of the fog and of the sky at the horizon
    zenith: np.ndarray  # color of the sky above
    clouds: float  # gray levels
    gain: np.ndarray  # exposure and tint, [3]
    gamma: float
    blur: float  # standard deviation in pixels at 480x360
    noise: float  # standard deviation in gray levels
    rain: int  # streaks
    lit: float  # share of windows with the light on


@dataclass(frozen=True)
class _Weather:
    chance: float
    exposure: float
    visibility: float
    horizon: tuple[int, int, int]
    zenith: tuple[int, int, int]


_WEATHER = {
    "sun": _Weather(0.40, 1.05, 500, (205, 218, 232), (110, 150, 205)),
    "overcast": _Weather(0.25, 0.95, 250, (205, 206, 208), (165, 170, 178)),
    "fog": _Weather(0.10, 0.95, 50, (190, 192, 195), (175, 178, 182)),
    "rain": _Weather(0.12, 0.80, 110, (160, 165, 172), (120, 126, 135)),
    "dusk": _Weather(0.13, 0.65, 220, (225, 165, 125), (95, 105, 145)),
}


@lru_cache(maxsize=1024)
def look(key: Key) -> tuple[Layout, Palette, Light]:
    """The look of the drive `key`."""
    rng = np.random.default_rng([*key, 0])
    layout = _layout(rng)
    return layout, _palette(rng, layout), _light(rng)


def _layout(rng: np.random.Generator) -> Layout:
    parking = bool(rng.random() < 0.6)
    road = rng.uniform(4.9, 5.8) if parking else rng.uniform(3.6, 4.8)
    lane = rng.choice([-1, 1]) * road * (0.3 if parking else 0.42)
    return Layout(
        road=road,
        pavement=rng.uniform(2.4, 4.2),
        curve=rng.uniform(-1, 1) / 350,
        bend=rng.uniform(0, 2 * np.pi),
        camera=(lane, rng.uniform(1.35, 1.75)),
        focal=rng.uniform(1.05, 1.4),
        vanishing=(rng.uniform(0.42, 0.58), rng.uniform(0.43, 0.54)),
        step=rng.uniform(1.8, 4.0),
        verge=TREE if rng.random() < 0.3 else PAVEMENT,
        floors=int(rng.integers(2, 5)),
        built=rng.uniform(0.55, 0.95),
        trees=rng.uniform(0.05, 0.6),
        crowd=rng.uniform(0.6, 1.5),
        parking=parking,
    )


def _palette(rng: np.random.Generator, layout: Layout) -> Palette:
    gray = rng.uniform(75, 135)
    grass, soil = rng.choice(_LEAVES), rng.uniform(85, 140) + rng.normal(0, 9, 3)
    return Palette(
        road=gray + rng.normal(0, 5, 3),
        pavement=gray * rng.uniform(0.85, 1.4) + rng.normal(0, 9, 3),
        verge=grass if layout.verge == TREE else soil,
        houses=rng.choice(_WALLS, 5) * rng.uniform(0.75, 1.15, (5, 1)),
        leaf=rng.choice(_LEAVES) * rng.uniform(0.8, 1.25) + rng.normal(0, 6, 3),
        metal=rng.uniform(40, 190) + rng.normal(0, 6, 3),
        fence=rng.choice(np.concatenate([_WOOD, _LEAVES])) * rng.uniform(0.7, 1.2),
        grain=int(rng.integers(3)),
        bonnet=rng.uniform(20, 160, 3) if rng.random() < 0.3 else None,
    )


def _light(rng: np.random.Generator) -> Light:
    chances = [weather.chance for weather in _WEATHER.values()]
    name = rng.choice(list(_WEATHER), p=chances)
    weather, dusk = _WEATHER[name], name == "dusk"
    warmth = rng.normal(0, 0.05) + 0.07 * dusk
    return Light(
        sun=int(rng.choice([-1, 1])) if name == "sun" else 0,
        shade=rng.uniform(0.45, 0.65),
        visibility=weather.visibility * rng.uniform(0.75, 1.4),
        fog=np.array(weather.horizon) + rng.normal(0, 6, 3),
        zenith=np.array(weather.zenith) + rng.normal(0, 8, 3),
        clouds=rng.uniform(5, 40),
        gain=weather.exposure * rng.uniform(0.85, 1.12) * (1 + warmth * np.array([1, 0, -1])),
        gamma=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.4, 1.1),
        noise=rng.uniform(2, 7) + 3 * dusk,
        rain=int(rng.integers(40, 120)) if name == "rain" else 0,
        lit=rng.uniform(0.2, 0.5) if dusk else 0.02,
    )
