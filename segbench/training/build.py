"""Builds all components of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from segbench.artifacts import build
from segbench.artifacts.build_loss import build_loss, class_weight_names
from segbench.artifacts.default_checkpoint import SHIPPED, default_checkpoint
from segbench.artifacts.entry import CHECKPOINT_FORMAT
from segbench.artifacts.result import Protocol
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.trained_as import weights_digest, weights_source
from segbench.artifacts.typed import plain
from segbench.config import Config
from segbench.data.bands import RGB, bands_of
from segbench.data.datamodule import SegmentationData
from segbench.data.dataset import SPLITS
from segbench.errors import ConfigError, DataError
from segbench.losses.own import OwnLoss
from segbench.system.console import say
from segbench.training.compiling import compile_network
from segbench.training.dry_run import dry_run
from segbench.training.speed import Speed
from segbench.training.task import SegmentationTask
from segbench.training.trainer import build_loggers, build_trainer


@dataclass(frozen=True)
class RunParts:
    """All components of a training.

    Args:
        task: model, loss and metrics.
        data: the loaders.
        trainer: the Trainer, with loggers and callbacks.
        speed: the callback that measures times.
        protocol: how the scores are measured.
        fingerprint: fingerprint of each split.
        trained_on: for val and test, how many of their images are training images too, if any.
        initial_weights: hash of the file or folder that `weights` or `model.path` names.
    """

    task: SegmentationTask
    data: SegmentationData
    trainer: pl.Trainer
    speed: Speed
    protocol: Protocol
    fingerprint: dict[str, str]
    trained_on: dict[str, int]
    initial_weights: str | None


def build_run(config: Config, run: RunDirectory) -> RunParts:
    """Builds a training from the resolved config of `segbench.train`.

    The model is built before any image is read, so that unavailable pretrained weights fail
    immediately.

    Raises:
        ConfigError: the components do not fit together, or this machine.
        DataError: the data set cannot be used.
    """
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")  # TF32 on the GPUs that have it
    source_node, loader_node = build.split_data(config["data"])
    source = build.build_source(source_node)
    build.check_num_classes(source.classes)
    loggers = build_loggers(config, run)  # from here on, failures are logged
    channels = bands_of(source).count
    classes = source.classes
    model = build.build_model(config["model"], classes.num_classes, channels, classes.names)
    is_inflated = channels != RGB and bool(config["model"].get("encoder_weights"))
    if config["weights"]:
        loaded = build.start_from(model, _weights_file(config["weights"]))
        is_inflated = bool(loaded.inflated)
        say(str(loaded))
    elif is_inflated:
        say(f"the pretrained first convolution was inflated from {RGB} to {channels} channels")
    initial_weights = _initial_weights(config)
    data = build.build_datamodule(loader_node, source, config["seed"], config.get("augment"))
    expected = loaded.normalization if config["weights"] else _of_package(config["model"], channels)
    if note := other_normalization(expected, (data.mean, data.std)):
        say(note)
    if config["inference"].get("drop_class"):
        raise ConfigError(
            "inference.drop_class is only for prediction; it must be null in training"
        )
    predictor = build.build_predictor(config["inference"], model, source.classes, data)
    named = class_weight_names(config["loss"])
    equal = {name: [1.0] * source.classes.num_classes for name in named}
    loss = build_loss(config["loss"], source.classes, equal)
    check_whose_loss(config, model, loss)
    dry_run(config, model, loss, predictor, data)
    is_clipped = bool(config["trainer"].get("gradient_clip_val"))
    build.build_optimizer(config["optimizer"], model, is_clipped)  # raises before data is cached
    if data.preview:
        data.write_preview(run.path / "preview.png")
        say(f"preview of augmented samples: {run.path / 'preview.png'}")
    names = _image_names(data, config["test"])
    if named:
        weights = {name: data.class_weights(name) for name in named}
        loss = build_loss(config["loss"], source.classes, weights)
    if config["compile"]:
        compile_network(model)
    protocol = protocol_of(config, data, is_inflated)
    fingerprint = {split: data.fingerprint(split) for split in names}
    shared = {split: len(data.trained_on(split)) for split in names if split != "train"}
    trained_on = {split: count for split, count in shared.items() if count}
    speed = Speed()
    trainer = build_trainer(config, run, data, loggers, speed)
    portable: Config = getattr(model, "portable", dict)()
    task = SegmentationTask(
        model=model,
        loss=loss,
        classes=source.classes,
        predictor=predictor,
        make_optimizer=lambda m: build.build_optimizer(config["optimizer"], m, is_clipped),
        make_scheduler=lambda o, steps: build.build_scheduler(config["scheduler"], o, steps),
        image_names=names,
        seed=config["seed"],
        channels_last=config["channels_last"],
        log_every=config["log_every"],
        checkpoint_meta={
            "format": CHECKPOINT_FORMAT,
            "config": {**config, "model": {**config["model"], **portable}},
            "classes": source.classes.to_dict(),
            "mean": list(data.mean),
            "std": list(data.std),
            "protocol": plain(protocol),
            "fingerprint": fingerprint,
            "trained_on": trained_on,
            **({"origin": str(config["model"]["path"])} if portable.get("architecture") else {}),
            "devices": trainer.world_size,
            "initial_weights": initial_weights,
        },
    )
    return RunParts(task, data, trainer, speed, protocol, fingerprint, trained_on, initial_weights)


def check_whose_loss(config: Config, model: nn.Module, loss: nn.Module) -> None:
    """Raises ConfigError if the loss of the config would be ignored, or there is none."""
    has_own = hasattr(model, "training_loss")
    if has_own != isinstance(loss, OwnLoss):
        raise ConfigError(
            f"loss._target_ {config['loss']['_target_']}: {type(model).__name__} "
            f"{'is trained with' if has_own else 'has no'} loss of its own; loss=own is for models "
            "that have one, and they take no other"
        )


def _of_package(model: Config, channels: int) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation of the images that a packaged encoder expects."""
    if model.get("encoder_weights") != "package":
        return ()
    from segbench.models import encoders

    return (encoders.PACKAGED_MEAN,) * channels, (encoders.PACKAGED_STD,) * channels


