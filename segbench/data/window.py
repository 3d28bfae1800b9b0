"""Crop windows of resized frames, computed without resizing the rest of the frame.

With the window chosen first, the cost of a crop does not depend on the size of the frame. The
window keeps the phase of the full resize: labels are identical to those of resize-then-crop, image
values within 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import cv2
import numpy as np

Size = tuple[int, int]
_MOST_BANDS = 4  # limit of OpenCV
_WARP_COST = 5.0  # a pixel of an affine warp takes this many times as long as one of a resize


class _Aligned(NamedTuple):
    """Start and end of a part along one axis, in the frame and in the resized frame."""

    source: tuple[int, int]
    target: tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A crop of a resized frame, and its position in the output.

    Args:
        frame: `(H, W)` of the frame in pixels.
        resized: `(H, W)` of the whole frame after resizing.
        origin: `(row, column)` of the crop in the resized frame.
        size: `(H, W)` of the crop, inside `resized`.
        output: `(H, W)` of the result; the rest outside the crop is padding.
        offset: `(row, column)` of the crop in the result.
        flip: the crop is mirrored left-right.
    """

    frame: Size
    resized: Size
    origin: Size
    size: Size
    output: Size
    offset: Size
    flip: bool = False

    def nearest(self, axis: int) -> np.ndarray:
        """Source row (axis 0) or column (1) of every crop row or column; int64 `[size[axis]]`.

        Follows OpenCV's rule for INTER_NEAREST in the same arithmetic: `H / h` and `1 / (h / H)`
        are different floats, and only the second reproduces its labels.
        """
        step = 1.0 / (self.resized[axis] / self.frame[axis])
        position = np.arange(self.origin[axis], self.origin[axis] + self.size[axis])
        source = np.minimum((position * step).astype(np.int64), self.frame[axis] - 1)
        return source[::-1] if self.flip and axis == 1 else source

    def bilinear(self, axis: int) -> np.ndarray:
        """Source position of every crop row (axis 0) or column (1); float64 `[size]`."""
        step = self.frame[axis] / self.resized[axis]
        position = np.arange(self.origin[axis], self.origin[axis] + self.size[axis])
        source = (position + 0.5) * step - 0.5
        return source[::-1] if self.flip and axis == 1 else source

    def crop_mask(self, mask: np.ndarray) -> np.ndarray:
        """Crops a mask; identical to nearest resize, then crop.

        Args:
            mask: uint8 `frame`.

        Returns:
            uint8 `size`.
        """
        if self.frame == self.resized:
            return self._cut(mask)
        rows, cols = self.nearest(0), self.nearest(1)
        return mask[rows[0] : rows[-1] + 1].take(rows - rows[0], axis=0).take(cols, axis=1)

    def crop_image(self, image: np.ndarray) -> np.ndarray:
        """Crops an image; within 1 of bilinear resize, then crop.

        Args:
            image: `[*frame, C]` of any dtype that images have when read.

        Returns:
            `[*size, C]` of the same dtype.
        """
        if self.frame == self.resized:
            return self._cut(image)
        rows, cols = self._aligned(0), self._aligned(1)
        area = (rows.target[1] - rows.target[0]) * (cols.target[1] - cols.target[0])
        if area < _WARP_COST * self.size[0] * self.size[1]:
            target = (cols.target[1] - cols.target[0], rows.target[1] - rows.target[0])
            part = by_bands(
                lambda bands: cv2.resize(bands, target, interpolation=cv2.INTER_LINEAR),
                image[slice(*rows.source), slice(*cols.source)],
            )
            return self._cut(part, rows.target[0], cols.target[0])
        (y0, y1, step_y, shift_y), (x0, x1, step_x, shift_x) = self._span(0), self._span(1)
        matrix = np.array([[step_x, 0.0, shift_x], [0.0, step_y, shift_y]])
        return by_bands(
            lambda bands: cv2.warpAffine(
                bands,
                matrix,
                self.size[::-1],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            image[y0:y1, x0:x1],
        )

    def pad(self, crop: np.ndarray, fill: float | Sequence[float]) -> np.ndarray:
        """Puts a crop into an output filled with `fill`; uint8 `[*output, ...]`."""
        if self.size == self.output:
            return crop
        (top, left), (height, width) = self.offset, self.size
        bottom, right = self.output[0] - top - height, self.output[1] - left - width
        if isinstance(fill, Sequence) and len(fill) > _MOST_BANDS:  # OpenCV supports four fills
            padded = np.empty((*self.output, len(fill)), crop.dtype)
            padded[:] = fill
            padded[top : top + height, left : left + width] = crop
            return padded
        border = (top, bottom, left, right, cv2.BORDER_CONSTANT)
        padded = cv2.copyMakeBorder(crop, *border, value=fill)
        return padded.reshape(*padded.shape[:2], *crop.shape[2:])

    def _cut(self, array: np.ndarray, first_row: int = 0, first_col: int = 0) -> np.ndarray:
        top, left = self.origin[0] - first_row, self.origin[1] - first_col
        part = array[top : top + self.size[0], left : left + self.size[1]]
        if not self.flip:
            return part
        return np.ascontiguousarray(part[:, ::-1]) if _is_many(part) else cv2.flip(part, 1)

    def _aligned(self, axis: int) -> _Aligned:
        """The smallest part around the crop whose resize equals that of the whole frame.

        It starts and ends where the edges of a source and a target pixel coincide, which they do at
        every multiple of `resized / gcd(frame, resized)`.
        """
        frame, resized = self.frame[axis], self.resized[axis]
        common = gcd(frame, resized)
        source, target = frame // common, resized // common
        margin = resized // frame + 2  # bilinear weights reach beyond the edge of the part
        first = max(0, (self.origin[axis] - margin) // target)
        last = min(common, -(-(self.origin[axis] + self.size[axis] + margin) // target))
        return _Aligned((first * source, last * source), (first * target, last * target))

    def _span(self, axis: int) -> tuple[int, int, float, float]:
        """First and end source position of the bilinear weights, signed step, and shift."""
        source = self.bilinear(axis)
        low, high = min(source[0], source[-1]), max(source[0], source[-1])
        first = max(0, int(low))
        end = min(self.frame[axis], int(high) + 3)
        step = self.frame[axis] / self.resized[axis]
        return first, end, -step if source[0] > source[-1] else step, source[0] - first


def by_bands(change: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Applies an OpenCV operation to an image of any number of bands, four at a time.

    OpenCV supports more for some operations and dtypes only, interpolates two bands less precisely
    than one, three or four, and drops the axis of a single band.

    Args:
        change: an operation on `[H, W, 1..4]` or `[H, W]`.
        image: `[H, W, C]`, or `[H, W]`.
    """
    if not _is_many(image):
        return change(image)
    parts, first = [], 0
    while (left := image.shape[2] - first) > 0:
        count = min(left, _MOST_BANDS) if left != 2 else 1
        parts.append(change(np.ascontiguousarray(image[..., first : first + count])))
        first += count
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)


def _is_many(image: np.ndarray) -> bool:
    """Whether OpenCV alone is not sufficient: other than three or four bands on an axis."""
    return image.ndim == 3 and not 2 < image.shape[2] <= _MOST_BANDS


def scaled(frame: Size, scale: float) -> Size:
    """The size of a frame after resizing by about `scale`.

    Large frames get multiples of 8, at most 1.6% off, so that crops can be resized separately from
    the rest of the frame with OpenCV's fast path.
    """
    return _pair([_scaled_length(length, scale) for length in frame])


def place(
    frame: Size,
    resized: Size,
    output: Size,
    free: tuple[float, float],
    center: tuple[float, float] | None = None,
    flip: bool = False,
) -> Window:
    """Places a crop of size `output` in the resized frame.

    Args:
        frame: `(H, W)` of the frame.
        resized: `(H, W)` after resizing.
        output: `(H, W)` of the result; a smaller resized frame is padded.
        free: two draws from [0, 1): position of the crop (or of the frame in its padding).
        center: `(row, column)` in the resized frame that the crop must contain; `free` then
            determines the position of that point within the crop.
        flip: mirror the crop left-right.
    """
    origin, offset, size = [0, 0], [0, 0], [0, 0]
    for axis in (0, 1):
        size[axis] = min(resized[axis], output[axis])
        room = resized[axis] - size[axis]
        if center is None:
            origin[axis] = int(free[axis] * (room + 1))
        else:
            wanted = int(center[axis]) - int(free[axis] * size[axis])
            origin[axis] = min(max(wanted, 0), room)
        offset[axis] = int(free[axis] * (output[axis] - size[axis] + 1))
    return Window(frame, resized, _pair(origin), _pair(size), output, _pair(offset), flip)


def _pair(values: list[int]) -> Size:
    return values[0], values[1]


def _scaled_length(length: int, scale: float) -> int:
    unit = 8 if length * scale >= 256 and length % 8 == 0 else 1
    return max(1, unit * round(length * scale / unit))
