"""Reading image and mask files, and saying clearly what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segbench.data.classes import DataError
from segbench.data.dataset import Arrays, Frames, Record, Source

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def read_rgb(path: Path) -> np.ndarray:
    """Decodes an image file.

    EXIF orientation is ignored: masks carry none, so pixels must stay where they are.

    Returns:
        uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: missing, truncated or no image.
    """
    data = _bytes(path)
    image = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if image is None:
        raise DataError(f"{path}: not a readable image ({len(data)} bytes). Replace the file.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def read_raw_mask(path: Path) -> np.ndarray:
    """Decodes a mask file without interpreting it.

    Returns:
        integer `[H, W]` raw label values (palette PNG: palette positions), or uint8
        `[H, W, 3]` RGB for a colour mask.

    Raises:
        DataError: missing, truncated or no image.
    """
    data = _bytes(path)
    if data.startswith(_PNG_MAGIC) and (data[24] < 8 or data[25] == 3):
        # OpenCV expands palettes to colours and stretches 1-bit masks to 0/255.
        with Image.open(path) as opened:
            return np.asarray(opened).astype(np.uint8)
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise DataError(f"{path}: not a readable mask ({len(data)} bytes). Replace the file.")
    if mask.ndim == 2:
        return mask
    return np.ascontiguousarray(mask[..., 2::-1])


def read_ids(path: Path) -> np.ndarray:
    """Decodes a mask of label ids; a colour mask is refused.

    Returns:
        integer `[H, W]`.
    """
    mask = read_raw_mask(path)
    if mask.ndim != 2:
        colors = len(np.unique(mask.reshape(-1, 3), axis=0))
        raise DataError(
            f"{path}: an RGB mask ({colors} colours) where one label id per pixel was expected. "
            "Use the label-id version of the masks, or a source that reads colours."
        )
    return mask


def same_size(image: np.ndarray, mask: np.ndarray, record: Record) -> None:
    """Raises DataError when image and mask differ in size."""
    if image.shape[:2] != mask.shape[:2]:
        raise DataError(
            f"{record.mask or record.name}: the mask is {_size(mask)} but the image "
            f"{record.image or record.name} is {_size(image)}. Export both at one size."
        )


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


def require_folders(root: Path, folders: Iterable[str], layout: str, how: str) -> None:
    """Raises DataError listing what is missing under `root`, the layout expected, and a remedy.

    Args:
        root: root folder of the data set.
        folders: paths below `root` that must exist.
        layout: one-line description of the expected layout.
        how: how to get the data.
    """
    missing = [name for name in folders if not (root / name).exists()]
    if not missing:
        return
    if root.is_dir():
        entries = sorted(p.name + "/" * p.is_dir() for p in root.iterdir())
        found = ", ".join(entries[:12]) + (", ..." if len(entries) > 12 else "") or "nothing"
    else:
        found = "no such folder"
    raise DataError(
        f"{root}: missing {', '.join(missing)}. Expected layout: {layout}. Found: {found}. "
        f"{how} Then set data.root."
    )


def pair_by_stem(images: list[Path], masks: list[Path], mask_suffix: str = "") -> list[Path]:
    """The mask of every image, matched by file name without extension.

    Args:
        images: image paths.
        masks: mask paths.
        mask_suffix: what a mask's stem has after the image's stem, e.g. `_L`.

    Raises:
        DataError: an image without a mask, a mask without an image, or two masks of one name.
    """
    by_stem: dict[str, Path] = {}
    for mask in masks:
        if mask.stem in by_stem:
            raise DataError(f"{mask}: a second mask of the same name as {by_stem[mask.stem]}")
        by_stem[mask.stem] = mask
    paired = {image.stem + mask_suffix: image for image in images}
    if len(paired) < len(images):
        raise DataError(f"{images[0].parent}: two images share one name but for the extension")
    lonely = [str(paired[s]) for s in sorted(paired.keys() - by_stem.keys())]
    orphans = [str(by_stem[s]) for s in sorted(by_stem.keys() - paired.keys())]
    problems = [
        f"{len(paths)} {what}: {', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''}"
        for what, paths in (("image(s) without mask", lonely), ("mask(s) without image", orphans))
        if paths
    ]
    if problems:
        raise DataError(
            "; ".join(problems) + f". A mask is named like its image, plus '{mask_suffix}'. "
            "Add or remove the files."
        )
    return [by_stem[image.stem + mask_suffix] for image in images]


class SourceFrames(Frames):
    """Frames decoded from the source's files at every read.

    Args:
        source: the data set.
        records: the images.
        resize: `(H, W)` the image is resized to, or None.
        resize_mask: resize the mask too (training); evaluation keeps it as it is.
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
        self._known = np.zeros(256, bool)
        self._known[: source.classes.num_classes] = True
        self._known[source.classes.ignore_index] = True

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int) -> Arrays:
        """Image uint8 `[H, W, 3]`, mask uint8 `[h, w]`; see `Frames`."""
        record = self.records[index]
        image, mask = self.source.read(record)
        same_size(image, mask, record)
        if not self._known[mask].all():
            self.source.classes.check(mask, str(record.mask or record.name))
        if self.resize is not None:
            image = resize_image(image, self.resize)
            if self.resize_mask:
                mask = cv2.resize(mask, self.resize[::-1], interpolation=cv2.INTER_NEAREST)
        return image, mask


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes to `(H, W)`: area average when shrinking, so nothing aliases, else bilinear.

    Args:
        image: uint8 `[h, w, 3]`.
        size: target height and width in pixels.

    Returns:
        uint8 `[H, W, 3]`.
    """
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    return cv2.resize(
        image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    # OpenCV pads a truncated file with grey and only warns, so the end marks are checked here.
    truncated = (data.startswith(_PNG_MAGIC) and b"IEND" not in data[-64:]) or (
        data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data[-1024:]
    )
    if truncated or not data:
        raise DataError(f"{path}: truncated after {len(data)} bytes. Copy or download it again.")
    return data


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
