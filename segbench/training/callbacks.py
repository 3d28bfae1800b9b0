"""Callbacks for the files of a run (curves, images), and for cuDNN's kernel search."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from segbench.data.bands import RGB8, Bands
from segbench.data.classes import ClassSet
from segbench.data.files import read_rgb
from segbench.errors import DataError
from segbench.inference.sheets import Panels, film_strip, panel_height, sample_sheet, strip_epochs
from segbench.system.console import say
from segbench.system.storage import replacing, write_png
from segbench.training.tracking import log_samples


class CudnnSearch(pl.Callback):
    """Lets cuDNN benchmark its kernels and keep the fastest during training.

    Training images have one size, so it searches once. Evaluated images may have many sizes, and
    it would search again for each.
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Enables the search."""
        torch.backends.cudnn.benchmark = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Disables it."""
        torch.backends.cudnn.benchmark = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Enables it again if training continues."""
        torch.backends.cudnn.benchmark = trainer.state.fn == "fit"

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Disables it."""
        torch.backends.cudnn.benchmark = False

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Disables it."""
        torch.backends.cudnn.benchmark = False


class Curves(pl.Callback):
    """Writes one row per epoch to `metrics.csv`; a resumed run appends to the file.

    Args:
        file: the CSV file.
    """

    def __init__(self, file: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self.file = file

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Rewrites the file, which is small, with the row of this epoch."""
        row: dict[str, float] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        for key, value in trainer.callback_metrics.items():
            if key == "train/loss_step":
                continue
            # Between validations, Lightning keeps the values of the last one.
            if pl_module.is_validated or not key.startswith("val/"):
                row[key] = float(value)
        self.rows.append(row)
        if trainer.is_global_zero:
            columns = list(dict.fromkeys(key for entry in self.rows for key in entry))
            with (
                replacing(self.file) as draft,
                draft.open("w", newline="", encoding="utf-8") as file,
            ):
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(self.rows)

    def state_dict(self) -> dict[str, list[dict[str, float]]]:
        """The rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: Mapping[str, list[dict[str, float]]]) -> None:
        """Restores the rows of the run that is resumed."""
        self.rows = list(state_dict["rows"])


class Samples(pl.Callback):
    """Writes image, mask, pred and error of a few validation images, always the same ones.

    Args:
        folder: folder for `epoch0007.png` and, at the end, `film_strip.png` of the first image.
        classes: the class set.
        indices: positions in the validation set.
        every: number of epochs between two sheets; also written after the last epoch.
        bands: how images are displayed.
    """

    def __init__(
        self,
        folder: Path,
        classes: ClassSet,
        indices: Sequence[int],
        every: int,
        bands: Bands = RGB8,
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.bands = bands
        self.indices = set(indices)
        self.every = every
        self._shown: list[Panels] = []
        self._height: int | None = None  # panel height of the first image

    def _is_due(self, trainer: pl.Trainer) -> bool:
        epoch = trainer.current_epoch + 1
        return bool(self.indices) and (epoch % self.every == 0 or epoch == trainer.max_epochs)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects the chosen images of this batch."""
        if trainer.sanity_checking or not self._is_due(trainer):
            return
        for position, index in enumerate(batch["index"].tolist()):
            if index in self.indices:
                image = batch["image"][position]
                self._shown.append(
                    Panels(
                        batch["name"][position],
                        self.bands.displayed(_to_numpy(image.permute(1, 2, 0))),
                        _to_numpy(batch["mask"][position]),
                        _to_numpy(outputs["pred"][position]),
                    )
                )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the sheet, and logs the panels to W&B."""
        if not self._shown:
            return
        if trainer.is_global_zero:
            score = trainer.callback_metrics.get("val/mIoU")
            title = f"epoch {trainer.current_epoch + 1}"
            title += "" if score is None else f", val/mIoU {score:.3f}"
            sheet = sample_sheet(self._shown, self.classes, title)
            file = self.folder / f"epoch{trainer.current_epoch + 1:04d}.png"
            write_png(file, sheet)
            log_samples(trainer.loggers, self._shown, self.classes, trainer.global_step)
        self._height = panel_height(self._shown[0].mask)
        self._shown = []

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the film strip from the sheets in the folder, including those before a resume."""
        if self._height is None or not trainer.is_global_zero:
            return
        files = {int(file.stem.removeprefix("epoch")): file for file in self.folder.glob("epoch*")}
        try:
            sheets = {epoch: read_rgb(files[epoch]) for epoch in strip_epochs(sorted(files))}
        except DataError as error:  # from an earlier start; does not change how the run ends
            say(f"note: no film_strip.png is drawn: {error}")
            return
        if sheets:
            write_png(self.folder / "film_strip.png", film_strip(sheets, self._height))

    def state_dict(self) -> dict[str, Any]:
        """State that the film strip needs if a run is resumed after its last epoch."""
        return {"height": self._height}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state."""
        self._height = state_dict["height"]


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())
