"""From images to label maps and probabilities, for any model and any image size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segbench.data.classes import ClassSet
from segbench.errors import DataError
from segbench.inference.amounts import MOST_ENLARGED, check_amounts
from segbench.inference.labels import FiniteLogits, checked_argmax, require_finite
from segbench.inference.windows import slide


class Predictor:
    """Runs a model on whole images or on sliding windows, with or without TTA.

    A single pass gives logits, which are upsampled to the requested size; the argmax of the logits
    is the prediction. Several passes (scales, flip) give probabilities, which are averaged.

    Args:
        model: any model `[N, channels, H, W] -> [N, C, H, W]`, in eval mode.
        classes: the classes of its C channels.
        mean: mean of the channels in 0..1, black to white.
        std: standard deviation of the channels in 0..1.
        mode: `whole`: the image in one piece; `slide`: overlapping windows.
        crop_size: `(H, W)` of a window; required for `slide`.
        stride: `(rows, columns)` between windows; required for `slide`.
        window_batch: windows per call on a GPU; on a CPU it is always one.
        blend: how overlapping windows are weighted, see `windows.slide`.
        scales: sizes relative to the image at which the model is run.
        flip: also run on the mirrored image.
        divisor: for models that do not pad themselves: height and width are padded with the mean
            color, at the bottom and right, to a multiple of this; the logits are cropped.
        drop_class: name of a class that is never predicted (a background class); `classes` of the
            predictor is then the class set without it.
        value_range: values of black and white in the images.

    Raises:
        ValueError: `slide` without window or stride, a stride larger than the window, an unknown
            class, or a number out of range.
        DataError: (on prediction) an image is too large for these scales or windows.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: ClassSet,
        mean: Sequence[float],
        std: Sequence[float],
        mode: Literal["whole", "slide"] = "whole",
        crop_size: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        window_batch: int = 8,
        blend: Literal["uniform", "gaussian"] = "uniform",
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        divisor: int = 1,
        drop_class: str | None = None,
        value_range: tuple[float, float] = (0.0, 255.0),
    ) -> None:
        check_amounts(scales, divisor, window_batch)
        self.model = model
        factor, shift = scaling(mean, std, value_range)
        self._factor = torch.tensor(factor)[:, None, None]
        self._shift = torch.tensor(shift)[:, None, None]
        self._windows = _checked_windows(crop_size, stride) if mode == "slide" else None
        self.window_batch, self.blend = window_batch, blend
        self.scales, self.flip, self.divisor = list(scales), flip, divisor
        self.classes, self._kept = _without(classes, drop_class)
        self._num_channels = classes.num_classes

    def normalize(self, image: Tensor) -> Tensor:
        """`[N, channels, H, W]` to float32 `(value in 0..1 - mean) / std`, where the image is."""
        if self._factor.device != image.device:  # once: a copy at every step would be a sync
            self._factor, self._shift = self._factor.to(image.device), self._shift.to(image.device)
        return image.float().mul_(self._factor).sub_(self._shift)

    @torch.inference_mode()
    def labels(
        self,
        image: Tensor,
        size: tuple[int, int] | None = None,
        names: Sequence[str] | None = None,
        finite: FiniteLogits | None = None,
    ) -> Tensor:
        """Predicts label maps.

        Args:
            image: uint8 `[N, 3, H, W]` RGB, or other values as read, on the model's device.
            size: `(H, W)` of the label maps; None keeps that of the image.
            names: names of the images, for errors.
            finite: collects whether the logits were finite, to be checked after all images; None
                checks immediately, which makes the host wait.

        Returns:
            uint8 `[N, *size]`.

        Raises:
            NonFiniteLogitsError: the logits are not finite; see `labels.checked_argmax`.
        """
        size = size or (image.shape[2], image.shape[3])
        if self.averages:
            labels, are_finite = checked_argmax(self.probs(image, size))
        elif self._windows and size == tuple(image.shape[2:]):
            # All channels of a pixel share one weight: the argmax needs no division. Windows are
            # normalized one by one: as floats, a large image would need four times its memory.
            bands = self._bands(image, lambda crop: self._forward(self.normalize(crop)))
            parts = [checked_argmax(band) for band, _ in bands]
            labels = torch.cat([part for part, _ in parts], dim=1)
            are_finite = torch.stack([fine for _, fine in parts]).all(0)
        else:
            labels, are_finite = checked_argmax(self._logits(self.normalize(image)), size)
        _note(are_finite, names, finite)
        return labels

    @torch.inference_mode()
    def probs(self, image: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Predicts probabilities, float32 `[N, C, *size]`; for the arguments see `labels`."""
        size = size or (image.shape[2], image.shape[3])
        total, passes = torch.zeros(()), 0
        for logits in self._passes(self.normalize(image)):
            total = total.to(logits.device) + _resize(logits, size).softmax(1)
            passes += 1
        return total / passes

    @torch.inference_mode()
    def labels_and_probs(
        self,
        image: Tensor,
        size: tuple[int, int] | None = None,
        names: Sequence[str] | None = None,
        finite: FiniteLogits | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The outputs of `labels` and `probs` from one pass; for the arguments see `labels`."""
        size = size or (image.shape[2], image.shape[3])
        if self.averages:
            probs = self.probs(image, size)
            labels, are_finite = checked_argmax(probs)
        else:
            logits = _resize(self._logits(self.normalize(image)), size)
            labels, are_finite = checked_argmax(logits)
            probs = logits.softmax(1)
        _note(are_finite, names, finite)
        return labels, probs

    @property
    def averages(self) -> bool:
        """Whether probabilities of several passes are averaged, which takes memory for them."""
        return self.flip or self.scales != [1.0]

    def _passes(self, pixels: Tensor) -> Iterator[Tensor]:
        """The logits of every scale and flip, each at its own scale, flipped back."""
        for scale in self.scales:
            height, width = (max(1, round(side * scale)) for side in pixels.shape[2:])
            if scale > 1 and height * width > MOST_ENLARGED:
                raise DataError(
                    f"inference.scales: {scale} makes {width}x{height} pixels of an image, more "
                    f"than {MOST_ENLARGED}; use a smaller scale"
                )
            scaled = _resize(pixels, (height, width), antialias=scale < 1)
            yield self._logits(scaled)
            if self.flip:
                yield self._logits(scaled.flip(3)).flip(3)

    def _logits(self, pixels: Tensor) -> Tensor:
        """float32 logits of normalized pixels, at their size."""
        if self._windows:
            return torch.cat(
                [band / weight for band, weight in self._bands(pixels, self._forward)], dim=2
            )
        return self._forward(pixels).float()

    @torch.inference_mode()
    def label_bands(
        self, image: Tensor, lefts: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Label maps from top to bottom, for an image that is read one window at a time.

        Args:
            image: like a tensor `[1, channels, H, W]` that supports `[:, :, rows, columns]`.
            lefts: see `windows.slide`.

        Yields:
            uint8 `[1, rows, W]`, and whether the logits were finite, bool `[1]`.
        """
        assert self._windows
        assert not self.averages
        for band, _ in self._bands(image, lambda c: self._forward(self.normalize(c)), lefts):
            yield checked_argmax(band)

    def _bands(
        self,
        image: Tensor,
        forward: Callable[[Tensor], Tensor],
        lefts: Sequence[int] | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        assert self._windows
        batch = self.window_batch if image.device.type != "cpu" else 1
        return slide(forward, image, *self._windows, batch, self.blend, lefts)

    def _forward(self, pixels: Tensor) -> Tensor:
        if self.model.training:
            raise ValueError("the model is in training mode; call model.eval() before predicting")
        height, width = pixels.shape[2:]
        below, right = -height % self.divisor, -width % self.divisor
        logits = self.model(F.pad(pixels, (0, right, 0, below)) if below or right else pixels)
        if logits.shape[1] != self._num_channels:
            raise ValueError(
                f"the model has {logits.shape[1]} output channels for {self._num_channels} classes"
            )
        logits = logits[:, :, :height, :width]
        if self._kept is None:
            return logits
        if self._kept.device != logits.device:
            self._kept = self._kept.to(logits.device)
        return logits[:, self._kept]


def scaling(
    mean: Sequence[float], std: Sequence[float], value_range: tuple[float, float]
) -> tuple[list[float], list[float]]:
    """`((image - low) / (high - low) - mean) / std` as one factor and one shift of each channel.

    Returns:
        The factors, and the shifts that are subtracted after them.
    """
    low, high = value_range
    black = low / (high - low)
    return (
        [1 / ((high - low) * s) for s in std],
        [(black + m) / s for m, s in zip(mean, std, strict=True)],
    )


def _note(are_finite: Tensor, names: Sequence[str] | None, finite: FiniteLogits | None) -> None:
    """Stores bool `[N]` for a later check, or checks it now."""
    count = len(are_finite)
    if names is None:
        names = ["the image"] if count == 1 else [f"image {i} of the batch" for i in range(count)]
    if finite is None:
        require_finite(are_finite, names)
    else:
        finite.add(are_finite, names)


def _resize(image: Tensor, size: tuple[int, int], antialias: bool = False) -> Tensor:
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=antialias)


def _without(classes: ClassSet, name: str | None) -> tuple[ClassSet, Tensor | None]:
    """The class set without a class, and the remaining channels (None: all)."""
    if name is None:
        return classes, None
    if name not in classes.names:
        raise ValueError(f"drop_class: no class '{name}' among {', '.join(classes.names)}")
    kept = [i for i, other in enumerate(classes.names) if other != name]
    colors = tuple(classes.colors[i] for i in kept)
    names = tuple(classes.names[i] for i in kept)
    rest = ClassSet(names, colors, classes.ignore_index, classes.void_color)
    return rest, torch.tensor(kept)


def _checked_windows(
    crop_size: Sequence[int] | None, stride: Sequence[int] | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    if crop_size is None or stride is None:
        raise ValueError("slide inference needs crop_size and stride, both as [H, W]")
    window, step = (crop_size[0], crop_size[1]), (stride[0], stride[1])
    if not (0 < step[0] <= window[0] and 0 < step[1] <= window[1]):
        raise ValueError(
            f"stride {list(step)} must be at least 1 and at most crop_size {list(window)}, or "
            "parts of the image would be skipped"
        )
    return window, step
