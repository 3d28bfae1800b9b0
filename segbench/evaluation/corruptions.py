"""The corruptions of ImageNet-C on the images of any data set (the extra `robustness`).

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019; for segmentation Kamann & Rother, CVPR 2020. The pixels are those of the
library `imagecorruptions` (Michaelis et al. 2019). What is random is a function of the name of the
image, the corruption and the severity alone, so every model sees the same corrupted images.

The library was written for NumPy 1 and an older scikit-image. What they have renamed since is put
in its place while it is called, and the corruption with a generator of its own is given the seed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from segbench.config import did_you_mean
from segbench.data.classes import ClassSet
from segbench.data.dataset import Arrays, Record, Source
from segbench.errors import ConfigError

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate",
    "jpeg_compression",
)  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 32  # pixels of a side, for the library
_lock = threading.Lock()  # the library draws from NumPy's global generator


@dataclass(frozen=True)
class Corruption:
    """One corruption at one severity, 1..5."""

    name: str
    severity: int

    def __str__(self) -> str:
        return f"{self.name} {self.severity}"


def chosen(names: Sequence[str], severities: Sequence[int]) -> list[Corruption]:
    """The corruptions of a command: `all`, or names, at each severity; always in the same order.

    Raises:
        ConfigError: an unknown corruption or severity, or the library is not installed.
    """
    wanted = CORRUPTIONS if list(names) == ["all"] else tuple(names)
    problems = [
        f"corruptions: there is no '{name}'{did_you_mean(name, CORRUPTIONS)}; known: all, "
        + ", ".join(CORRUPTIONS)
        for name in wanted
        if name not in CORRUPTIONS
    ]
    problems += [f"severities: {s} is not one of 1 to 5" for s in severities if s not in SEVERITIES]
    if not severities:
        problems.append("severities: give at least one of 1 to 5")
    if problems:
        raise ConfigError("; ".join(problems))
    try:
        imported()
    except ImportError as error:
        raise ConfigError(
            f'corruptions need imagecorruptions ({error}): pip install "segbench[robustness]"'
        ) from None
    return [Corruption(name, int(s)) for name in CORRUPTIONS if name in wanted
            for s in sorted(set(severities))]  # fmt: skip


def corrupt(image: np.ndarray, corruption: Corruption, name: str) -> np.ndarray:
    """The corrupted image.

    Args:
        image: uint8 `[H, W, 3]` RGB, at least 32 pixels on each side.
        corruption: what is done to it.
        name: of the image, from which the noise is drawn.

    Returns:
        uint8 of the same shape.

    Raises:
        ConfigError: the image is too small for the library, or not RGB of 8 bits.
    """
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ConfigError(f"corruptions: {name} is no RGB image of 8 bits, which they are made for")
    if min(image.shape[:2]) < SMALLEST:
        raise ConfigError(
            f"corruptions: {name} is {image.shape[1]}x{image.shape[0]}; images must have at least "
            f"{SMALLEST} pixels on each side"
        )
    with _lock, _library(seed_of(corruption, name)) as library:
        found = library.corrupt(image, corruption.severity, corruption_name=corruption.name)
    return np.ascontiguousarray(found)


def seed_of(corruption: Corruption, name: str) -> int:
    """A seed of 32 bits from the image's name, the corruption and the severity."""
    text = f"{name}\0{corruption.name}\0{corruption.severity}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def imported() -> Any:
    """The library; it looks for its images with pkg_resources, which setuptools 82 removed."""
    if "imagecorruptions" in sys.modules or importlib.util.find_spec("pkg_resources"):
        return importlib.import_module("imagecorruptions")
    instead: Any = ModuleType("pkg_resources")
    instead.resource_filename = lambda module, name: str(
        Path(str(sys.modules[module].__file__)).parent / name
    )
    sys.modules["pkg_resources"] = instead
    try:
        return importlib.import_module("imagecorruptions")
    finally:  # others try whether it exists
        del sys.modules["pkg_resources"]


@contextmanager
def _library(seed: int) -> Iterator[Any]:
    """imagecorruptions, working with today's libraries and drawing from `seed`."""
    imagecorruptions = imported()
    from imagecorruptions import corruptions as module

    before = np.random.get_state()
    kept = {key: getattr(module, key) for key in ("np", "gaussian", "sk")}
    np.random.seed(seed)
    module.np = _Renamed(np, {"float_": np.float64})
    module.gaussian = _gaussian
    module.sk = _Renamed(kept["sk"], {"util": _Renamed(kept["sk"].util, {
        "random_noise": lambda image, **options: kept["sk"].util.random_noise(
            image, rng=np.random.default_rng(seed), **options
        )})})  # fmt: skip
    try:
        yield imagecorruptions
    finally:
        for key, value in kept.items():
            setattr(module, key, value)
        np.random.set_state(before)


class _Renamed(SimpleNamespace):
    """A module with some names replaced."""

    def __init__(self, module: Any, names: dict[str, Any]) -> None:
        super().__init__(**names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


def _gaussian(image: np.ndarray, *args: Any, multichannel: bool = False, **options: Any) -> Any:
    from skimage.filters import gaussian

    return gaussian(image, *args, channel_axis=-1 if multichannel else None, **options)


class CorruptedSource:
    """A data set whose images are corrupted; its masks are not.

    Args:
        source: the data set.
        corruption: what is done to every image.
    """

    classes: ClassSet  # this and what else a source has is that of the data set
    protocol: str
    comparable = False

    def __init__(self, source: Source, corruption: Corruption) -> None:
        self.source, self.corruption = source, corruption

    def __getattr__(self, name: str) -> object:
        """Whatever is not defined here, such as `classes` and `terms`."""
        if name.startswith("_") or name in ("source", "corruption"):
            raise AttributeError(name)
        return getattr(self.source, name)

    def records(self, split: str) -> list[Record]:
        """Those of the data set."""
        return self.source.records(split)

    def read(self, record: Record) -> Arrays:
        """The corrupted image and its mask."""
        image, mask = self.source.read(record)
        return corrupt(image, self.corruption, record.name), mask

    def fingerprint_key(self) -> str:
        """That of the data set and the corruption."""
        return f"{self.source.fingerprint_key()} corruption={self.corruption}"
