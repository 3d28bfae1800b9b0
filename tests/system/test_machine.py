"""Features that a machine lacks are not required."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from segbench.__main__ import main as segbench_main
from segbench.config.app import run_verb
from segbench.errors import ConfigError
from segbench.system import machine


def _no_home(*_: object) -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home_there_is_no_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)
    assert machine.cache_folder() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert machine.cache_folder() == Path("/somewhere/segbench")


def test_a_path_below_a_missing_home_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "expanduser", _no_home)
    with pytest.raises(ConfigError, match=r"data\.root=~/x: .*set HOME"):
        machine.expanded("~/x", "data.root")


def test_cores_and_memory_are_known_without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    assert machine.cores() == os.cpu_count()
    assert machine.free_memory() is None


def test_every_signal_has_a_name() -> None:
    assert machine.signal_name(9) == "SIGKILL"
    assert machine.signal_name(1000) == "signal 1000"


def test_a_working_folder_that_was_removed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert machine.working_folder() == str(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["segbench", "train"])
    for start in (segbench_main, lambda: run_verb("train", lambda config: None)):
        with pytest.raises(SystemExit) as ended:
            start()
        assert ended.value.code == 2
        assert "the working folder was removed" in capsys.readouterr().err
        sys.argv[1:] = []
