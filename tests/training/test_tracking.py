"""W&B and MLflow: what they do not accept is adapted or reported, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import MLFlowLogger

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError
from segbench.training.mlflow_logger import MLflow
from segbench.training.tracking import LONGEST_TAG, save_dir, wandb_arguments

wandb = pytest.importorskip("wandb")
NODE = {"_target_": "pytorch_lightning.loggers.WandbLogger"}


def test_the_id_is_kept_and_tags_are_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    node = {**NODE, "tags": ["mine", "x" * 100]}
    first = wandb_arguments(node, tmp_path, RunDirectory(tmp_path))
    assert first["mode"] == "offline"
    assert "W&B is offline (WANDB_MODE=offline)" in capsys.readouterr().out
    assert first["tags"] == ["mine", "x" * LONGEST_TAG]
    assert wandb_arguments(node, tmp_path, RunDirectory(tmp_path))["id"] == first["id"]


def records(folder: Path) -> Iterator[Any]:
    """The records of an offline W&B run: a LevelDB log after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, block, head = file.read_bytes(), 7, 32768, 7
    content = b""
    while place + head <= len(data):
        if (left := block - place % block) < head:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        content += data[place + head : place + head + length]
        place += head + length
        if kind in (1, 4):  # a complete record, or the last part of one
            record = Record()
            record.ParseFromString(content)
            yield record
            content = b""


def test_what_a_short_run_leaves_in_wandb(
    train_tiny: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_SILENT")
    train_tiny(
        "logger=wandb", "log_every=100", "study=mine", "run_dir=runs/mine/unet-streets/seed0"
    )
    shown = capfd.readouterr()
    assert "wandb leet runs/mine/wandb` shows" in shown.out
    assert "anonymous" not in shown.err
    found = list(records(tmp_path / "runs" / "mine"))
    keys: set[str] = set()
    for record in found:
        keys |= {item.key or "/".join(item.nested_key) for item in record.history.item}
    scores = {"val/mIoU", "val/mDice", "val/IoU/Road", "val/Dice/Road"}
    assert {"train/loss", "train/loss/ce", "lr", *scores} <= keys
    assert "test/confusion_plot_table/path" in keys
    assert {record.run.run_group for record in found} - {""} == {"mine/unet-streets"}
    best = {r.metric.name: r.metric.summary.max for r in found if r.HasField("metric")}
    assert best["val/mIoU"]
    updates = [u for r in found for u in (*r.run.config.update, *r.config.update)]
    config = {update.key or "/".join(update.nested_key): update.value_json for update in updates}
    assert config["model_name"] == '"unet"'
    assert config["loss_name"] == '"ce_dice"'
    assert {"params", "commit", "fingerprint"} <= set(config)


def test_loggers_of_a_study_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    config = {"name": "a/unet", "seed": 3}
    run = RunDirectory(tmp_path / "runs" / "mine" / "a" / "unet" / "seed3")
    assert save_dir(NODE, config, run) == tmp_path / "runs" / "mine"
    mlflow = {"_target_": "segbench.training.mlflow_logger.MLflow"}
    assert save_dir(mlflow, config, run) == tmp_path / "runs" / "mine"
    csv = {"_target_": "pytorch_lightning.loggers.CSVLogger"}
    assert save_dir(csv, config, run) == run.path
    elsewhere = RunDirectory(tmp_path / "elsewhere")
    assert save_dir(NODE, config, elsewhere) == elsewhere.path
    monkeypatch.setenv("WANDB_DIR", "mine")
    assert save_dir(NODE, config, run) == Path("mine")


def test_a_server_that_does_not_respond_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(**_: Any) -> bool:
        raise wandb.errors.AuthenticationError("no route to host")

    monkeypatch.setattr(wandb, "login", login)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ConfigError, match=r"no route to host.*WANDB_MODE=offline.*logger=csv"):
        wandb_arguments(NODE, tmp_path, RunDirectory(tmp_path))


def test_what_a_logger_refuses_is_reported(
    train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(ConfigError, match=r"logger\.wandb could not be started: .*'a/b'"):
        train_tiny("logger=wandb", "logger.wandb.project=a/b")


@pytest.fixture
def mlflow_calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reaches Lightning's logger, which needs a package that the tests do not."""
    calls: dict[str, Any] = {}

    def start(self: Any, *values: Any, **more: Any) -> None:
        calls.update(uri=values[2], files=more["artifact_location"])

    monkeypatch.setattr(MLFlowLogger, "__init__", start)
    for name in ("log_hyperparams", "log_metrics"):
        kept = lambda self, values, *_, name=name: calls.update({name: values})  # noqa: E731
        monkeypatch.setattr(MLFlowLogger, name, kept)
    return calls


def test_mlflow_gets_a_database_of_the_study_and_names_it_accepts(
    tmp_path: Path, mlflow_calls: dict[str, Any]
) -> None:
    logger = MLflow(str(tmp_path / "my study"))
    assert mlflow_calls["uri"] == f"sqlite:///{tmp_path.as_posix()}/my study/mlflow.db"
    assert mlflow_calls["files"].startswith("file://")
    logger.log_metrics({"train/loss": 1.0, "val/IoU/背景": 0.5}, 3)
    assert mlflow_calls["log_metrics"] == {"train/loss": 1.0, "val/IoU/u80ccu666f": 0.5}
    logger.log_hyperparams({"data": {"label_map": {"(x)": [1]}}, "seed": 0})
    assert mlflow_calls["log_hyperparams"]["data"]["label_map"] == {"u0028xu0029": [1]}


def test_a_server_of_mlflow_decides_where_files_go(
    tmp_path: Path, mlflow_calls: dict[str, Any]
) -> None:
    MLflow(str(tmp_path), tracking_uri="http://localhost:5000")
    assert mlflow_calls == {"uri": "http://localhost:5000", "files": None}


def test_what_a_run_leaves_in_mlflow(
    train_tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train_tiny("logger=mlflow", "study=mine", f"run_dir={tmp_path}/mine/unet-streets/seed0")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mine/mlflow.db")
    (experiment,) = (found for found in client.search_experiments() if found.name == "mine")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert {"seed", "model/_target_", "params", "commit"} <= set(found.data.params)
    assert {"train/loss", "train/loss/ce", "val/IoU/Road", "test/mIoU"} <= set(found.data.metrics)
