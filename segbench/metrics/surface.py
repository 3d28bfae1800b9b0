"""How far apart the outlines are: Hausdorff distance (95%) and normalized surface distance.

Medical images come with a spacing, so distances are lengths. In the plane the surface of a class is
its outline: the segments of marching squares between pixels, each weighted by its length, as in
DeepMind's `surface-distance`, whose numbers these are.

    HD95   the larger of the two 95th percentiles of the distances between the outlines, by length
    NSD    the share of both outlines that lies within the tolerance of the other

Sources: Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and
neck anatomy", JMIR 2021; Maier-Hein et al., "Metrics reloaded", Nature Methods 2024.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from segbench.metrics.scores import with_weights

PERCENT = 95


def surface_counts(
    pred: np.ndarray,
    mask: np.ndarray,
    num_classes: int,
    ignore_index: int = 255,
    spacing: tuple[float, float] = (1.0, 1.0),
    tolerance: float = 1.0,
) -> dict[str, np.ndarray]:
    """Measures every class of an image.

    Args:
        pred: uint8 `[H, W]`; ignored pixels of the mask belong to no class in either map.
        mask: uint8 `[H, W]`.
        num_classes: C.
        ignore_index: the id of unlabeled pixels.
        spacing: height and width of a pixel.
        tolerance: in units of the spacing; what annotators differ by.

    Returns:
        HD95, NSD: float64 `[2, C]`; the value, and 1 where either map has the class, so that the
            ratio of the sums is the mean over images. HD95 is in units of the spacing; where only
            one map has the class it is the diagonal of the image, the largest distance there can
            be (Metrics reloaded, 2024).
    """
    valid = mask != ignore_index
    diagonal = float(np.hypot(mask.shape[0] * spacing[0], mask.shape[1] * spacing[1]))
    hd95, nsd = np.full(num_classes, np.nan), np.full(num_classes, np.nan)
    for label in range(num_classes):
        true, found = (mask == label) & valid, (pred == label) & valid
        if true.any() or found.any():
            far, nsd[label] = surface_distance(true, found, spacing, tolerance)
            hd95[label] = min(far, diagonal)
    return {"HD95": with_weights(hd95), "NSD": with_weights(nsd)}


def surface_distance(
    true: np.ndarray,
    found: np.ndarray,
    spacing: tuple[float, float] = (1.0, 1.0),
    tolerance: float = 1.0,
) -> tuple[float, float]:
    """HD95 and NSD of two bool maps `[H, W]`; NaN both if they are empty."""
    codes = [_neighborhoods(which) for which in (true, found)]
    lengths = [_lengths(spacing)[code] for code in codes]
    is_edge = [(code != 0) & (code != 15) for code in codes]
    if not is_edge[0].any() or not is_edge[1].any():
        neither = not is_edge[0].any() and not is_edge[1].any()
        return (np.nan, np.nan) if neither else (np.inf, 0.0)
    away = [distance_transform_edt(~edge, sampling=spacing) for edge in is_edge]
    parts = [
        (away[1][is_edge[0]], lengths[0][is_edge[0]]),
        (away[0][is_edge[1]], lengths[1][is_edge[1]]),
    ]
    near = sum(float(size[distance <= tolerance].sum()) for distance, size in parts)
    whole = sum(float(size.sum()) for _, size in parts)
    return max(_percentile(*part) for part in parts), near / whole


def _neighborhoods(which: np.ndarray) -> np.ndarray:
    """Which of the four pixels around each corner are inside, as bits; int `[H + 1, W + 1]`."""
    padded = np.pad(which.astype(np.uint8), 1)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    return 8 * upper_left + 4 * upper_right + 2 * lower_left + lower_right


def _lengths(spacing: tuple[float, float]) -> np.ndarray:
    """Length of the outline in each of the 16 neighborhoods, by marching squares."""
    height, width = spacing
    diagonal = 0.5 * float(np.hypot(height, width))
    one, two = diagonal, 2 * diagonal  # a corner cut off, and two of them
    rows, columns = float(height), float(width)  # a vertical and a horizontal line
    return np.array(
        [0, one, one, columns, one, rows, two, one, one, two, rows, one, columns, one, one, 0]
    )


def _percentile(distance: np.ndarray, size: np.ndarray) -> float:
    """The distance that 95% of the outline, by length, do not exceed."""
    order = np.argsort(distance)
    share = np.cumsum(size[order]) / size.sum()
    place = int(np.searchsorted(share, PERCENT / 100))
    return float(distance[order][min(place, len(order) - 1)])
