"""Mean, standard deviation and range of the model input: given, or measured in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from segbench.data.bands import Bands, Limits
from segbench.data.dataset import Frames

PERCENTILES = (1.0, 99.0)
_BINS = 1 << 16
_AT_ONCE = 1 << 20  # number of values converted to 64 bits at a time


class Normalization:
    """Normalization of image values for a model.

    Args:
        bands: the channels and their range.
        mean: mean of each channel, of values in 0..1 (black to white); `auto` measures it.
        std: standard deviation of each channel, of values in 0..1; may be `auto`.
        training_images: returns the images to measure, `[H, W, C]` each, at every call.

    Raises:
        ValueError: a text other than `auto`.
    """

    def __init__(
        self,
        bands: Bands,
        mean: Sequence[float] | str,
        std: Sequence[float] | str,
        training_images: Callable[[], Iterable[np.ndarray]],
    ) -> None:
        self._declared = bands
        self._given = {"mean": _numbers(mean), "std": _numbers(std)}
        self._training_images = training_images

    @cached_property
    def bands(self) -> Bands:
        """The bands with the range that applies to all images."""
        if self._declared.value_range != "percentile":
            return self._declared
        return replace(self._declared, value_range=percentiles_of(self._training_images()))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel."""
        return self._given["mean"] or self._measured[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel."""
        return self._given["std"] or self._measured[1]

    @property
    def fill(self) -> tuple[float, ...]:
        """The mean as a pixel of an image as read; integers for 8 bits."""
        low, high = self.bands.limits
        pixel = [low + (high - low) * value for value in self.mean]
        return tuple(pixel if self.bands.keeps_values else map(round, pixel))

    @cached_property
    def _measured(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return mean_and_std(self._training_images(), self.bands.limits)

    def problems(self) -> list[str]:
        """Problems with the given numbers."""
        count = self._declared.count
        problems = [
            f"{key} has {len(values)} value(s) for {count} channel(s); give one per channel, or "
            f"set data.{key}=auto to compute it from the training images"
            for key, values in self._given.items()
            if values is not None and len(values) != count
        ]
        if min(self._given["std"] or (1,)) <= 0:
            problems.append("std must be above 0")
        return problems


class ImagesOf:
    """The images of frames without their masks; can be iterated repeatedly."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frames.read(index)[0] for index in range(len(self.frames)))


def percentiles_of(images: Iterable[np.ndarray]) -> Limits:
    """The 1st and 99th percentile of all values, within 1 of 65,536 steps of their range.

    Exact for integers of up to 16 bits. Takes two passes, and memory for one image.

    Args:
        images: can be iterated twice; uint16 or float32.

    Returns:
        Two different numbers, whatever the values.
    """
    low, high = np.inf, -np.inf
    is_whole = True
    for image in images:
        low, high = min(low, float(image.min())), max(high, float(image.max()))
        is_whole = is_whole and image.dtype.kind == "u"
    if not low < high:
        return (low, low + 1) if np.isfinite(low) else (0.0, 1.0)
    step = 1.0 if is_whole else (high - low) / (_BINS - 1)
    counts = np.zeros(_BINS, np.int64)
    for values in _parts(images):
        counts += np.bincount(((values.ravel() - low) / step).astype(np.int64), minlength=_BINS)
    shares = np.cumsum(counts) / counts.sum()
    first, last = (low + step * int(np.searchsorted(shares, p / 100)) for p in PERCENTILES)
    return (first, last) if first < last else (low, high)


def mean_and_std(
    images: Iterable[np.ndarray], limits: Limits
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, of values in 0..1.

    Args:
        images: `[H, W, C]` each.
        limits: the values of black and white.

    Returns:
        The means and the deviations; the deviation of a constant channel is 1.
    """
    low, high = limits
    count, sums, squares = 0, np.zeros(1), np.zeros(1)
    for values in _parts(images):
        shares = (values - low) / (high - low)
        count += len(shares)
        sums, squares = sums + shares.sum(0), squares + (shares**2).sum(0)
    mean = sums / max(1, count)
    std = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.where(std > 1e-8, std, 1.0).tolist())


def _parts(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The pixels of all images as float64 `[N, C]`, a few at a time."""
    for image in images:
        pixels = image.reshape(-1, image.shape[2])
        at_once = max(1, _AT_ONCE // image.shape[2])
        for first in range(0, len(pixels), at_once):
            yield pixels[first : first + at_once].astype(np.float64)


def _numbers(values: Sequence[float] | str) -> tuple[float, ...] | None:
    """Parses given numbers; None for `auto`."""
    if isinstance(values, str):
        if values != "auto":
            raise ValueError(f"mean and std must be numbers or auto, not {values}")
        return None
    return tuple(float(value) for value in values)
