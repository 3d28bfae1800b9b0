"""The bands of its files that a model sees, and the meaning of their values.

The default is 8-bit RGB. Three keys of the data set define anything else:

    channels      3: RGB, gray repeated; N: files with N bands (including alpha if N counts it);
                  [3, 2, 1]: these bands, counted from 0
    value_range   auto: the full range of 8 bits; [lo, hi]: the values of black and white;
                  percentile: lo and hi are the 1st and 99th percentile of the training images
    show          the channels displayed as red, green and blue, or as gray

With a range, images keep their stored values: integers of up to 16 bits as uint16, all others as
float32. The range is applied when the model normalizes. Values outside of it are not clipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

RGB = 3
MOST_CHANNELS = 512  # limit of OpenCV
_FEW = 16  # bands of most sensors, and fewer than the rows of any image
Limits = tuple[float, float]


@dataclass(frozen=True)
class Bands:
    """The channels of an image and the meaning of their values; see above.

    Raises:
        ValueError: they contradict each other.
    """

    channels: int | tuple[int, ...] = RGB
    value_range: Literal["auto", "percentile"] | Limits = "auto"
    show: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise ValueError("; ".join(problems))

    def _problems(self) -> list[str]:
        wanted, limits, shown = self.channels, self.value_range, self.show
        problems = []
        numbers = (wanted,) if isinstance(wanted, int) else wanted
        least = 1 if isinstance(wanted, int) else 0
        if not numbers or min(numbers) < least or self.count > MOST_CHANNELS:
            problems.append(
                f"channels is {_listed(wanted)}; expected a number of 1 to {MOST_CHANNELS}, or a "
                "list of bands counted from 0"
            )
        if isinstance(limits, str):
            if limits not in ("auto", "percentile"):
                problems.append(f"value_range is {limits}; expected auto, percentile or [lo, hi]")
        elif len(limits) != 2 or not np.isfinite(limits).all() or not limits[0] < limits[1]:
            problems.append(f"value_range is {_listed(limits)}; expected [lo, hi] with lo < hi")
        if shown is not None and (len(shown) not in (1, 3) or not _within(shown, self.count)):
            problems.append(
                f"show is {_listed(shown)}; expected one or three of the channels 0 to "
                f"{self.count - 1}"
            )
        return problems

    @property
    def count(self) -> int:
        """Number of channels that the model sees."""
        return self.channels if isinstance(self.channels, int) else len(self.channels)

    @property
    def is_rgb8(self) -> bool:
        """Whether images are 8-bit RGB, the default."""
        return self.channels == RGB and self.value_range == "auto"

    @property
    def is_rgb(self) -> bool:
        """Whether the channels are colors, for which brightness and saturation are defined."""
        return self.channels == RGB

    @property
    def keeps_values(self) -> bool:
        """Whether images have the stored values of their files, not 8 bits."""
        return self.value_range != "auto"

    @property
    def limits(self) -> Limits:
        """The values of black and white; ValueError if percentiles are not known yet."""
        if self.value_range == "auto":
            return 0.0, 255.0
        if isinstance(self.value_range, str):
            raise ValueError(
                "value_range: percentile is computed once the training images are read"
            )
        return self.value_range

    @property
    def key(self) -> str:
        """A part of the cache name that differs if images are read differently."""
        if self.is_rgb8:
            return ""
        text = f"{_listed(self.channels)} {self.keeps_values}"
        return "-" + hashlib.sha256(text.encode()).hexdigest()[:8]

    def displayed(self, image: np.ndarray) -> np.ndarray:
        """Converts an image for display, uint8 `[H, W, 3]`.

        Args:
            image: `[H, W, count]` as read.
        """
        if image.dtype == np.uint8 and image.shape[2] == RGB and self.show is None:
            return image
        shown = self.show or ((0, 1, 2) if self.count >= RGB else (0,))
        chosen = image[..., list(shown)]
        if image.dtype != np.uint8:
            low, high = self._shown_limits(chosen)
            scaled = (chosen.astype(np.float32) - low) * (255 / (high - low))
            chosen = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(chosen, (*chosen.shape[:2], RGB)))

    def _shown_limits(self, chosen: np.ndarray) -> Limits:
        """The limits; if the training images have not been read yet, percentiles of this image."""
        if self.value_range != "percentile":
            return self.limits
        low, high = np.percentile(chosen, (1, 99)).tolist()
        return low, max(high, low + 1e-6 * max(1.0, abs(low)))


RGB8 = Bands()


def bands_from(
    channels: int | Sequence[int], value_range: str | Sequence[float], show: Sequence[int] | None
) -> Bands:
    """Builds the bands of a config or a checkpoint.

    Raises:
        ValueError: the keys contradict each other.
    """
    limits: Any = value_range
    if not isinstance(value_range, str):
        limits = tuple(float(value) for value in value_range)
    wanted = channels if isinstance(channels, int) else tuple(int(band) for band in channels)
    return Bands(wanted, limits, None if show is None else tuple(int(band) for band in show))


def order_hint(shape: Sequence[int]) -> str:
    """A hint if pixels `[H, W, bands]` look as if their first axis was the bands; or empty."""
    if len(shape) < 3 or not shape[0] <= _FEW < shape[2]:
        return ""
    return f" Its shape is {list(shape)}: if the bands are first, save them last."


def bands_of(source: Any) -> Bands:
    """The bands of a data source; 8-bit RGB if it does not define them."""
    found: Bands = getattr(source, "bands", RGB8)
    return found


def _within(bands: Sequence[int], count: int) -> bool:
    return min(bands) >= 0 and max(bands) < count


def _listed(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
