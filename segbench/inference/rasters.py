"""Georeferenced rasters of any size, predicted window by window into rasters of the same extent.

The windows are those of sliding inference, read one by one from the file. They are predicted in
strips from top to bottom whose logits fit into little memory, so that the labels are the same as
with the whole raster in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import Tensor

from segbench.data.bands import RGB, Bands
from segbench.data.classes import ClassSet
from segbench.data.decoding import image_of
from segbench.data.extras import needed
from segbench.data.pixels import Pixels
from segbench.data.tiff import read_layout
from segbench.errors import DataError
from segbench.inference.labels import require_finite
from segbench.inference.overlay import blend
from segbench.inference.predictor import Predictor
from segbench.inference.windows import window_starts
from segbench.system.storage import replacing

KINDS = ("ids", "color", "overlay")
NO_DATA = 255
TILE = 256  # tile size in pixels of the files written
_STRIP_BYTES = 1 << 28  # maximum size of the logits of a strip
_CACHE_MB = 64  # cache size of GDAL
_GEO_TAGS = (33550, 33922, 34264, 34735)  # pixel scale, tie points, matrix, coordinate system


def is_georeferenced(path: Path) -> bool:
    """Whether a file is a georeferenced TIFF."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with tifffile.TiffFile(path) as file:
            return any(tag in file.pages[0].tags for tag in _GEO_TAGS)  # type: ignore[union-attr]
    except Exception:  # of various types; reported when the file is decoded
        return False


class Raster:
    """A raster in place of a tensor `[1, channels, H, W]`: slicing reads a window.

    Args:
        path: the file.
        bands: the bands that the model sees.
        device: device of the windows.

    Raises:
        DataError: it cannot be read.
        ConfigError: rasterio is not installed.
    """

    def __init__(self, path: Path, bands: Bands, device: torch.device) -> None:
        self.path, self.bands, self.device = path, bands, device
        rasterio = needed("rasterio", "geo", "a georeferenced raster")
        try:
            self.file = rasterio.open(path)
        except rasterio.errors.RasterioError as error:
            raise DataError(f"{path}: cannot be read ({error}).", "unreadable") from None
        self._layout = read_layout(path)
        self._check()
        self.shape = (1, bands.count, self.file.height, self.file.width)

    def __getitem__(self, key: tuple[slice, slice, slice, slice]) -> Tensor:
        image = self.read(key[2], key[3])
        return torch.from_numpy(image).permute(2, 0, 1)[None].to(self.device)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """A window `[h, w, channels]`, as files are read elsewhere."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        values = np.moveaxis(self._read(self.file.read, window), 0, -1)
        if self.file.nodata is not None and values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, np.float32(self.bands.limits[0]))
        alpha, layout = None, self._layout
        if layout.has_alpha:
            values, alpha = values[..., :-1], values[..., -1]
        if values.shape[2] == 1:
            values = values[..., 0]
        top = layout.top if values.dtype.kind == "u" else 0
        values = np.ascontiguousarray(values)
        pixels = Pixels(values, top, layout.palette, alpha, layout.white_is_zero)
        return image_of(pixels, self.bands, self.path)

    def has_data(self, rows: slice, columns: slice) -> np.ndarray:
        """bool `[h, w]`, false where the raster has no data; an alpha channel is not about that."""
        if any("alpha" in flag.name for flag in self.file.mask_flag_enums[0]):
            return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        found: np.ndarray = self._read(self.file.dataset_mask, window) > 0
        return found

    def _read(self, how: Callable[..., Any], window: tuple[Any, Any]) -> Any:
        rasterio = needed("rasterio", "geo", "a georeferenced raster")
        try:
            return how(window=window)
        except rasterio.errors.RasterioError as error:
            raise DataError(f"{self.path}: cannot be read ({error}).", "unreadable") from None

    def _check(self) -> None:
        """Raises DataError for what rasterio reads differently from an image."""
        problem = None
        if self._layout.orientation != 1:
            problem = f"an orientation ({self._layout.orientation}) that rotates it"
        elif self._layout.is_converted and self.file.count != RGB:
            problem = "CMYK"
        if problem:
            raise DataError(
                f"{self.path}: a georeferenced raster with {problem}, which is not supported; "
                "export it upright, as gray or RGB.",
                "unreadable",
            )


def predict_raster(
    raster: Raster,
    predictor: Predictor,
    window: tuple[int, int],
    stride: tuple[int, int],
    targets: dict[str, Path],
    shown: np.ndarray,
    alpha: float,
    progress: Callable[[int, int], None],
) -> None:
    """Predicts a raster and writes labels, colors and overlays with its georeference.

    Args:
        raster: the opened raster.
        predictor: with sliding windows of this size and stride, without TTA.
        window: `(H, W)` of a window.
        stride: `(rows, columns)` between windows.
        targets: kind (of `KINDS`) -> file to write.
        shown: uint8 `[256]`, the value written for each label.
        alpha: strength of the colors in overlays, 0..1.
        progress: called with the number of strips done and their total.

    Raises:
        DataError: a window cannot be read.
        NonFiniteLogitsError: the logits contain NaN or infinity.
    """
    rasterio = needed("rasterio", "geo", "a georeferenced raster")
    strips = list(_strips(raster.shape[3], window, stride, predictor.classes.num_classes))
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MB))
        files = {
            kind: stack.enter_context(_created(stack, rasterio, raster, kind, path, predictor))
            for kind, path in targets.items()
        }
        for done, (left, right, lefts) in enumerate(strips, 1):
            for top, labels in _rows(raster, predictor, left, right, lefts):
                rows, columns = slice(top, top + len(labels)), slice(left, right)
                labels = shown[labels]
                labels[~raster.has_data(rows, columns)] = NO_DATA
                place = ((rows.start, rows.stop), (left, right))
                for kind, file in files.items():
                    content = _content(kind, raster, predictor.classes, labels, place, alpha)
                    file.write(content, window=place)
            progress(done, len(strips))


def _strips(
    width: int, window: tuple[int, int], stride: tuple[int, int], num_classes: int
) -> Iterator[tuple[int, int, list[int]]]:
    """Left and right end of each strip, and the windows that overlap it."""
    columns = min(window[1], width)
    starts = window_starts(width, columns, stride[1])
    step = max(TILE, _STRIP_BYTES // (4 * num_classes * window[0]) // TILE * TILE)
    for left in range(0, width, step):
        right = min(width, left + step)
        yield left, right, [x for x in starts if x < right and x + columns > left]


def _rows(
    raster: Raster, predictor: Predictor, left: int, right: int, lefts: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Labels of a strip, in blocks of rows that fill whole tiles of a file."""
    kept: list[np.ndarray] = []
    top = 0
    for part, finite in predictor.label_bands(raster, lefts):  # type: ignore[arg-type]
        require_finite(finite, [str(raster.path)])
        kept.append(part[0, :, left - lefts[0] : right - lefts[0]].cpu().numpy())
        height = sum(map(len, kept))
        whole = height // TILE * TILE
        if whole:
            rows = np.concatenate(kept)
            yield top, rows[:whole]
            top, kept = top + whole, [rows[whole:]]
    if sum(map(len, kept)):
        yield top, np.concatenate(kept)


