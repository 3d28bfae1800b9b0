"""Frames decoded from the files of a source, and the only function that resizes images."""

from __future__ import annotations

import cv2
import numpy as np

from segbench.data.dataset import Arrays, Frames, Record, Source
from segbench.data.files import same_size
from segbench.data.window import by_bands


class SourceFrames(Frames):
    """Frames decoded from the source's files at every read.

    Args:
        source: the data set.
        records: the images.
        resize: `(H, W)` the image is resized to, or None.
        resize_mask: resize the mask as well (training); evaluation keeps its size.
    """

    def __init__(
        self,
        source: Source,
        records: list[Record],
        resize: tuple[int, int] | None = None,
        resize_mask: bool = False,
    ) -> None:
        self.source = source
        self.records = records
        self.resize = resize
        self.resize_mask = resize_mask
        self._unknown = np.ones(256, np.uint8)
        self._unknown[: source.classes.num_classes] = 0
        self._unknown[source.classes.ignore_index] = 0

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int) -> Arrays:
        """Image `[H, W, C]`, mask uint8 `[h, w]`; see `Frames`."""
        record = self.records[index]
        image, mask = self.source.read(record)
        same_size(image, mask, record)
        if cv2.LUT(mask, self._unknown).any():
            self.source.classes.check(mask, str(record.mask or record.name))
        if self.resize is not None:
            image = resize_image(image, self.resize)
            if self.resize_mask:
                mask = cv2.resize(mask, self.resize[::-1], interpolation=cv2.INTER_NEAREST)
        return image, mask


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes to `(H, W)`: area averaging when shrinking, to avoid aliasing, else bilinear.

    Args:
        image: `[h, w, C]` of any dtype that images have when read.
        size: target height and width in pixels.

    Returns:
        `[H, W, C]` of the same dtype.
    """
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_bands(lambda part: cv2.resize(part, size[::-1], interpolation=how), image)
