"""Training batches cut on the GPU, for data sets whose decoded frames fit into its memory.

The windows are those of the CPU path: labels are identical, image values within 1 (a little
more where contrast is raised). Per sample only a few index vectors travel to the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from segbench.data.dataset import EpochSampler, SegmentationDataset
from segbench.data.loader import Batch
from segbench.data.transforms import Augmentation
from segbench.data.window import Window
from segbench.errors import DataError


class DeviceLoader:
    """Keeps all frames of a split on a device as uint8 and augments there.

    Args:
        dataset: the data set; its transform must be an `Augmentation` without blur, noise and
            cutout.
        batch_size: images per batch.
        sampler: yields the keys.
        device: where the frames live.

    Raises:
        DataError: frames of several sizes.
        ValueError: an augmentation that only the CPU has.
    """

    batch_sampler = None  # Lightning looks for one wherever it finds a sampler

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int,
        sampler: EpochSampler,
        device: torch.device,
    ) -> None:
        if not isinstance(dataset.transform, Augmentation) or dataset.transform.cpu_only:
            raise ValueError(
                "data.frames_on_device cannot blur, add noise or cut out; set them to 0"
            )
        self.dataset = dataset
        self.augmentation: Augmentation = dataset.transform
        self.batch_size = batch_size
        self.sampler = sampler
        self.device = device
        self._images: torch.Tensor | None = None
        self._masks: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        keys = iter(self.sampler)
        for _ in range(len(self)):
            yield self._batch(list(itertools.islice(keys, self.batch_size)))

    def _batch(self, keys: list[tuple[int, int]]) -> Batch:
        images, masks = self._frames()
        windows = [self._draw(epoch, index) for epoch, index in keys]
        chosen = _to(np.array([index for _, index in keys]), self.device)
        rows, cols = (_indices(windows, axis) for axis in (0, 1))
        inside = (
            _to(rows["inside"], self.device)[:, :, None] & _to(cols["inside"], self.device)[:, None]
        )
        image = _bilinear(images, chosen, rows, cols, self.device)
        fill = _to(np.array(self.augmentation.scale_crop.image_fill, np.float32), self.device)
        image = torch.where(inside[..., None], image, fill)
        if self.augmentation.color_jitter:
            seed = self.dataset.seed
            colors = [self.augmentation.draw_colors((seed, epoch, i)) for epoch, i in keys]
            matrix = _to(np.stack(colors), self.device)[:, None]  # [N, 1, 3, 4]
            image = (image @ matrix[..., :3].mT + matrix[..., 3][:, :, None]).clamp_(0, 255)
        image = image.round_().to(torch.uint8)
        mask = masks[
            chosen[:, None, None],
            _to(rows["nearest"], self.device)[:, :, None],
            _to(cols["nearest"], self.device)[:, None],
        ]
        ignore = self.augmentation.scale_crop.ignore_index
        records = [self.dataset.records[index] for _, index in keys]
        return {
            "image": image.permute(0, 3, 1, 2),
            "mask": torch.where(inside, mask, ignore),
            "name": [record.name for record in records],
            "group": [record.group for record in records],
            "index": chosen,
        }

    def _draw(self, epoch: int, index: int) -> Window:
        key = (self.dataset.seed, epoch, index)
        return self.augmentation.draw_window(self.dataset.frames.read(index)[1], key)

    def _frames(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Uploads the frames on first use."""
        if self._images is None or self._masks is None:
            image, mask = self.dataset.frames.read(0)
            count = len(self.dataset)
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


def _indices(windows: list[Window], axis: int) -> dict[str, np.ndarray]:
    """Where every output row (axis 0) or column (1) comes from, `[N, output]` each."""
    shape = (len(windows), windows[0].output[axis])
    out: dict[str, np.ndarray] = {
        "nearest": np.zeros(shape, np.int64),
        "low": np.zeros(shape, np.int64),
        "high": np.zeros(shape, np.int64),
        "weight": np.zeros(shape, np.float32),
        "inside": np.zeros(shape, bool),
    }
    for position, window in enumerate(windows):
        span = slice(window.offset[axis], window.offset[axis] + window.size[axis])
        source = window.bilinear(axis).clip(0, window.frame[axis] - 1)
        low = np.floor(source).astype(np.int64)
        out["nearest"][position, span] = window.nearest(axis)
        out["low"][position, span] = low
        out["high"][position, span] = np.minimum(low + 1, window.frame[axis] - 1)
        out["weight"][position, span] = source - low
        out["inside"][position, span] = True
    return out


def _bilinear(
    images: torch.Tensor,
    chosen: torch.Tensor,
    rows: dict[str, np.ndarray],
    cols: dict[str, np.ndarray],
    device: torch.device,
) -> torch.Tensor:
    """float32 `[N, H, W, 3]` from uint8 frames `[F, h, w, 3]`."""

    def corner(row: str, col: str) -> torch.Tensor:
        row_index, col_index = _to(rows[row], device), _to(cols[col], device)
        return images[chosen[:, None, None], row_index[:, :, None], col_index[:, None]].float()

    across = _to(cols["weight"], device)[:, None, :, None]
    down = _to(rows["weight"], device)[:, :, None, None]
    top = torch.lerp(corner("low", "low"), corner("low", "high"), across)
    bottom = torch.lerp(corner("high", "low"), corner("high", "high"), across)
    return torch.lerp(top, bottom, down)


def _to(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)
