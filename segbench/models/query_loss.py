"""The training loss of models that predict a mask and a class for each of their queries.

Cheng, Misra, Schwing, Kirillov, Girdhar: "Masked-attention Mask Transformer for Universal Image
Segmentation", CVPR 2022, sections 3.2 and 3.3.

    classes of the image ─ matched one to one to queries (Hungarian, by the same three costs)
    matched queries: binary cross entropy and Dice of the mask, at points; class
    all other queries: class "nothing", weighted by 0.1

The points of the loss are drawn where the mask is uncertain (three quarters, from three times as
many) and uniformly; those of the matching uniformly. Each layer of a decoder has its own matching
and its own loss (deep supervision); all are added up.

As in the reference code, pixels without a label are outside of all masks: a mask that covers them
is corrected. Everything is computed in float32 at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

OVERSAMPLED = 3  # points that are drawn for one uncertain point
UNCERTAIN = 0.75  # share of the points that are drawn where the mask is uncertain


class Prediction(NamedTuple):
    """What a layer predicts.

    Args:
        classes: logits [N, Q, C + 1] of each query; the last one says "nothing".
        masks: logits [N, Q, h, w] of each query.
    """

    classes: Tensor
    masks: Tensor


@dataclass(frozen=True)
class QueryLoss:
    """The loss, with the weights of the paper.

    Args:
        class_weight: of the cross entropy of the classes, in the loss and in the matching.
        mask_weight: of the binary cross entropy of the masks, likewise.
        dice_weight: of the Dice loss of the masks, likewise.
        nothing_weight: of the class of queries without a match.
        points: where masks are compared; 112 x 112 in the paper.
    """

    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    nothing_weight: float = 0.1
    points: int = 12544

    def __call__(self, predictions: Sequence[Prediction], mask: Tensor) -> dict[str, Tensor]:
        """The three terms, weighted, each the sum over the layers.

        Args:
            predictions: of the layers.
            mask: [N, H, W], class ids; every id that is no class is no label.

        Returns:
            Scalars `class`, `mask` and `dice`; their sum is the loss.
        """
        num_classes = predictions[0].classes.shape[-1] - 1
        dtype = torch.promote_types(predictions[0].masks.dtype, torch.float32)
        labels, targets = zip(*(masks_of_classes(m, num_classes, dtype) for m in mask), strict=True)
        count = _mean_count(sum(len(found) for found in labels), mask.device)
        device = mask.device.type
        total: dict[str, Tensor] = {}
        with torch.autocast(device, enabled=False):
            for prediction in predictions:
                of_layer = Prediction(*(x.to(dtype) for x in prediction))
                for name, value in self._of_layer(of_layer, labels, targets, count).items():
                    total[name] = total[name] + value if name in total else value
        return total

    def _of_layer(
        self,
        prediction: Prediction,
        labels: Sequence[Tensor],
        targets: Sequence[Tensor],
        count: Tensor,
    ) -> dict[str, Tensor]:
        classes, masks = prediction
        pairs = [
            self.match(Prediction(c, m), label, target)
            for c, m, label, target in zip(classes, masks, labels, targets, strict=True)
        ]
        nothing = classes.shape[-1] - 1
        wanted = torch.full(classes.shape[:2], nothing, device=classes.device)
        for row, (queries, found), label in zip(wanted, pairs, labels, strict=True):
            row[queries] = label[found]
        weight = classes.new_ones(nothing + 1)
        weight[-1] = self.nothing_weight
        of_class = F.cross_entropy(classes.transpose(1, 2), wanted, weight)
        matched = torch.cat([m[queries] for m, (queries, _) in zip(masks, pairs, strict=True)])
        truth = torch.cat([t[found] for t, (_, found) in zip(targets, pairs, strict=True)])
        of_mask, dice = self._of_masks(matched[:, None], truth[:, None])
        return {
            "class": self.class_weight * of_class,
            "mask": self.mask_weight * of_mask / count,
            "dice": self.dice_weight * dice / count,
        }

    @torch.no_grad()
    def match(
        self, prediction: Prediction, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pairs queries and classes of one image, so that the sum of the costs is the least.

        Args:
            prediction: [Q, C + 1] and [Q, h, w].
            labels: [K], the classes of the image.
            targets: [K, H, W], their masks.

        Returns:
            Queries and places in `labels` of the K pairs.
        """
        classes, masks = prediction
        place = _places(1, self.points, masks)
        x = sample(masks[None], place)[0]
        y = sample(targets[None], place)[0]
        positive, negative = F.softplus(-x), F.softplus(x)
        of_mask = (positive @ y.T + negative @ (1 - y).T) / self.points
        probs = x.sigmoid()
        total = probs.sum(1)[:, None] + y.sum(1)[None]
        dice = 1 - (2 * probs @ y.T + 1) / (total + 1)
        of_class = -classes.softmax(-1)[:, labels]
        cost = self.mask_weight * of_mask + self.class_weight * of_class + self.dice_weight * dice
        largest = torch.finfo(cost.dtype).max
        cost = cost.nan_to_num(largest, largest, largest)  # a step that diverges is reported later
        queries, found = linear_sum_assignment(cost.cpu())
        to = masks.device
        return torch.as_tensor(queries, device=to), torch.as_tensor(found, device=to)

    def _of_masks(self, masks: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross entropy and Dice loss of pairs [P, 1, h, w] and [P, 1, H, W], summed up."""
        if not len(masks):  # no labeled pixel in the whole batch
            zero = masks.sum()
            return zero, zero
        with torch.no_grad():
            place = self._points_of(masks)
            y = sample(targets, place)[:, 0]
        x = sample(masks, place)[:, 0]
        of_mask = F.binary_cross_entropy_with_logits(x, y, reduction="none").mean(1).sum()
        probs = x.sigmoid()
        dice = 1 - (2 * (probs * y).sum(1) + 1) / (probs.sum(1) + y.sum(1) + 1)
        return of_mask, dice.sum()

    def _points_of(self, masks: Tensor) -> Tensor:
        """[P, points, 2]: where masks [P, 1, h, w] are uncertain, and anywhere."""
        drawn = _places(len(masks), self.points * OVERSAMPLED, masks)
        certainty = sample(masks, drawn)[:, 0].abs()
        uncertain = int(UNCERTAIN * self.points)
        chosen = (-certainty).topk(uncertain, dim=1).indices
        kept = drawn.gather(1, chosen[..., None].expand(-1, -1, 2))
        rest = _places(len(masks), self.points - uncertain, masks)
        return torch.cat([kept, rest], dim=1)


def sample(maps: Tensor, place: Tensor) -> Tensor:
    """Bilinear values of maps [N, C, H, W] at places [N, P, 2] (x, y in 0..1) -> [N, C, P]."""
    return F.grid_sample(maps, 2 * place[:, :, None] - 1, align_corners=False)[..., 0]


def _places(count: int, points: int, like: Tensor) -> Tensor:
    """[count, points, 2]: x and y, uniform in 0..1."""
    return torch.rand(count, points, 2, device=like.device, dtype=like.dtype)


def masks_of_classes(
    mask: Tensor, num_classes: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """The classes [K] of a mask [H, W] and where they are, 0 or 1 in [K, H, W]."""
    found = mask.unique()
    labels = found[found < num_classes].long()
    return labels, (mask[None] == labels[:, None, None]).to(dtype)


def _mean_count(count: int, device: torch.device) -> Tensor:
    """Masks per device, at least 1."""
    total = torch.tensor(float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total = total / dist.get_world_size()
    return total.clamp(min=1)
