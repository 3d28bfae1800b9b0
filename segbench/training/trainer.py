"""The Lightning Trainer of a run: loggers, checkpoints and output during the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from segbench.artifacts import build
from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.data.datamodule import SegmentationData
from segbench.errors import ConfigError
from segbench.system.storage import replacing
from segbench.training.averaging import EMA
from segbench.training.callbacks import CudnnSearch, Curves, Samples
from segbench.training.checkpoints import LastCheckpoint
from segbench.training.distributed import devices_per_node
from segbench.training.progress import Bar, EpochLines
from segbench.training.speed import Speed
from segbench.training.tracking import (
    define_best,
    is_disabled,
    save_dir,
    started,
    wandb_arguments,
)
from segbench.training.validation import RequireValLabels, check_validated, has_val_score, needed_by

# Minimum of arguments that the Trainer itself does not check.
LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "gradient_clip_val": 0}
# Callbacks of Lightning whose effect would be lost, or would not be in the record of the run.
UNFIT: dict[type[Callback], str] = {
    LearningRateFinder: "sets the rate of the first step only; use callbacks=lr_finder",
    BatchSizeFinder: "would change data.batch_size unrecorded; set data.batch_size",
    GradientAccumulationScheduler: (
        "would change the effective batch size unrecorded; set trainer.accumulate_grad_batches"
    ),
}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint next to its target, then renames it: a kill leaves no partial file.

    Lightning itself writes to the temporary directory, and a move from another file system is a
    copy.

    Attributes:
        seconds: total time spent on writing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def save_checkpoint(
        self, checkpoint: Mapping[str, object], path: Any, storage_options: Any = None
    ) -> None:
        """Writes `checkpoint` to `path`."""
        started = time.perf_counter()
        with replacing(Path(path)) as draft, draft.open("wb") as file:
            torch.save(checkpoint, file)
        self.seconds += time.perf_counter() - started


class MovableCheckpoint(ModelCheckpoint):
    """Goes on in the folder where the run stands now, wherever it stood when it was interrupted.

    Lightning's own callback forgets the best epoch if the folder has another name. An epoch without
    a score, because val has no labels, writes nothing.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the checkpoint if it is due."""
        if self.monitor is None or has_val_score(pl_module):
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restores the state, with its paths changed to the current folder."""
        here = Path(self.dirpath or "")

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        state = dict(state_dict)
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = moved(state.get(key) or "")
        best = state.get("best_k_models") or {}
        state["best_k_models"] = {moved(path): score for path, score in best.items()}
        super().load_state_dict(state | {"dirpath": self.dirpath})


class StopEarly(EarlyStopping):
    """Lightning's early stopping, but a stopped run remains stopped when it is started again."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops before the first epoch."""
        if self.wait_count >= max(self.patience, 1):
            trainer.should_stop = True


def build_loggers(config: Config, run: RunDirectory) -> list[Logger]:
    """Builds the loggers of a run and logs its config."""
    loggers = []
    for name, node in (config["logger"] or {}).items():
        if is_disabled(node):
            continue
        folder = save_dir(node, config, run).absolute()  # W&B's process may run in another folder
        given = {"save_dir": str(folder)} | wandb_arguments(node, folder, run)
        logger = started(build.instantiate(f"logger.{name}", node, **given))
        try:
            logger.log_hyperparams(config)
        except Exception as error:  # W&B starts here, with its settings, its server and its disk
            raise ConfigError(f"logger.{name} could not be started: {error}") from error
        loggers.append(logger)
    define_best(loggers)
    return loggers


def build_trainer(
    config: Config, run: RunDirectory, data: SegmentationData, loggers: list[Logger], speed: Speed
) -> pl.Trainer:
    """Builds the Lightning Trainer of a run, with its checkpoints, curves and image sheets.

    Args:
        config: the resolved config of `segbench.train`.
        run: the run directory for all output.
        data: gives the number of validation images.
        loggers: from `build_loggers`.
        speed: callback that measures times.

    Raises:
        ConfigError: sync_batchnorm on CPUs, which torch does not support.
    """
    accelerator = config["trainer"]["accelerator"]
    if config["trainer"].get("sync_batchnorm") and build.on_cpu(accelerator):
        raise ConfigError(
            "trainer.sync_batchnorm: works on GPUs only; on CPUs add trainer.sync_batchnorm=false "
            "(each process then normalizes its own part of the batch)"
        )
    try:
        trainer: pl.Trainer = build.instantiate(
            "trainer",
            {**config["trainer"], "devices": devices_per_node(config["trainer"])},
            precision=build.resolve_precision(config["precision"], accelerator),
            deterministic=config["deterministic"],
            logger=loggers or False,
            callbacks=_callbacks(config, run, data, speed),
            enable_progress_bar=config["trainer"]["enable_progress_bar"] and sys.stdout.isatty(),
            default_root_dir=str(run.path),
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,
            enable_model_summary=False,
            log_every_n_steps=config["log_every"],
        )
    except MisconfigurationException as error:  # Lightning's error for invalid arguments
        raise ConfigError(f"trainer: {error}") from None
    return trainer