def _created(
    stack: ExitStack, rasterio: Any, raster: Raster, kind: str, path: Path, predictor: Predictor
) -> Any:
    """A new GeoTIFF with the georeference of the raster, renamed when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = stack.enter_context(replacing(path, durable=False))
    source, bands = raster.file, 1 if kind == "ids" else 3
    file = rasterio.open(
        draft, "w", driver="GTiff", dtype="uint8", count=bands, width=source.width,
        height=source.height, crs=source.crs, transform=source.transform, tiled=True,
        blockxsize=TILE, blockysize=TILE, compress="deflate", bigtiff="if_safer",
        nodata=NO_DATA if kind == "ids" else None,
    )  # fmt: skip
    if kind == "ids":
        colors = {i: (*color, 255) for i, color in enumerate(predictor.classes.colors)}
        file.write_colormap(1, colors)
    return file


def _content(
    kind: str,
    raster: Raster,
    classes: ClassSet,
    labels: np.ndarray,
    place: tuple[tuple[int, int], tuple[int, int]],
    alpha: float,
) -> np.ndarray:
    """uint8 `[bands, h, w]` of one kind of file."""
    if kind == "ids":
        return labels[None]
    colors = classes.decode(labels)
    if kind == "overlay":
        image = raster.bands.displayed(raster.read(slice(*place[0]), slice(*place[1])))
        colors = blend(image, colors, labels < classes.num_classes, alpha)
    return np.moveaxis(colors, -1, 0)
