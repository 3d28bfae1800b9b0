"""Sliding windows over an image, computed from top to bottom in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from segbench.errors import DataError

MOST_WINDOWS = 1 << 14  # per image; 10 gigapixels for 1024x1024 windows with stride 768


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Start positions of windows that cover `length`; the last one ends at the border.

    Args:
        length: pixels of the image along one axis.
        window: pixels of a window, at most `length`.
        stride: distance between neighboring windows.
    """
    return [*range(0, length - window, stride), length - window]


def slide(
    forward: Callable[[Tensor], Tensor],
    image: Tensor,
    window: tuple[int, int],
    stride: tuple[int, int],
    batch: int,
    blend: Literal["uniform", "gaussian"] = "uniform",
    lefts: Sequence[int] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Runs `forward` on overlapping windows and sums their logits.

    Only the rows that a later window can still reach are kept, so the memory needed is that of
    one row of windows, whatever the height of the image.

    Args:
        forward: `[B, 3, h, w]` -> logits `[B, C, h, w]`.
        image: `[N, 3, H, W]`, of the dtype that `forward` accepts.
        window: `(h, w)`; reduced to the size of the image if it is larger.
        stride: `(rows, columns)` between windows.
        batch: windows per call of `forward`; the images of a batch count separately.
        blend: weight of a pixel in its window: `uniform` as in mmsegmentation, or `gaussian`,
            which gives the center of a window more weight (nnU-Net; sigma is an eighth of it).
        lefts: start positions of windows along a row; None: all. With fewer, the bands start with
            the first of these windows and end with the last.

    Yields:
        Bands from top to bottom that make up the image: the weighted sum of logits
        `[N, C, rows, W]` and the weights `[1, 1, rows, W]` to divide it by.

    Raises:
        DataError: there would be more than `MOST_WINDOWS`.
    """
    num_images, _, height, width = image.shape
    rows, columns = min(window[0], height), min(window[1], width)
    tops = window_starts(height, rows, stride[0])
    lefts = window_starts(width, columns, stride[1]) if lefts is None else lefts
    begin, width = lefts[0], lefts[-1] + columns - lefts[0]
    if len(tops) * len(lefts) > MOST_WINDOWS:
        raise DataError(
            f"inference: windows of {rows}x{columns} pixels with stride {list(stride)} cut an "
            f"image of {width}x{height} into {len(tops) * len(lefts)}, more than {MOST_WINDOWS}; "
            "use larger windows, or a larger stride"
        )
    weight = _weight(rows, columns, blend, image.device)
    per_call = max(1, batch // num_images)
    canvas = weights = torch.empty(0)
    for top, following in zip(tops, [*tops[1:], height], strict=True):
        for first in range(0, len(lefts), per_call):
            part = lefts[first : first + per_call]
            crops = [image[:, :, top : top + rows, x : x + columns] for x in part]
            if len(crops) > 1:  # torch cannot concatenate uint16 on a GPU
                crops = [torch.cat([crop.float() for crop in crops])]
            logits = forward(crops[0]).float()
            if not canvas.numel():
                canvas = logits.new_zeros(num_images, logits.shape[1], rows, width)
                weights = logits.new_zeros(1, 1, rows, width)
            for x, crop_logits in zip(part, logits.split(num_images), strict=True):
                canvas[..., x - begin : x - begin + columns].addcmul_(crop_logits, weight)
                weights[..., x - begin : x - begin + columns].add_(weight)
        done = following - top
        yield canvas[:, :, :done], weights[:, :, :done]
        canvas, weights = _scrolled(canvas, done), _scrolled(weights, done)


def _scrolled(canvas: Tensor, rows: int) -> Tensor:
    """Moves the canvas up by `rows`; the new rows are zero."""
    moved = torch.zeros_like(canvas)
    moved[:, :, : canvas.shape[2] - rows] = canvas[:, :, rows:]
    return moved


def _weight(
    rows: int, columns: int, blend: Literal["uniform", "gaussian"], device: torch.device
) -> Tensor:
    if blend == "uniform":
        return torch.ones(rows, columns, device=device)
    down, across = (
        torch.exp(-0.5 * ((torch.arange(n, device=device) - (n - 1) / 2) / (n / 8)).square())
        for n in (rows, columns)
    )
    # A minimum, so that the corners of the image, covered by only one window, keep their digits.
    return (down[:, None] * across).clamp(min=1e-3)
