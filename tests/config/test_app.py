"""How a verb ends: its exit code, and folders that it cannot create."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from segbench.config import make_folder
from segbench.config.app import run_verb
from segbench.config.compose import compose_checked, register
from segbench.config.outcome import Outcome
from segbench.errors import ConfigError
from tests.conftest import run_verb as run_process


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    assert make_folder("output", tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"output=\S*file/a: cannot be created \(Not a directory\)"
    ):
        make_folder("output", tmp_path / "file" / "a")


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("unchanged", 0), ("failed", 1)])
def test_an_outcome_is_an_exit_code(
    status: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(config: DictConfig) -> Outcome:
        return Outcome(status)

    monkeypatch.setattr(sys, "argv", ["check_data", "data=streets", f"output={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        run_verb("check_data", task)
    assert ended.value.code == code


def test_a_training_that_cannot_write_reports_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in ([f"run_dir={tmp_path}/file/run"], ["-m", f"hydra.sweep.dir={tmp_path}/file/s"]):
        done = run_process("train", *words, "logger=csv", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "cannot be created (Not a directory)" in done.stderr
        assert "Traceback" not in done.stderr


def test_warnings_reach_the_terminal_and_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(config: DictConfig) -> int:
        log = logging.FileHandler(tmp_path / "train.log", encoding="utf-8")
        logging.getLogger().addHandler(log)  # as a training does
        logging.getLogger("segbench.data.cache").warning("continuing without a cache")
        logging.getLogger().removeHandler(log)
        log.close()
        return 0

    monkeypatch.setattr(sys, "argv", ["check_data", "data=streets", f"output={tmp_path}"])
    with pytest.raises(SystemExit):
        run_verb("check_data", task)
    assert "continuing without a cache" in capsys.readouterr().err
    assert (tmp_path / "train.log").read_text() == "continuing without a cache\n"


@pytest.mark.parametrize("name", ["a:b", "CON", "nets.", "x/..", "what?"])
def test_a_name_that_some_system_cannot_have_is_refused(name: str) -> None:
    register()
    with pytest.raises(ConfigError, match="is not a valid folder name on every system"):
        compose_checked("train", ["logger=csv", f"name='{name}'"])


@pytest.mark.parametrize("flag", ["-m", "--run"])
def test_a_shown_config_is_that_of_one_job(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", flag, "--cfg", "job"])
    with pytest.raises(SystemExit) as ended:
        run_verb("train", lambda config: None)
    assert ended.value.code == 2
    assert "--cfg and --info show a single job: leave out -m" in capsys.readouterr().err
