"""Refuses options that need the scores of val, if there will be none."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from segbench.config import Config
from segbench.errors import ConfigError, DataError


def needed_by(config: Config) -> list[str]:
    """The options of a training that need val/mIoU."""
    found = ["selection=best"] if config["selection"] == "best" else []
    if config["trainer"]["max_epochs"] != 0:  # otherwise nothing is trained
        found += ["early_stopping"] if config["early_stopping"] is not None else []
        is_plateau = config["scheduler"]["_target_"].endswith(".plateau")
        found += ["scheduler=plateau"] if is_plateau else []
    return found


def check_validated(config: Config) -> None:
    """Raises ConfigError if an option needs the scores of val but nothing is validated."""
    trainer = config["trainer"]
    epochs, every = trainer["max_epochs"], trainer["check_val_every_n_epoch"]
    is_too_short = epochs is not None and 0 <= epochs < (every or 1)
    wanted = needed_by(config)
    if not wanted or (not is_too_short and trainer["limit_val_batches"] != 0):
        return
    keys = ("max_epochs", "check_val_every_n_epoch", "limit_val_batches")
    given = ", ".join(f"trainer.{key}={trainer[key]}" for key in keys)
    advice = " or set selection=last" if wanted == ["selection=best"] else ""
    raise ConfigError(
        f"{', '.join(wanted)}: no epoch with validation would be completed ({given}); validate "
        f"during training{advice}"
    )


def has_val_score(pl_module: pl.LightningModule) -> bool:
    """Whether the last validation of a `SegmentationTask` had labels; the same on all ranks."""
    found: Any = pl_module.latest_scores
    return found.get("val", {}).get("mIoU") is not None


class RequireValLabels(pl.Callback):
    """Ends a training at its first validation if that has no labels but an option needs them.

    Args:
        wanted: the options, as from `needed_by`.
    """

    def __init__(self, wanted: list[str]) -> None:
        self.wanted = wanted

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks whether there is a score, with the same outcome on all ranks.

        Raises:
            DataError: there is none.
        """
        if self.wanted and not trainer.sanity_checking and not has_val_score(pl_module):
            limit = trainer.limit_val_batches
            is_all = isinstance(limit, float) and limit == 1
            seen = "" if is_all else f" among those that trainer.limit_val_batches={limit} covers"
            raise DataError(
                f"val: no image has a labeled pixel{seen}, so there is no val/mIoU, which "
                f"{', '.join(self.wanted)} needs. Add masks to val, or set selection=last"
                + ("" if self.wanted == ["selection=best"] else " and disable the others")
            )
