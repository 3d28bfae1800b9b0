"""Post-processes label maps: small regions, ragged outlines, outlines off the image edges."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy import ndimage

from segbench.inference.labels import argmax_labels


def remove_small_regions(labels: np.ndarray, min_pixels: int) -> np.ndarray:
    """Replaces every connected region of fewer than `min_pixels` pixels by the nearest other label.

    Args:
        labels: uint8 `[H, W]`; pixels are connected also at corners.
        min_pixels: smaller regions are replaced; the largest region always stays.

    Returns:
        uint8 `[H, W]`.
    """
    small = np.zeros(labels.shape, bool)
    largest, largest_region = 0, small
    for label in np.unique(labels):
        inside = (labels == label).astype(np.uint8)
        _, regions, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
        area = stats[:, cv2.CC_STAT_AREA].copy()
        area[0] = 0  # background, outside of the class
        if area.max() > largest:
            largest, largest_region = area.max(), regions == area.argmax()
        small |= ((area < min_pixels) & (area > 0))[regions]
    small &= ~largest_region
    if not small.any():
        return labels
    nearest = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
    return labels[tuple(nearest)]


def majority_filter(labels: np.ndarray, window: int) -> np.ndarray:
    """Replaces every pixel by the most frequent label in the window around it.

    Args:
        labels: uint8 `[H, W]`.
        window: side length in pixels, odd.

    Returns:
        uint8 `[H, W]`; on a tie the smaller label.
    """
    if window % 2 == 0:
        raise ValueError(f"the window of the majority filter must be odd, not {window}")
    best = np.zeros(labels.shape, np.float32)
    result = labels.copy()
    for label in np.unique(labels):
        inside = (labels == label).astype(np.float32)
        votes = cv2.boxFilter(inside, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
        votes = np.round(votes * window**2)  # exact integers, so that ties are ties
        better = votes > best
        result[better] = label
        best[better] = votes[better]
    return result


def refine_edges(
    image: np.ndarray, probs: np.ndarray, radius: int = 8, eps: float = 1e-3
) -> np.ndarray:
    """Aligns outlines with the edges of the image: a guided filter on the probabilities.

    He et al., "Guided image filtering", ECCV 2010, as implemented by kornia.

    Args:
        image: uint8 `[H, W, 3]`.
        probs: float32 `[C, H, W]`.
        radius: radius of the filter in pixels.
        eps: contrast that counts as an edge; a smaller value follows weaker edges.

    Returns:
        uint8 `[H, W]` labels.
    """
    from kornia.filters import guided_blur

    window = (2 * radius + 1, 2 * radius + 1)
    guide = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    smooth = guided_blur(guide, torch.from_numpy(probs)[None], window, eps)
    return argmax_labels(smooth)[0].numpy()
