"""What models with queries have in common: the head, and one score per class and pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from segbench.models.blocks import resize
from segbench.models.query_loss import Prediction

SMALLEST = 1e-8  # a score below it is as good as none


class Queries(nn.Module):
    """Learned queries, or their learned positions.

    Args:
        count: queries.
        width: channels of a query.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, width))

    def forward(self, batch: int) -> Tensor:
        """The same for each image, [batch, count, width]."""
        return self.weight.expand(batch, -1, -1)


class QueryHead(nn.Module):
    """A class and a mask for each query.

    Args:
        width: channels of pixels and queries.
        mask_width: channels of what is multiplied with the pixels.
        num_classes: classes; one more says "nothing".
        num_queries: at least as many as classes.
        activation: between the layers of the mask.

    Raises:
        ValueError: fewer queries than classes.
    """

    def __init__(
        self,
        width: int,
        mask_width: int,
        num_classes: int,
        num_queries: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if num_queries < num_classes:
            raise ValueError(
                f"num_queries={num_queries} for {num_classes} classes: an image with all classes "
                f"could not be learned; set num_queries to {num_classes} or more"
            )
        self.classes = nn.Linear(width, num_classes + 1)
        self.mask = nn.Sequential(
            nn.Linear(width, width),
            activation(),
            nn.Linear(width, width),
            activation(),
            nn.Linear(width, mask_width),
        )

    def forward(self, pixels: Tensor, queries: Tensor) -> Prediction:
        """[N, mask_width, h, w] and [N, Q, width] -> logits [N, Q, C + 1] and [N, Q, h, w]."""
        masks = torch.einsum("nqd,ndhw->nqhw", self.mask(queries), pixels)
        return Prediction(self.classes(queries), masks)


def class_scores(prediction: Prediction, padded: Tensor, image: Tensor) -> Tensor:
    """Logs of the sums over queries of class probability times mask probability.

    Args:
        prediction: of an image.
        padded: the image as the network saw it.
        image: as it was given, the top left part of it.

    Returns:
        [N, C, H, W] in float32 at least, for the H and W of `image`.
    """
    dtype = torch.promote_types(prediction.masks.dtype, torch.float32)
    probs = prediction.classes.to(dtype).softmax(-1)[..., :-1]
    masks = resize(prediction.masks.to(dtype), like=padded).sigmoid()
    scores = torch.einsum("nqc,nqhw->nchw", probs, masks)
    return scores[..., : image.shape[-2], : image.shape[-1]].clamp(min=SMALLEST).log()
