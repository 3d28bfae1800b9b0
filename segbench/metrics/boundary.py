"""How well predicted outlines match: boundary F-score and boundary IoU, per class.

Both measure only pixels near a boundary, which hardly affect IoU. Ignored pixels never count.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from segbench.data.classes import ClassSet
from segbench.metrics.confusion import confusion_matrix, joined
from segbench.metrics.scores import with_weights
from segbench.system.lean_torchmetrics import Metric

# Shares of the image diagonal, from the papers cited below.
F_TOLERANCE = 0.0075
IOU_DISTANCE = 0.02


def boundary_counts(
    pred: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int = 255
) -> dict[str, np.ndarray]:
    """Counts both scores for one image; sum the counts over images, then divide.

    Boundary F-score: Csurka et al., "What is a good evaluation measure for semantic
    segmentation?", BMVC 2013. A boundary pixel is correct if a boundary pixel of the other map lies
    within 0.75% of the image diagonal. The image border and the edges of ignored regions are not
    boundaries.

    Boundary IoU: Cheng et al., "Boundary IoU", CVPR 2021. The IoU of the pixels of a class that lie
    within 2% of the image diagonal (chessboard distance) of its outline. Here the image border is
    an outline.

    Args:
        pred: uint8 `[H, W]`; values outside the class set are void.
        mask: uint8 `[H, W]` in class ids or `ignore_index`.
        num_classes: C.
        ignore_index: the id of unlabeled pixels.

    Returns:
        boundary_F: float64 `[2, C]`; the F-score, and 1 where the class has a boundary in either
            map, so that the ratio of the sums is the mean over images.
        boundary_IoU: int64 `[2, C]`; intersection and union of the boundary bands, in pixels.
    """
    diagonal = float(np.hypot(*mask.shape))
    valid = mask != ignore_index
    f_scores = np.array(
        [_f_score(pred, mask, valid, label, F_TOLERANCE * diagonal) for label in range(num_classes)]
    )
    return {
        "boundary_F": with_weights(f_scores),
        "boundary_IoU": boundary_iou_counts(pred, mask, num_classes, ignore_index),
    }


def boundary_iou_counts(
    pred: np.ndarray, mask: np.ndarray, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Intersection and union of the boundary bands, int64 `[2, C]`; see `boundary_counts`."""
    valid = mask != ignore_index
    distance = max(1, round(IOU_DISTANCE * float(np.hypot(*mask.shape))))
    interior = num_classes
    near_mask = np.where(_near_outline(mask, distance), mask, interior).astype(np.uint8)
    near_pred = np.where(_near_outline(pred, distance), pred, interior).astype(np.uint8)
    near_mask[~valid] = 255
    # Void is counted as interior here: it belongs to the boundary band of no class.
    matrix = confusion_matrix(near_pred, near_mask, num_classes + 1, 255)
    hits = np.diagonal(matrix)[:num_classes]
    union = matrix.sum(1)[:num_classes] + matrix.sum(0)[:num_classes] - hits
    return np.stack([hits, union])


def _f_score(
    pred: np.ndarray, mask: np.ndarray, valid: np.ndarray, label: int, tolerance: float
) -> float:
    """Boundary F-score of one class in one image; NaN if it has no boundary in either map."""
    true = _contour(mask == label, valid & (mask != label))
    found = _contour(pred == label, pred != label) & valid
    num_true, num_found = np.count_nonzero(true), np.count_nonzero(found)
    if not num_true or not num_found:
        return 0.0 if num_true or num_found else np.nan
    precision = np.count_nonzero(_distance_to(true)[found] <= tolerance) / num_found
    recall = np.count_nonzero(_distance_to(found)[true] <= tolerance) / num_true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _contour(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Pixels of `inside` with a 4-neighbor in `outside`; bool `[H, W]`."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return inside & (cv2.dilate(outside.astype(np.uint8), cross) > 0)


def _distance_to(points: np.ndarray) -> np.ndarray:
    """Euclidean distance of every pixel to the nearest point, float32 `[H, W]`."""
    return cv2.distanceTransform((~points).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _near_outline(labels: np.ndarray, distance: int) -> np.ndarray:
    """Whether another label, or the outside of the image, lies within `distance`; bool `[H, W]`.

    This is what eroding the mask of every class by `distance` would remove, computed for all
    classes in one pass: a pixel is interior if the minimum and the maximum label around it are
    equal.
    """
    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    constant = cv2.BORDER_CONSTANT
    largest = cv2.dilate(labels, square, borderType=constant, borderValue=255)
    smallest = cv2.erode(labels, square, borderType=constant, borderValue=0)
    return largest != smallest


class BoundaryPerImage(Metric):
    """Boundary IoU: intersection and union of the boundary bands of every image, on the host.

    Args:
        classes: the class set.
    """

    full_state_update = False
    index: list[Tensor]
    counts: list[Tensor]

    def __init__(self, classes: ClassSet) -> None:
        super().__init__()
        self.classes = classes
        for state in ("index", "counts"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, pred: Tensor, mask: Tensor, index: Tensor) -> None:
        """Counts a batch; for the arguments see `ConfusionPerImage.update`."""
        classes = self.classes
        found = [
            boundary_iou_counts(p, m, classes.num_classes, classes.ignore_index)
            for p, m in zip(pred.cpu().numpy(), mask.cpu().numpy(), strict=True)
        ]
        self.index.append(index.to(pred.device))
        self.counts.append(torch.from_numpy(np.array(found)).to(pred.device))

    def compute(self) -> np.ndarray:
        """The counts, int64 `[N, 2, C]`, in the order of `ConfusionPerImage.compute`."""
        _, first = np.unique(joined(self.index).cpu().numpy(), return_index=True)
        return joined(self.counts).cpu().numpy()[first]
