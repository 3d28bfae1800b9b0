"""One training from config to result: build, fit, test, write down."""

from __future__ import annotations

import inspect
import logging
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from segbench.artifacts import build
from segbench.artifacts.checkpoint import CHECKPOINT_FORMAT, read_checkpoint
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError, EndedBySignalError
from segbench.metrics.scores import scores
from segbench.training.compiling import compile_network
from segbench.training.distributed import is_first_process
from segbench.training.report import print_report
from segbench.training.result import check_same_data, describe, first_result, protocol
from segbench.training.speed import Speed
from segbench.training.task import SegmentationTask
from segbench.training.tracking import finish_wandb, log_confusion
from segbench.training.trainer import build_loggers, build_trainer, check_possible

Config = dict[str, Any]


def run_training(config: Config, run: RunDirectory) -> dict[str, Any]:
    """Trains, tests and writes the run directory.

    Args:
        config: the resolved config of `segbench.train`.
        run: where to write; a `last.ckpt` in it is resumed.

    Returns:
        The content of result.json.

    Raises:
        EndedBySignalError: SIGTERM came while it went on.
    """
    started = time.time()
    quiet_libraries()
    result = first_result(config)
    resume = run.last_checkpoint if run.last_checkpoint.is_file() else None
    before = run.read_result() or {}
    if resume and "data_info" in before:
        result["data_info"] = before["data_info"]  # kept, should this start fail
    is_first = is_first_process()
    if is_first:
        run.write_config(config)
        run.write_result(result)
    run.path.mkdir(parents=True, exist_ok=True)  # another process may be the first, and slower
    log_file = logging.FileHandler(run.log_file)
    logging.getLogger().addHandler(log_file)
    failed = True
    try:
        check_possible(config)
        task, data, trainer = build_run(config, run)
        if resume:
            begun_on = read_checkpoint(resume)["segbench"].get("fingerprint")
            check_same_data(begun_on, task.checkpoint_meta["fingerprint"], before, run)
            print(f"resuming {resume}")
        describe(result, task, data, trainer, config)
        if is_first:
            run.write_result(result)
        with _determinism_explained():
            trainer.fit(task, data, ckpt_path=resume, weights_only=True)
        task.check_end()
        # Given weights, to be tested as they are. All processes must take part in saving, so what
        # another one has written meanwhile may not decide it.
        if trainer.max_epochs == 0 and resume is None:
            trainer.save_checkpoint(run.last_checkpoint)
        with _determinism_explained():
            _test(config, run, task, data, trainer, result)
        result["timings"] |= {"total_seconds": time.time() - started}
        result["status"] = "finished"
        if trainer.is_global_zero:
            run.write_result(result)
            print_report(result, run)
        failed = False
    except BaseException as caught:
        error: BaseException = caught
        if isinstance(caught, SIGTERMException):  # on its own it would end the process with code 0
            text = f"{run.path} was ended by SIGTERM; the same command continues it"
            error = EndedBySignalError(text)
        result["status"] = "failed"
        result["reason"] = f"{type(error).__name__}: {error}"[:2000]
        if is_first:
            run.write_result(result)
        if error is not caught:
            raise error from None
        raise
    finally:
        finish_wandb(failed)
        logging.getLogger().removeHandler(log_file)
        log_file.close()
    return result


