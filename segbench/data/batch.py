"""Samples stacked to a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict

import torch

from segbench.data.dataset import Sample
from segbench.errors import DataError


class Batch(TypedDict):
    """Samples stacked by `collate`, in their order.

    `image` is `[N, C, H, W]` in channels-last memory, or a list of `[C, H, W]` if the sizes differ;
    `mask` is uint8 `[N, H, W]`, or a list of `[H, W]` likewise (evaluation keeps masks at their
    original resolution); `index` is int64 `[N]`.
    """

    image: torch.Tensor | list[torch.Tensor]
    mask: torch.Tensor | list[torch.Tensor]
    name: list[str]
    group: list[str]
    index: torch.Tensor


def parts(batch: Batch) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[str]]]:
    """Image, mask, index and names of a batch: all together, or one by one if sizes differ."""
    image, mask, index, names = batch["image"], batch["mask"], batch["index"], batch["name"]
    if isinstance(image, torch.Tensor) and isinstance(mask, torch.Tensor):
        yield image, mask, index, names
        return
    for position, name in enumerate(names):
        one = slice(position, position + 1)
        yield image[position][None], mask[position][None], index[one], [name]


def collate(samples: list[Sample], one_size: bool = False) -> Batch:
    """Collates samples into a batch; stacking is the only copy.

    Args:
        samples: the images of the batch.
        one_size: raise an error if the images differ in size, as training requires.

    Raises:
        DataError: several sizes, with `one_size`.
    """
    if one_size:
        check_one_size([(sample["name"], sample["mask"].shape) for sample in samples])
    images = _stack([sample["image"].permute(1, 2, 0) for sample in samples])
    return {
        "image": images.permute(0, 3, 1, 2)
        if isinstance(images, torch.Tensor)
        else [image.permute(2, 0, 1) for image in images],
        "mask": _stack([sample["mask"] for sample in samples]),
        "name": [sample["name"] for sample in samples],
        "group": [sample["group"] for sample in samples],
        "index": torch.tensor([sample["index"] for sample in samples]),
    }


def check_one_size(images: Iterable[tuple[str, Sequence[int]]]) -> None:
    """Raises DataError if the images of a batch differ in size.

    Args:
        images: name and `(H, W, ...)` of each.
    """
    first: tuple[str, str] | None = None
    for name, (height, width, *_) in images:
        size = f"{width}x{height}"
        first = first or (name, size)
        if size != first[1]:
            raise DataError(
                f"the training images have several sizes: {first[0]} is {first[1]}, {name} is "
                f"{size} (width x height), so they cannot form a batch; set data.crop_size or "
                "data.resize ([height, width])"
            )


def _stack(tensors: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    same = all(tensor.shape == tensors[0].shape for tensor in tensors)
    if len({tensor.dtype for tensor in tensors}) > 1:  # files with different dtypes
        tensors = [tensor.float() for tensor in tensors]
    return torch.stack(tensors) if same else tensors
