"""A trained model ready for prediction: one checkpoint in, label maps and probabilities out.

model = segbench.load("best.ckpt")
found = model.predict("photo.jpg")
found.labels          uint8 [H, W], class ids
found.probs           float32 [C, H, W]
found.classes.names   what the ids mean
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segbench.artifacts.build import instantiate
from segbench.artifacts.checkpoint import load_checkpoint
from segbench.artifacts.default_checkpoint import SHIPPED, default_checkpoint
from segbench.artifacts.entry import IN_ONNX, Entry, check_entry, stored_bands
from segbench.artifacts.trust import admit, construct
from segbench.config import Config, did_you_mean
from segbench.data.classes import ClassSet
from segbench.data.dataset import Source
from segbench.data.frames import resize_image
from segbench.errors import ConfigError, DataError
from segbench.inference import onnx
from segbench.inference.photos import read_photo
from segbench.inference.predictor import Predictor

Size = tuple[int, int]
WHOLE_LIMIT = 1 << 22  # largest image, in pixels, that the model gets in one piece
LARGE_WINDOW, LARGE_STRIDE = (1024, 1024), (768, 768)
MOST_ENLARGED = 16  # training images' pixels up to which resize=auto enlarges an image
PROBS_LIMIT = 1 << 28  # largest number of probabilities per image: 1 GiB, needed three times


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Args:
        labels: uint8 `[H, W]`, class ids, in the size of the image.
        probs: float32 `[C, H, W]`, or None if not requested.
        classes: names and colors of the ids.
        in_windows: whether the image was too large for one piece and was predicted in overlapping
            windows, although the checkpoint was tested on whole images.
    """

    labels: np.ndarray
    probs: np.ndarray | None
    classes: ClassSet
    in_windows: bool = False


