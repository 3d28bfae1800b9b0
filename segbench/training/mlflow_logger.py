"""MLflow: one local database per study, and names of classes that MLflow accepts."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import MLFlowLogger

from segbench.system.escaping import mlflow_key
from segbench.system.storage import waiting_for

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no network access
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # not how it creates its tables
logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)

DATABASE = "mlflow.db"


class MLflow(MLFlowLogger):
    """Lightning's logger for MLflow, with a database of the study unless there is a server.

    Lightning's own class would write to a folder of files. New versions of MLflow refuse that, and
    a folder cannot contain `train/loss` beside `train/loss/ce`.

    Args:
        save_dir: folder of the database.
        experiment_name: groups runs; it is created if it does not exist.
        run_name: shown for the run.
        tracking_uri: address of a server to use instead of the database.
        tags: tags of the run.
        artifact_location: where files of the experiment go; null: below `save_dir`, or as the
            server decides.
        log_model: whether checkpoints are stored, too; `all`: those of every epoch.
    """

    def __init__(
        self,
        save_dir: str,
        experiment_name: str = "segbench",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        artifact_location: str | None = None,
        log_model: bool | Literal["all"] = False,
    ) -> None:
        folder = Path(save_dir).absolute()
        self._lock = folder / ".mlflow.lock"
        if not tracking_uri:
            tracking_uri = f"sqlite:///{(folder / DATABASE).as_posix()}"
            artifact_location = artifact_location or (folder / "mlartifacts").as_uri()
        with self._alone():  # of several processes, one creates the tables
            super().__init__(
                experiment_name, run_name, tracking_uri, tags, save_dir, log_model,
                artifact_location=artifact_location,
            )  # fmt: skip

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Logs a config, which may be nested."""
        with self._alone():  # of several jobs, one creates the experiment
            super().log_hyperparams(_accepted(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs scalars by name."""
        super().log_metrics({mlflow_key(key): value for key, value in metrics.items()}, step)

    def _alone(self) -> Any:
        return waiting_for(self._lock, "another process that starts its MLflow run")


def _accepted(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {mlflow_key(str(key)): _accepted(item) for key, item in value.items()}
