"""A run that is finished or in progress is left unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError
from tests.conftest import curves

Train = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


@pytest.mark.parametrize("damage", ["score", "counts"])
def test_a_finished_run_whose_counts_do_not_give_its_score_is_tested_again(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    true = train_tiny("trainer.max_epochs=1").score
    before = run.read_result()
    if damage == "score":
        text = run.result_file.read_text()
        run.result_file.write_text(text.replace(str(true), "0.987654"))
    else:
        run.confusion_file.unlink()
    capsys.readouterr()
    outcome = train_tiny("trainer.max_epochs=1")
    assert (outcome.status, outcome.score) == ("finished", true)
    out = capsys.readouterr().out
    assert "confusion.npz" in out
    assert "it is tested again" in out
    assert "98.8" not in out
    assert run.read_result().budget == before.budget, "it was trained on"
    assert train_tiny("trainer.max_epochs=1").status == "unchanged"


def test_a_finished_run_is_unchanged(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train_tiny()
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}
    second = train_tiny("samples=3")  # changes only the output
    assert (second.status, second.score) == ("unchanged", first.score)
    assert "is already finished: test mIoU" in capsys.readouterr().out
    del before[run.path / ".lock"]
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())

    with pytest.raises(ConfigError) as caught:
        train_tiny("optimizer.lr=0.5", "data.hflip=0.0")
    assert "  data.hflip: was 0.5, now 0.0\n  optimizer.lr: was 0.001, now 0.5" in str(caught.value)
    assert "overwrite=true" in str(caught.value)

    retrained = train_tiny("optimizer.lr=0.5", "overwrite=true", "trainer.max_epochs=1")
    assert retrained.status == "finished"
    assert run.read_result().config["optimizer"]["lr"] == 0.5
    assert len(curves(run)) == 1


def test_all_processes_of_torchrun_leave_a_finished_run_unchanged(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_tiny("trainer.max_epochs=1")
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert train_tiny("trainer.max_epochs=1").status == "unchanged"
        with pytest.raises(ConfigError, match="torchrun and srun start all processes at once"):
            train_tiny("overwrite=true")
    assert run.read_result().status == "finished"


def test_a_run_in_progress_is_unchanged(train_tiny: Train, run: RunDirectory) -> None:
    with run.locked() as alone:
        assert alone
        with pytest.raises(ConfigError, match="another process is training this run"):
            train_tiny()
