"""Crops training batches on the GPU, for data sets whose decoded frames fit into its memory.

The windows are those of the CPU path: labels are identical, image values within 1 (slightly
more if contrast is raised). Each batch transfers one small array of indices to the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from segbench.data.dataset import EpochSampler, SegmentationDataset
from segbench.data.loader import Batch
from segbench.data.transforms import Augmentation
from segbench.data.window import Window
from segbench.errors import DataError

SPARE = 1 << 30  # bytes reserved for the model


class DeviceLoader:
    """Keeps all frames of a split on a device as uint8 and augments there.

    Args:
        dataset: the data set; its transform must be an `Augmentation` that is not `cpu_only`.
        batch_size: images per batch.
        sampler: yields the keys.
        device: the device that stores the frames.

    Raises:
        DataError: the frames differ in size, or do not fit into the memory of the device.
        ValueError: an augmentation that is only implemented on the CPU.
    """

    batch_sampler = None  # Lightning expects one wherever it finds a sampler

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        device: torch.device,
    ) -> None:
        if not isinstance(dataset.transform, Augmentation) or dataset.transform.cpu_only:
            raise ValueError(
                "data.frames_on_device supports only scale_range, crop_size, hflip and color_jitter"
            )
        self.dataset = dataset
        self.augmentation: Augmentation = dataset.transform
        self.batch_size = batch_size
        self.sampler = sampler
        self.device = device
        self._images: torch.Tensor | None = None
        self._masks: torch.Tensor | None = None
        crop = self.augmentation.scale_crop
        self._draws_by_mask = crop.class_uniform > 0 or crop.cat_max_ratio < 1

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        keys = iter(self.sampler)
        for _ in range(len(self)):
            yield self._batch(list(itertools.islice(keys, self.batch_size)))

    def _batch(self, keys: list[tuple[int, int]]) -> Batch:
        images, masks = self._frames()
        frame = (masks.shape[1], masks.shape[2])
        windows = [self._draw(epoch, index, frame) for epoch, index in keys]
        rows, cols, chosen, colors = self._sent(keys, windows)
        image = _bilinear(images, chosen, rows, cols)
        inside = rows.inside[:, :, None] & cols.inside[:, None]
        fill = self.augmentation.scale_crop.image_fill
        for channel, value in enumerate(fill):
            image[..., channel].masked_fill_(~inside, float(value))
        if self.augmentation.color_jitter:
            image = _recolored(image, colors)
        image = image.round_().to(torch.uint8)
        mask = masks[chosen[:, None, None], rows.nearest[:, :, None], cols.nearest[:, None]]
        records = [self.dataset.records[index] for _, index in keys]
        return {
            "image": image.permute(0, 3, 1, 2),
            "mask": mask.masked_fill_(~inside, self.augmentation.scale_crop.ignore_index),
            "name": [record.name for record in records],
            "group": [record.group for record in records],
            "index": chosen,
        }

    def _draw(self, epoch: int, index: int, frame: tuple[int, int]) -> Window:
        """The window of a sample; the mask is read only if the window depends on it."""
        if self._draws_by_mask:
            mask = self.dataset.frames.read(index)[1]
        else:
            mask = np.broadcast_to(np.uint8(0), frame)
        return self.augmentation.draw_window(mask, (self.dataset.seed, epoch, index))

    def _sent(
        self, keys: list[tuple[int, int]], windows: list[Window]
    ) -> tuple[_Axis, _Axis, torch.Tensor, torch.Tensor]:
        """Uploads all that the device needs for a batch, in one copy.

        Returns:
            Rows and columns; int64 `[N]`, the frame indices; float32 `[N, 3, 4]`, the color
            transforms (zeros without color_jitter).
        """
        seed = self.dataset.seed
        colors = np.zeros((len(keys), 12), np.float32)
        if self.augmentation.color_jitter:
            for number, (epoch, index) in enumerate(keys):
                drawn = self.augmentation.draw_colors((seed, epoch, index))
                colors[number] = drawn.ravel()
        axes = [_positions(windows, axis) for axis in (0, 1)]
        chosen = np.array([[index] for _, index in keys], np.int32)
        parts = [*axes[0], *axes[1], chosen, colors.view(np.int32)]
        widths = [part.shape[1] for part in parts]
        there = _to(np.concatenate(parts, axis=1), self.device).split(widths, dim=1)
        size = self._frames()[1].shape
        return (
            _Axis.unpacked(there[0], there[1], there[2], size[1]),
            _Axis.unpacked(there[3], there[4], there[5], size[2]),
            there[6][:, 0].long(),
            there[7].view(torch.float32).reshape(-1, 3, 4),
        )

    def _frames(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Uploads the frames on first use.

        Raises:
            DataError: they differ in size, or do not fit.
        """
        if self._images is None or self._masks is None:
            image, mask = self.dataset.frames.read(0)
            count = len(self.dataset)
            _check_room(count * (image.nbytes + mask.nbytes), count, self.device)
            images = torch.empty((count, *image.shape), dtype=torch.uint8, device=self.device)
            masks = torch.empty((count, *mask.shape), dtype=torch.uint8, device=self.device)
            for index, record in enumerate(self.dataset.records):
                image, mask = self.dataset.frames.read(index)
                if image.shape != images.shape[1:]:
                    raise DataError(
                        f"data.frames_on_device needs frames of one size; {record.name} is "
                        f"{image.shape[1]}x{image.shape[0]}, the first one "
                        f"{images.shape[2]}x{images.shape[1]}. Set data.resize, or switch it off."
                    )
                images[index] = torch.from_numpy(image.copy())
                masks[index] = torch.from_numpy(mask.copy())
            self._images, self._masks = images, masks
        return self._images, self._masks