@contextmanager
def _determinism_explained() -> Iterator[None]:
    """Says what to do where torch refuses an operation because of deterministic=true."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise ConfigError(
            f"deterministic=true: torch has no deterministic implementation of {found[1]}, which "
            "this training needs on this device; say deterministic=false"
        ) from None


def build_run(config: Config, run: RunDirectory) -> tuple[SegmentationTask, Any, pl.Trainer]:
    """Network first: pretrained weights that cannot be had fail before any data is read."""
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")  # TF32 on the GPUs that have it
    source = build.build_source(config["data"])
    build.check_num_classes(source.classes)
    loggers = build_loggers(config, run)  # from here on, what fails is logged as failed
    model = build.build_model(config["model"], source.classes.num_classes)
    if config["weights"]:
        _start_from(model, config["weights"])
    data = build.build_datamodule(config["data"], source, config["seed"])
    if config["data"].get("preview"):
        data.write_preview(run.path / "preview.png")
        print(f"preview of augmented samples: {run.path / 'preview.png'}")
    names = {split: [r.name for r in data.records(split)] for split in ("train", "val", "test")}
    weights = {name: data.class_weights(name) for name in build.class_weight_names(config["loss"])}
    loss = build.build_loss(config["loss"], source.classes, weights)
    if config["compile"]:
        compile_network(model)
    task = SegmentationTask(
        model=model,
        loss=loss,
        classes=source.classes,
        predictor=_build_predictor(config, model, data),
        make_optimizer=lambda m: _build_optimizer(config, m),
        make_scheduler=lambda o, steps: build.instantiate(
            "scheduler", config["scheduler"], optimizer=o, total_steps=steps
        ),
        image_names=names,
        seed=config["seed"],
        channels_last=config["channels_last"],
        log_every=config["log_every"],
        checkpoint_meta={
            "format": CHECKPOINT_FORMAT,
            "config": config,
            "classes": source.classes.to_dict(),
            "mean": list(data.mean),
            "std": list(data.std),
            "protocol": protocol(config, data),
            "fingerprint": {split: data.fingerprint(split) for split in names},
        },
    )
    return task, data, build_trainer(config, run, data, loggers)


def _start_from(model: nn.Module, weights: str) -> None:
    """Loads weights into the network and says which fit."""
    from segbench.models.weights import load_weights

    try:
        print(load_weights(model, weights))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _build_optimizer(config: Config, model: nn.Module) -> Any:
    """One of `optim`, which gets the model, or one of torch's, which gets its parameters.

    Not fused where gradients are clipped: under mixed precision Lightning refuses the two.
    """
    node = config["optimizer"]
    takes_params = "params" in inspect.signature(build.locate(str(node["_target_"]))).parameters
    given: dict[str, Any] = {"params": model.parameters()} if takes_params else {"model": model}
    given |= {"fused": False} if config["trainer"].get("gradient_clip_val") else {}
    return build.instantiate("optimizer", node, **given)


def _build_predictor(config: Config, model: nn.Module, data: Any) -> Any:
    if config["inference"].get("drop_class"):
        raise ConfigError("inference.drop_class is for prediction; in training it must be null")
    given = {"model": model, "classes": data.classes, "mean": data.mean, "std": data.std}
    return build.instantiate("inference", config["inference"], **given)


def _test(
    config: Config,
    run: RunDirectory,
    task: SegmentationTask,
    data: Any,
    trainer: pl.Trainer,
    result: dict[str, Any],
) -> None:
    """Tests the selected weights as they stand in their checkpoint, if the config says so."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    speed = next(c for c in callbacks if isinstance(c, Speed))
    result["budget"] |= {
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "images_seen": int(speed.totals["images"]),
    }
    result["timings"] = speed.timings()
    if trainer.strategy.root_device.type == "cuda":
        result["timings"]["peak_memory_MiB"] = torch.cuda.max_memory_allocated() / 2**20
    file = run.best_checkpoint if config["selection"] == "best" else run.last_checkpoint
    if not file.is_file():
        raise ConfigError(
            f"selection={config['selection']}, but no checkpoint was written: no epoch with a "
            "validation was completed (trainer.max_epochs, trainer.check_val_every_n_epoch)"
        )
    checkpoint = read_checkpoint(file)
    task.load_state_dict(checkpoint["state_dict"])
    result["scores"]["val"] = checkpoint["segbench"]["scores"].get("val")
    result["selected_epoch"] = int(checkpoint["epoch"]) + 1 if trainer.max_epochs else 0
    if not config["test"]:
        return
    trainer.test(task, data, verbose=False)
    assert task.tested is not None
    index, matrices, boundary = task.tested
    records = data.records("test")
    result["scores"]["test"] = scores(matrices.sum(0), data.classes.names)
    if len(index) < len(records):  # trainer.limit_test_batches
        result["data_info"] |= {"tested": len(index), "comparable": False}
    if trainer.is_global_zero:
        run.write_confusion(
            [records[i].name for i in index],
            [records[i].group for i in index],
            matrices,
            boundary,
        )
        log_confusion(trainer.loggers, matrices.sum(0), data.classes.names)


def quiet_libraries() -> None:
    """Leaves out hints that say nothing about this run."""
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*number of training batches.*",
        ".*`isinstance.treespec.*",
        ".*LeafSpec.*",
        ".*lr_scheduler.step.*before.*",
    ):
        warnings.filterwarnings("ignore", text)
