"""Runs one batch through model and loss before anything is cached or trained.

Errors are reported in one sentence that names the model or the loss. The weights, the statistics of
batch norm and the random state of the training do not change.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

import segbench
from segbench.config import Config
from segbench.data.batch import collate
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import EpochSampler, SegmentationDataset
from segbench.data.frames import SourceFrames
from segbench.errors import ConfigError
from segbench.inference.predictor import Predictor
from segbench.training.loss_terms import loss_terms, outputs_of, own_terms

BATCH = 2  # images: batch norm needs more than one value per channel
_log = logging.getLogger(__name__)


def dry_run(
    config: Config, model: nn.Module, loss: nn.Module, predictor: Predictor, data: SegmentationData
) -> None:
    """Runs model and loss on two training images, and the model on a validation image.

    Args:
        config: config of the training, for names in messages and the memory format.
        model: the model, on the CPU.
        loss: the loss, on the CPU, with any class weights.
        predictor: normalizes the images.
        data: the data to read; no cache is built.

    Raises:
        ConfigError: an output does not fit, or code outside of segbench failed.
        DataError: an image cannot be read.
    """
    channels_last = config["channels_last"]
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=memory_format)
    about = _Model(str(config["model"]["_target_"]), data.classes.num_classes)
    with isolate_rng(include_cuda=False), _buffers_kept(model):
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        image, mask = _batch(data, "train", min(BATCH, data.batch_size))
        image = predictor.normalize(image.to(device, memory_format=memory_format))
        mask = mask.to(device)
        model.train()
        with _blamed(f"model {about.name}", f"a training batch {_size(image)}"):
            logits, auxiliary = outputs_of(model, image)
        about.check(logits, image)
        if hasattr(model, "training_loss"):
            _check_own_loss(about.name, model, image, mask, data.classes.ignore_index)
        else:
            _check_loss(config, model, loss.to(device), logits, auxiliary, mask, data)
        shown = _batch(data, "val", 1)[0].to(device, memory_format=memory_format)
        shown = predictor.normalize(shown)
        if shown.shape[2:] != image.shape[2:]:
            model.eval()
            what = f"a validation image {_size(shown)}, which is passed whole, not as a crop"
            with torch.no_grad(), _blamed(f"model {about.name}", what):
                about.check(model(shown), shown)
            model.train()


class _Model:
    """Checks the output of a model.

    Args:
        name: its `_target_`.
        num_classes: number of classes of the data set.
    """

    def __init__(self, name: str, num_classes: int) -> None:
        self.name = name
        self.num_classes = num_classes

    def check(self, logits: Any, image: Tensor) -> None:
        """Raises ConfigError unless the output is logits of the image."""
        if problem := self._problem(logits, image):
            raise ConfigError(f"model {self.name}: {problem}")

    def _problem(self, logits: Any, image: Tensor) -> str | None:
        wanted = [len(image), self.num_classes, *image.shape[2:]]
        expected = f"forward must return the logits, one tensor [N, {self.num_classes}, H, W]"
        if not isinstance(logits, Tensor):
            return f"returns {_described(logits)}; {expected}{_way_out(logits)}"
        shape = list(logits.shape)
        if not logits.is_floating_point():
            return f"returns {logits.dtype}; {expected}, before any argmax"
        if len(shape) != 4 or shape[0] != wanted[0]:
            return f"returns {shape} for images {list(image.shape)}; {expected}"
        if shape[1] != self.num_classes and shape[1:] == [*wanted[2:], self.num_classes]:
            return f"returns {shape}, channels last; {expected}: permute(0, 3, 1, 2)"
        if shape[1] != self.num_classes:
            return (
                f"returns {shape[1]} channels for the {self.num_classes} classes of the data set; "
                "add an argument num_classes, which segbench sets, and output that many channels"
            )
        if shape[2:] != wanted[2:]:
            return (
                f"returns logits of {_size(logits)} for images of {_size(image)} (height x width); "
                "upsample them in forward: F.interpolate(logits, image.shape[-2:], "
                'mode="bilinear")'
            )
        if not logits.isfinite().all():
            return "returns NaN or infinite logits for the first images, before any training"
        return self._no_logits(logits.detach())

    def _no_logits(self, values: Tensor) -> str | None:
        if values.min() < 0 or values.max() > 1:
            return None
        if torch.allclose(values.sum(1), torch.ones(()).to(values), atol=1e-3):
            return (
                "returns probabilities (they sum to 1 at each pixel), but the loss applies "
                "softmax again; return the logits, before softmax"
            )
        if values.min() > 0:
            _log.warning(
                "model %s: all logits of the first images are between 0 and 1; if forward ends "
                "in a sigmoid, return the values before it",
                self.name,
            )
        return None


def _check_loss(
    config: Config,
    model: nn.Module,
    loss: nn.Module,
    logits: Tensor,
    auxiliary: Any,
    mask: Tensor,
    data: SegmentationData,
) -> None:
    name = f"loss {config['loss']['_target_']}"
    ignored = data.classes.ignore_index
    if trained := [
        key.removeprefix("loss.") for key, value in loss.named_parameters() if value.requires_grad
    ]:
        raise ConfigError(
            f"{name}: has trainable parameters ({', '.join(trained[:4])}), but only those of the "
            "model are optimized; freeze them with requires_grad_(False), or move them into the "
            "model, with a training_loss there"
        )
    given = f"logits {list(logits.shape)} and a mask {list(mask.shape)} of class IDs"
    try:
        with _blamed(name, given):
            terms = loss_terms(model, loss, logits, auxiliary, mask, ignored)
    except ConfigError as error:
        if str(ignored) in str(error) and "out of bounds" in str(error):
            raise ConfigError(
                f"{name}: cannot handle {ignored}, the label of ignored pixels; add an argument "
                "ignore_index, which segbench sets, and leave these pixels out"
            ) from error
        raise
    _check_terms(name, model, terms, mask, ignored)


def _check_own_loss(
    model_name: str, model: nn.Module, image: Tensor, mask: Tensor, ignored: int
) -> None:
    name = f"model {model_name}, training_loss"
    with _blamed(name, f"images {list(image.shape)} and a mask {list(mask.shape)} of class IDs"):
        terms = own_terms(model, image, mask)
    _check_terms(name, model, terms, mask, ignored)


def _check_terms(
    name: str, model: nn.Module, terms: Mapping[str, Any], mask: Tensor, ignored: int
) -> None:
    for term, value in terms.items():
        of = name if len(terms) == 1 else f"{name}, term {term}"
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ConfigError(
                f"{of}: returns {_described(value)}; expected a scalar, such as the mean"
            )
        if not value.isfinite().all() and (mask != ignored).any():
            raise ConfigError(
                f"{of}: is {value.item()} on the first images, before any training, though the "
                "logits are finite"
            )
    if any(p.requires_grad for p in model.parameters()) and not any(
        value.requires_grad for value in terms.values()
    ):
        raise ConfigError(
            f"{name}: its value has no gradient, so nothing would be learned; compute it from the "
            "logits without argmax, detach, item or no_grad"
        )


def _batch(data: SegmentationData, split: str, count: int) -> tuple[Tensor, Tensor]:
    """The first images and masks of a split as they are trained on or validated."""
    train = split == "train"
    records = data.source_records(split)
    frames = SourceFrames(data.source, records, data.resize, resize_mask=train)
    transform = data.augmentation if train else None
    dataset = SegmentationDataset(records, frames, transform, data.seed)
    keys = EpochSampler(len(records), data.seed, shuffle=train).keys(0)[:count]
    batch = collate([dataset[key] for key in keys], one_size=train)
    image, mask = batch["image"], batch["mask"]
    assert isinstance(image, Tensor)  # of one size, or one image
    assert isinstance(mask, Tensor)
    return image, mask


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Restores what a forward pass changes, such as the statistics of batch norm."""
    before = {name: b.clone() for name, b in model.named_buffers() if not is_lazy(b)}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in before and before[name].shape == buffer.shape:
                    buffer.copy_(before[name])


@contextmanager
def _blamed(part: str, given: str) -> Iterator[None]:
    """Adds the failing part of the config, and its line, to an error."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "exit_code") or "deterministic implementation" in str(error):
            raise
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{part} failed on {given}: {type(error).__name__}: {text}{_place(error)}"
        ) from error


def _place(error: BaseException) -> str:
    """The innermost line of a traceback outside of segbench and installed packages."""
    ours = str(Path(segbench.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and ours not in f.filename]
    own = [f for f in own if Path(f.filename).is_file()]
    if not own:
        return ""
    return f" ({own[-1].filename}, line {own[-1].lineno}, in {own[-1].name})"


def _size(image: Tensor) -> str:
    return "x".join(map(str, image.shape[-2:]))


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with {', '.join(repr(key) for key in list(value)[:6])}"
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__}"


def _way_out(value: Any) -> str:
    """Suggests the part of an output that is probably meant."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(
        value, list | tuple
    ) else ()  # fmt: skip
    found = [key for key, part in parts if isinstance(part, Tensor) and part.ndim == 4]
    return f"; wrap it and return its part {found[0]!r}" if found else ""
