"""Weights & Biases: one run per job, offline unless logged in, resumable, always finished."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from pytorch_lightning.loggers import Logger, WandbLogger

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError
from segbench.system.storage import write_text

LONGEST_TAG = 64  # limit of W&B


def is_disabled(node: Mapping[str, Any]) -> bool:
    """Whether a logger is W&B's and the environment disables W&B."""
    off = os.environ.get("WANDB_MODE") == "disabled" or "WANDB_DISABLED" in os.environ
    return off and str(node["_target_"]).endswith("WandbLogger")


def wandb_arguments(node: Mapping[str, Any], run: RunDirectory) -> Config:
    """The arguments of a W&B logger beyond its config: id, offline mode, tags within W&B's limit.

    The id is drawn once and stored in the run directory, so that a resumed run continues there.
    """
    if not str(node["_target_"]).endswith("WandbLogger"):
        return {}
    id_file = run.path / "wandb-id.txt"
    if not id_file.exists():
        write_text(id_file, secrets.token_hex(4))
    os.environ.setdefault("WANDB_SILENT", "true")
    offline = not _logged_in()
    if offline:
        print(
            "W&B is offline (not logged in): `wandb leet DIR` shows the run, `wandb sync DIR` "
            f"uploads it; DIR is {run.path}/wandb/latest-run"
        )
    return {
        "id": id_file.read_text(encoding="utf-8").strip(),
        "mode": "offline" if offline else "online",
        "resume": "allow",
        "tags": [str(tag)[:LONGEST_TAG] for tag in node.get("tags") or ()],
    }


def _logged_in() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return False
    import wandb

    try:
        return wandb.login(prompt=False)
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
    loggers: Sequence[Any], shown: Sequence[dict[str, Any]], classes: ClassSet, step: int
) -> None:
    """Logs panels with mask and pred as overlays that can be toggled by class.

    Args:
        loggers: only the W&B loggers among them are used.
        shown: dicts of `name`, `image` uint8 `[h, w, 3]`, `mask` and `pred` uint8 `[H, W]`.
        classes: gives the names.
        step: optimizer steps so far.
    """
    loggers = _of_wandb(loggers)
    if not loggers:
        return
    import wandb

    labels = {**dict(enumerate(classes.names)), classes.ignore_index: "void"}
    panels = []
    for entry in shown:
        height, width = entry["mask"].shape
        masks = {key: {"mask_data": entry[key], "class_labels": labels} for key in ("mask", "pred")}
        image = cv2.resize(entry["image"], (width, height))
        panels.append(wandb.Image(image, masks=masks, caption=entry["name"]))
    for logger in loggers:
        logger.experiment.log({"val/samples": panels, "trainer/global_step": step})


def log_confusion(loggers: Sequence[Any], matrix: np.ndarray, names: Sequence[str]) -> None:
    """Logs a confusion matrix `[C, C + 1]` as a table, with the share of each true class."""
    loggers = _of_wandb(loggers)
    if not loggers:
        return
    import wandb

    table = wandb.Table(columns=["true", "pred", "pixels", "share"])
    for true, row in zip(names, matrix, strict=True):
        for pred, count in zip([*names, "void"], row, strict=True):
            table.add_data(true, pred, int(count), float(count) / max(int(row.sum()), 1))
    for logger in loggers:
        logger.experiment.log({"test/confusion": table})


def _of_wandb(loggers: Sequence[Logger]) -> list[WandbLogger]:
    return [logger for logger in loggers if isinstance(logger, WandbLogger)]