class Segmenter:
    """Predicts images with the model, the normalization and the protocol of a checkpoint.

    Args:
        ckpt: a checkpoint from `segbench.train`, or an `.onnx` file from `segbench.export`;
            None or `shipped` for the shipped checkpoint.
        inference: config node of a `Predictor`; None for that of the checkpoint.
        device: `auto`, `cpu`, `cuda`, ...
        resize: `auto` scales images to the height used in training; None keeps their size;
            `(H, W)` is exactly that size. Label maps always have the size of the image.
        drop_class: a class never to predict, in addition to those in `inference`.
        allow_targets: modules that the user trusts, see `trust`.

    Raises:
        ConfigError: the checkpoint cannot be used, or an option does not fit it.
    """

    def __init__(
        self,
        ckpt: Path | str | None = None,
        inference: Mapping[str, Any] | None = None,
        device: str = "auto",
        resize: Sequence[int] | str | None = "auto",
        drop_class: str | None = None,
        allow_targets: Sequence[str] = (),
    ) -> None:
        self.ckpt = default_checkpoint() if ckpt in (None, SHIPPED) else Path(str(ckpt))
        self.allow_targets = tuple(allow_targets)
        model, self.meta = load_network(self.ckpt, allow_targets)
        self.device = resolve_device(device)
        self.bands = stored_bands(self.meta)
        self.num_params = self.meta.get("params") or sum(p.numel() for p in model.parameters())
        stored = self.meta["config"]["inference"]
        node = dict(inference or admit("inference", stored, f"ckpt={self.ckpt}", allow_targets))
        if drop_class is not None:
            node["drop_class"] = drop_class
        self.inference = node
        self._given = {
            "model": model.to(self.device).to(memory_format=torch.channels_last),
            "classes": ClassSet.from_dict(self.meta["classes"]),
            "mean": self.meta["mean"],
            "std": self.meta["std"],
            "value_range": self.meta.get("limits", self.bands.limits),
        }
        self.predictor: Predictor = (
            instantiate("inference", node, **self._given)
            if inference
            else construct("inference", node, f"ckpt={self.ckpt}", **self._given)
        )
        self.classes = self.predictor.classes
        trained = self.meta["protocol"].get("resize")
        self._keeps_aspect = resize == "auto"
        chosen = trained if resize == "auto" else resize
        self._resize = None if chosen is None else (int(chosen[0]), int(chosen[1]))

    def predict(self, image: Path | str | np.ndarray, with_probs: bool = True) -> Prediction:
        """Predicts one image.

        Args:
            image: a file, or uint8 `[H, W, 3]` RGB (or the bands that the checkpoint defines).
            with_probs: also return the probabilities (C floats per pixel).

        Raises:
            DataError: the file cannot be read, or is too large for probabilities (TTA needs them).
            NonFiniteLogitsError: the logits contain NaN or infinity.
        """
        pixels = image if isinstance(image, np.ndarray) else read_photo(Path(image), self.bands)
        self._check_pixels(pixels)
        size = (pixels.shape[0], pixels.shape[1])
        if size[0] * size[1] * self.classes.num_classes > PROBS_LIMIT:
            self._check_labels_only(size, with_probs)
        seen = self.seen_size(size)
        resized = pixels if seen == size else resize_image(pixels, seen)
        batch = torch.from_numpy(np.require(resized, requirements=["C", "W"])).permute(2, 0, 1)[
            None
        ]
        batch = batch.to(self.device)
        in_windows = seen[0] * seen[1] > WHOLE_LIMIT and self.inference.get("mode") != "slide"
        predictor = self._windowed(LARGE_WINDOW, LARGE_STRIDE) if in_windows else self.predictor
        probs, names = None, None if isinstance(image, np.ndarray) else [str(image)]
        with self.autocast():
            if with_probs:
                labels, probabilities = predictor.labels_and_probs(batch, size, names)
                probs = _array(probabilities[0])
            else:
                labels = predictor.labels(batch, size, names)
        return Prediction(_array(labels[0]), probs, self.classes, in_windows)

    def _check_pixels(self, pixels: np.ndarray) -> None:
        kinds = (np.uint16, np.float32) if self.bands.keeps_values else (np.uint8,)
        count = self.bands.count
        if pixels.ndim != 3 or pixels.shape[2] != count or pixels.dtype not in kinds:
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(
                f"the image must be {names} [H, W, {count}]{' RGB' * self.bands.is_rgb}, not "
                f"{pixels.dtype} {list(pixels.shape)}"
            )

    def data_node(self, root: str | None = None) -> Config:
        """The config of the data set that the checkpoint names: only what to read.

        Args:
            root: where the data set is, if not at the path used in training.

        Raises:
            ConfigError: it names code that is neither a data set of segbench nor trusted; or a
                root is given for generated data.
        """
        node = admit("data", self.meta["config"]["data"], f"ckpt={self.ckpt}", self.allow_targets)
        if root and "root" not in node:
            raise ConfigError(
                f"root={root}: the data set of the checkpoint is generated and has no folder; for "
                "another one set data=NAME and data.root=FOLDER"
            )
        return node | ({"root": root} if root else {})

    def source(self, root: str | None = None) -> Source:
        """The data set that the checkpoint names; for the arguments see `data_node`."""
        return construct("data", self.data_node(root), f"ckpt={self.ckpt}")

    def _check_labels_only(self, size: tuple[int, int], with_probs: bool) -> None:
        """Raises DataError if an image of this size would need its probabilities."""
        if not with_probs and not self.predictor.averages:
            return
        remedy = "predict labels only" if with_probs else "predict without TTA (scales, flip)"
        raise DataError(
            f"an image of {size[1]}x{size[0]} pixels is too large for the probabilities of "
            f"{self.classes.num_classes} classes; {remedy}, or cut it into tiles"
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision in which the scores of the checkpoint were measured."""
        precision = str(self.meta["protocol"].get("precision", "32-true"))
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()

    def seen_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size `(H, W)` at which the model sees an image of this size."""
        if self._resize is None:
            return size
        if not self._keeps_aspect:
            return self._resize
        # The height used in training, or less if a very wide image would become too large.
        limit = MOST_ENLARGED * self._resize[0] * self._resize[1]
        largest = max(1.0, (limit / (size[0] * size[1])) ** 0.5)
        scale = min(self._resize[0] / size[0], largest)
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    @property
    def slice_axis(self) -> int:
        """The axis along which volumes are cut into images, see `data.volumes`."""
        return int(self.meta["config"]["data"].get("slice_axis", 2))

    def class_ids(self, names: Sequence[str] | None) -> list[int] | None:
        """The ids of classes by name; None for None. ConfigError names unknown classes."""
        known = self.classes.names
        if names is None:
            return None
        if unknown := [name for name in names if name not in known]:
            hints = [f"there is no class '{name}'{did_you_mean(name, known)}" for name in unknown]
            raise ConfigError("classes: " + "; ".join(hints))
        return [known.index(name) for name in names]

    def windows_for(self, size: tuple[int, int]) -> tuple[Predictor, Size, Size]:
        """A predictor with windows for a raster of this `(H, W)`; also its window and stride.

        Raises:
            DataError: the checkpoint resizes images, or averages several passes.
        """
        if self.seen_size(size) != size:
            raise DataError(
                "a georeferenced raster is predicted at its own size, but the checkpoint expects "
                "resized images; set resize=null"
            )
        if self.predictor.averages:
            raise DataError("a georeferenced raster is predicted without TTA (scales, flip)")
        window, stride = size, size
        if self.inference.get("mode") == "slide":
            (h, w), (y, x) = self.inference["crop_size"], self.inference["stride"]
            window, stride = (int(h), int(w)), (int(y), int(x))
        elif size[0] * size[1] > WHOLE_LIMIT:
            window, stride = LARGE_WINDOW, LARGE_STRIDE
        return self._windowed(window, stride), window, stride

    def _windowed(self, window: Size, stride: Size) -> Predictor:
        node = {"mode": "slide", "crop_size": window, "stride": stride}
        return instantiate("inference", {**self.inference, **node}, **self._given)


def load_network(path: Path, allow_targets: Sequence[str] = ()) -> tuple[nn.Module, Entry]:
    """The model of a checkpoint or `.onnx` file, and its metadata.

    Raises:
        ConfigError: the file cannot be used, or ONNX Runtime is not installed.
    """
    if path.suffix != ".onnx":
        return load_checkpoint(path, allow_targets)
    if not path.is_file():
        raise ConfigError(f"ckpt={path}: there is no such file")
    try:
        network = onnx.OnnxNetwork(path)
    except ValueError as error:
        raise ConfigError(f"ckpt={path}: {error}") from None
    meta = check_entry(network.meta, f"ckpt={path}", left_out=IN_ONNX)
    raw = onnx.no_normalization(stored_bands(meta).count)
    return network, {**meta, "mean": raw["mean"], "std": raw["std"], "limits": (0.0, 255.0)}


def resolve_device(name: str) -> torch.device:
    """Resolves `auto` to the GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"device: '{name}' is not a device ({str(error).splitlines()[0]})"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= (found := torch.cuda.device_count()):
        gpus = f"{found} GPU(s), counted from 0" if found else "no GPU; use device=cpu"
        raise ConfigError(f"device: '{name}', but torch finds {gpus}")
    return device


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
