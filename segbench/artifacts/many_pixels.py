"""Predicts inputs larger than an image: georeferenced rasters of any size, and volumes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from segbench.artifacts.segmenter import Prediction, Segmenter
from segbench.data import volumes
from segbench.data.decoding import image_of
from segbench.inference import rasters, video
from segbench.inference.outputs import Outputs
from segbench.system.console import say
from segbench.system.storage import replacing

Show = Callable[[int, int], None]  # called with the amount done and the total


def kind_of(file: Path) -> Literal["image", "video", "raster", "volume"]:
    """How a file is predicted; without rasterio, a georeferenced file is treated as an image."""
    if file.suffix.lower() in video.SUFFIXES:
        return "video"
    if volumes.is_volume(file):
        return "volume"
    if not rasters.is_georeferenced(file):
        return "image"
    if find_spec("rasterio") is None:
        say(f"{file}: its georeference is lost without rasterio; pip install 'segbench[geo]'")
        return "image"
    return "raster"


def predict_raster(
    segmenter: Segmenter, file: Path, outputs: Outputs, name: str, show: Show
) -> int:
    """Writes `KIND/NAME.tif` with the georeference of a raster; returns its number of pixels.

    Raises:
        DataError: it cannot be read, or the checkpoint does not fit it.
    """
    raster = rasters.Raster(file, segmenter.bands, segmenter.device)
    height, width = raster.shape[2:]
    predictor, window, stride = segmenter.windows_for((height, width))
    targets = {kind: outputs.folder / kind / f"{name}.tif" for kind in outputs.kinds}
    with segmenter.autocast():
        rasters.predict_raster(
            raster, predictor, window, stride, targets, outputs.table, outputs.alpha, show
        )
    return height * width


def predict_volume(
    segmenter: Segmenter,
    file: Path,
    outputs: Outputs,
    name: str,
    predict: Callable[[np.ndarray], Prediction],
    show: Show,
) -> int:
    """Writes the outputs of each slice as `NAME_000`, and `volumes/NAME.nii.gz` with all labels.

    Returns:
        The number of slices.

    Raises:
        DataError: it cannot be read.
    """
    axis, labels = segmenter.slice_axis, []
    count = volumes.count_slices(file, axis)
    for part in range(count):
        image = image_of(volumes.read_slice(file, part, axis), segmenter.bands, file)
        seen = predict(image)
        shown = segmenter.bands.displayed(image)
        outputs.write(f"{name}_{part:03d}", shown, seen.labels, seen.probs)
        labels.append(outputs.table[seen.labels])
        show(part + 1, count)
    with replacing(outputs.folder / "volumes" / f"{name}.nii.gz") as draft:
        written = draft.with_name(f"{draft.name}.nii.gz")  # nibabel needs the suffix
        volumes.write_volume(written, file, np.stack(labels), axis)
        written.replace(draft)
    return count