def other_normalization(
    expected: Sequence[Sequence[float]], given: Sequence[Sequence[float]]
) -> str | None:
    """A note if images are not normalized as the initial weights expect; else None.

    Args:
        expected: mean and standard deviation of each channel; empty if they are not known.
        given: those of the data set.
    """
    pairs = list(zip(expected, given, strict=False))
    if all(np.allclose(a, b, atol=0.01) for a, b in pairs if len(a) == len(b)):
        return None
    wanted, used = (
        [f"[{', '.join(f'{number:.3g}' for number in value)}]" for value in values]
        for values in (expected, given)
    )
    return (
        f"note: the initial weights expect images normalized with mean {wanted[0]} and std "
        f"{wanted[1]}, but these have mean {used[0]} and std {used[1]}; "
        f"'data.mean={wanted[0].replace(' ', '')}' 'data.std={wanted[1].replace(' ', '')}'"
    )


def _weights_file(given: str) -> str:
    """The file of the key `weights`; `shipped` is the checkpoint that comes with segbench."""
    return str(default_checkpoint()) if given == SHIPPED else given


def _initial_weights(config: Config) -> str | None:
    """Hash of the file or folder of the initial weights, if there is one on this machine."""
    given = weights_source(config)
    path = Path(_weights_file(given)) if given else None
    return weights_digest(path) if path and path.exists() else None


def _image_names(data: SegmentationData, is_tested: bool) -> dict[str, list[str]]:
    """The images of each split; a training without a test needs no test split."""
    names = {}
    for split in SPLITS:
        try:
            names[split] = [record.name for record in data.records(split)]
        except DataError:
            if split != "test" or is_tested:
                raise
    return names


def protocol_of(config: Config, data: SegmentationData, is_inflated: bool) -> Protocol:
    """How the scores of a training are measured."""
    return Protocol(
        resize=data.resize,
        inference=config["inference"],
        selection=config["selection"],
        bands=data.bands,
        inflated=data.bands.count if is_inflated else None,
        num_classes=data.classes.num_classes,
        labels=data.source.protocol,
        precision=build.resolve_precision(config["precision"], config["trainer"]["accelerator"]),
    )