class _Axis(NamedTuple):
    """Source index of every output row or column, `[N, output]` each, on the device."""

    nearest: torch.Tensor  # int64, for the mask
    low: torch.Tensor  # int64, for the image
    high: torch.Tensor  # int64, its neighbor
    weight: torch.Tensor  # float32, of the neighbor
    inside: torch.Tensor  # bool, false in the padding

    @classmethod
    def unpacked(
        cls, nearest: torch.Tensor, low: torch.Tensor, weight: torch.Tensor, length: int
    ) -> _Axis:
        """Unpacks the output of `_positions`, as int32, for a frame of this length."""
        source, start = nearest.long(), low.long()
        neighbor = (start + 1).clamp_(max=length - 1)
        inside = source >= 0
        return cls(source.clamp_(min=0), start, neighbor, weight.view(torch.float32), inside)


def _positions(windows: list[Window], axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int32 `[N, output]` each: nearest source (-1: padding), lower source, bits of the weight."""
    shape = (len(windows), windows[0].output[axis])
    nearest, low = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    weight = np.zeros(shape, np.float32)
    for position, window in enumerate(windows):
        span = slice(window.offset[axis], window.offset[axis] + window.size[axis])
        source = window.bilinear(axis).clip(0, window.frame[axis] - 1)
        lower = np.floor(source)
        nearest[position, span] = window.nearest(axis)
        low[position, span] = lower
        weight[position, span] = source - lower
    return nearest, low, weight.view(np.int32)


def _bilinear(images: torch.Tensor, chosen: torch.Tensor, rows: _Axis, cols: _Axis) -> torch.Tensor:
    """float32 `[N, H, W, 3]` from uint8 frames `[F, h, w, 3]`."""

    def corner(row: torch.Tensor, col: torch.Tensor) -> torch.Tensor:
        return images[chosen[:, None, None], row[:, :, None], col[:, None]].float()

    across, down = cols.weight[:, None, :, None], rows.weight[:, :, None, None]
    top = corner(rows.low, cols.low).lerp_(corner(rows.low, cols.high), across)
    bottom = corner(rows.high, cols.low).lerp_(corner(rows.high, cols.high), across)
    return top.lerp_(bottom, down)


def _recolored(image: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
    """Applies one color matrix per image, in float32 throughout.

    A batched matrix product would multiply 3 x 3 matrices for every row of every image, in TF32.

    Args:
        image: float32 `[N, H, W, 3]`.
        colors: float32 `[N, 3, 4]`, see `Augmentation.draw_colors`.
    """
    factors = colors[:, None, None]  # [N, 1, 1, 3, 4]
    out = torch.addcmul(factors[..., 3], image[..., 0:1], factors[..., 0])
    for channel in (1, 2):
        out.addcmul_(image[..., channel : channel + 1], factors[..., channel])
    return out.clamp_(0, 255)


def _check_room(needed: int, count: int, device: torch.device) -> None:
    """Raises DataError if the frames would leave too little memory on a GPU."""
    free = _free_memory(device)
    if free is not None and needed + SPARE > free:
        raise DataError(
            f"data.frames_on_device: the {count} training frames take {needed / 1e9:.1f} GB, the "
            f"GPU has {free / 1e9:.1f} GB free. Set data.resize, or frames_on_device=false."
        )


def _free_memory(device: torch.device) -> int | None:
    """Free bytes; None if unknown."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def _to(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copies asynchronously, for which CUDA requires page-locked memory."""
    tensor = torch.from_numpy(array)
    tensor = tensor.pin_memory() if device.type == "cuda" else tensor
    return tensor.to(device, non_blocking=True)
