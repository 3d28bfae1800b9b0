"""Weights & Biases: one run per job, offline unless logged in, resumable, always finished."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError
from segbench.inference.sheets import Panels
from segbench.system.console import say
from segbench.system.escaping import shell
from segbench.system.storage import write_text
from segbench.training.distributed import is_first_process

LONGEST_TAG, LONGEST_GROUP = 64, 128  # limits of W&B
# The better direction of the values of an epoch, for the summary of a run.
BEST = {f"val/{key}": "max" for key in ("mIoU", "mDice", "pixel_acc", "mean_acc")}
BEST |= {"val/loss": "min"}


def is_disabled(node: Mapping[str, Any]) -> bool:
    """Whether a logger is W&B's and the environment disables W&B."""
    off = os.environ.get("WANDB_MODE") == "disabled" or "WANDB_DISABLED" in os.environ
    return off and str(node["_target_"]).endswith("WandbLogger")


def save_dir(node: Mapping[str, Any], config: Config, run: RunDirectory) -> Path:
    """Where a logger writes: in the run directory; W&B and MLflow, in one folder per study.

    Their own tools then find the runs of a study together, and one command uploads them all.
    """
    own = Path(config["name"], f"seed{config['seed']}").parts
    is_in_study = run.path.parts[-len(own) :] == own
    study = run.path.parents[len(own) - 1] if is_in_study else run.path
    kind = str(node["_target_"]).rpartition(".")[2]
    if kind == "WandbLogger":
        return Path(os.environ.get("WANDB_DIR") or study)
    return study if kind == "MLflow" else run.path


def wandb_arguments(node: Mapping[str, Any], folder: Path, run: RunDirectory) -> Config:
    """The arguments of a W&B logger beyond its config: id, mode, tags and group within its limits.

    The id is drawn once and stored in the run directory, so that a resumed run continues there.

    Args:
        node: config of the logger.
        folder: from `save_dir`.
        run: the run.
    """
    if not str(node["_target_"]).endswith("WandbLogger"):
        return {}
    id_file = run.path / "wandb-id.txt"
    if not id_file.exists():
        write_text(id_file, secrets.token_hex(4))
    os.environ.setdefault("WANDB_SILENT", "true")
    reason = _offline()
    if reason and is_first_process():
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        place = shell([str(shown / "wandb")])
        say(
            f"W&B is offline ({reason}): `wandb leet {place}` shows the runs of the "
            f"study, `wandb sync {place}/offline-run-*` uploads them"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "id": id_file.read_text(encoding="utf-8").strip(),
        "mode": "offline" if reason else "online",
        "resume": "allow",
        "tags": [str(tag)[:LONGEST_TAG] for tag in node.get("tags") or ()],
        "group": str(group)[:LONGEST_GROUP] if (group := node.get("group")) else None,
    }


def started(logger: Logger) -> Logger:
    """Builds a logger, ready to start; for W&B, without an argument that W&B warns about."""
    if isinstance(logger, WandbLogger):
        logger._wandb_init.pop("anonymous", None)
    return logger


def define_best(loggers: Sequence[Logger]) -> None:
    """Makes W&B's summary show the best validation values instead of the last ones."""
    for logger in _of_wandb(loggers):
        for key, best in BEST.items():
            step = "trainer/global_step"
            logger.experiment.define_metric(key, step_metric=step, step_sync=True, summary=best)


def log_facts(loggers: Sequence[Logger], result: Result) -> None:
    """Facts about a run at its start, as plain values beside the config in W&B and MLflow."""
    if not is_first_process():
        return
    facts = {
        "params": result.params,
        "commit": result.commit,
        "dirty": result.dirty,
        "fingerprint": result.data_info.fingerprint if result.data_info else None,
    }
    for logger in _of_wandb(loggers):
        logger.experiment.config.update(facts, allow_val_change=True)
    for other in loggers:
        if isinstance(other, MLFlowLogger):
            other.log_hyperparams(facts)


def _offline() -> str:
    """Why W&B stores runs on disk only; empty if it uploads them."""
    if (mode := os.environ.get("WANDB_MODE")) in ("offline", "dryrun"):
        return f"WANDB_MODE={mode}"
    import wandb

    try:
        return "" if wandb.login(prompt=False) else "not logged in"
    except Exception as error:  # the server rejects the key or cannot be reached
        raise ConfigError(
            f"W&B: {str(error) or type(error).__name__}. Set WANDB_MODE=offline to log to disk "
            "only, or set logger=csv"
        ) from error


def finish_wandb(failed: bool) -> None:
    """Finishes the W&B run of this process, if there is one, with the exit code of the job."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=int(failed))


def log_samples(
    loggers: Sequence[Any], shown: Sequence[Panels], classes: ClassSet, step: int
) -> None:
    """Logs panels with mask and pred as overlays that can be toggled by class.

    Args:
        loggers: only the W&B loggers among them are used.
        shown: the images.
        classes: gives the names.
        step: optimizer steps so far.
    """
    loggers = _of_wandb(loggers)
    if not loggers:
        return
    import wandb

    labels = {**dict(enumerate(classes.names)), classes.ignore_index: "ignore"}
    panels = []
    for entry in shown:
        height, width = entry.mask.shape
        masks = {
            key: {"mask_data": data, "class_labels": labels}
            for key, data in (("mask", entry.mask), ("pred", entry.pred))
        }
        image = cv2.resize(entry.image, (width, height))
        panels.append(wandb.Image(image, masks=masks, caption=entry.name))
    for logger in loggers:
        logger.experiment.log({"val/samples": panels, "trainer/global_step": step})


def log_confusion(loggers: Sequence[Any], matrix: np.ndarray, names: Sequence[str]) -> None:
    """Logs a confusion matrix `[C, C + 1]`: W&B's plot, and a table with shares per true class."""
    loggers = _of_wandb(loggers)
    if not loggers:
        return
    import wandb

    table = wandb.Table(columns=["true", "pred", "pixels", "share"])
    plotted = wandb.Table(columns=["Actual", "Predicted", "nPredictions"])
    for true, row in zip(names, matrix, strict=True):
        for pred, count in zip([*names, "void"], row, strict=True):
            table.add_data(true, pred, int(count), float(count) / max(int(row.sum()), 1))
            plotted.add_data(true, pred, int(count))
    fields: dict[str, Any] = {str(name): name for name in plotted.columns}
    title = {"title": "test: pixels of each class"}
    plot = wandb.plot_table("wandb/confusion_matrix/v1", plotted, fields, title)
    for logger in loggers:
        logger.experiment.log({"test/confusion": table, "test/confusion_plot": plot})


def _of_wandb(loggers: Sequence[Logger]) -> list[WandbLogger]:
    return [logger for logger in loggers if isinstance(logger, WandbLogger)]