def check_possible(config: Config) -> None:
    """Raises ConfigError for settings that cannot work, before anything is loaded.

    These are invalid numbers; selection, early stopping or a schedule that needs validation without
    one; and fp16 on a CPU.
    """
    trainer = config["trainer"]
    if config["precision"] == "16-mixed" and build.on_cpu(trainer["accelerator"]):
        raise ConfigError(
            "precision=16-mixed: on a CPU, Lightning would run bf16-mixed; set precision=bf16-mixed"
        )
    for key, least in LEAST.items():
        if (value := trainer.get(key)) is not None and value < least:
            raise ConfigError(f"trainer.{key}: must be at least {least}, got {value}")
    if trainer.get("fast_dev_run"):
        raise ConfigError(
            "trainer.fast_dev_run: writes no checkpoint, which the test needs; set trainer=debug"
        )
    if trainer.get("limit_train_batches") == 0 and trainer["max_epochs"] != 0:
        raise ConfigError(
            "trainer.limit_train_batches=0: nothing would be trained; set trainer.max_epochs=0"
        )
    if trainer.get("limit_test_batches") == 0 and config["test"]:
        raise ConfigError("trainer.limit_test_batches=0: nothing would be tested; set test=false")
    check_validated(config)


def _callbacks(
    config: Config, run: RunDirectory, data: SegmentationData, speed: Speed
) -> list[Callback]:
    every = config["trainer"]["check_val_every_n_epoch"]
    positions = _spread(config["samples"], _num_evaluated(config, data))
    callbacks: list[Callback] = [
        speed,
        RequireValLabels(needed_by(config)),
        Samples(run.samples, data.classes, positions, config["samples_every"], data.bands),
        # Saved at the end of the epoch, so that a resume starts with a new one.
        MovableCheckpoint(
            run.checkpoints,
            filename="best",
            monitor="val/mIoU",
            mode="max",
            every_n_epochs=every,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
        Curves(run.metrics_file),
    ]
    if config["ema"] is not None:
        callbacks.append(EMA(config["ema"]))
    if config["early_stopping"] is not None:
        callbacks.append(StopEarly("val/mIoU", mode="max", patience=config["early_stopping"]))
    if not config["deterministic"] and "benchmark" not in config["trainer"]:
        callbacks.append(CudnnSearch())
    if config["trainer"]["enable_progress_bar"]:
        callbacks += [Bar(config["log_every"])] if sys.stdout.isatty() else []
        callbacks.append(EpochLines())
    callbacks += _own_callbacks(config)
    # Last, so that it contains the final state of the others.
    callbacks.append(LastCheckpoint(run.last_checkpoint, config["checkpoint_every"]))
    return callbacks


def _own_callbacks(config: Config) -> list[Callback]:
    """The callbacks that the config names, such as Lightning's own."""
    found = []
    for name, node in (config["callbacks"] or {}).items():
        callback = build.instantiate(f"callbacks.{name}", node)
        if not isinstance(callback, Callback):
            raise ConfigError(f"callbacks.{name}: {node['_target_']} is not a Lightning callback")
        if (why := UNFIT.get(type(callback))) is not None:
            raise ConfigError(f"callbacks.{name}: {node['_target_']} {why}")
        found.append(callback)
    return found


def _num_evaluated(config: Config, data: SegmentationData) -> int:
    """Number of validation images evaluated per epoch."""
    limit, num_val = config["trainer"]["limit_val_batches"], len(data.records("val"))
    if limit is None:
        return num_val
    batch_size = data.eval_batch_size or 1  # at least; the device is not known yet
    batches = limit if isinstance(limit, int) else limit * num_val / batch_size
    return min(num_val, max(1, int(batches * batch_size)))


def _spread(wanted: int, length: int) -> list[int]:
    """At most `wanted` positions, evenly spread over `length`."""
    wanted = min(wanted, length)
    return [round((i + 0.5) * length / wanted - 0.5) for i in range(wanted)]
