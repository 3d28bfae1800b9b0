"""`segbench init`: a folder that trains at once, and never overwrites anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from segbench.errors import ConfigError
from segbench.init import init
from tests.conftest import run_module


def test_a_project_trains_at_once_whatever_its_folder_is_called(tmp_path: Path) -> None:
    done = run_module("segbench", "init", "my demo (1) #ü=%20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cd 'my demo (1) #ü=%20'" in done.stdout
    folder = tmp_path / "my demo (1) #ü=%20"
    words = ("data=mine", "model=mine", "loss=mine", "trainer.max_epochs=1", "logger=csv")
    here = ("trainer=cpu", "data.num_workers=0", "data.cache=none", "trainer.limit_train_batches=1")
    done = run_module("segbench", "train", *words, *here, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "test mIoU" in done.stdout
    assert "allow_targets" in done.stdout
    assert (folder / "runs/default/mine-mine/seed0/result.json").is_file()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    init(tmp_path)  # beside other files it may be
    assert "segbench train data=mine model=mine" in capsys.readouterr().out
    model = tmp_path / "conf" / "model" / "mine.yaml"
    model.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"already contains .*; nothing was overwritten"):
        init(tmp_path)
    assert model.read_text(encoding="utf-8") == "mine"
    file = tmp_path / "notes.txt"
    with pytest.raises(ConfigError, match="cannot be created"):
        init(file)


def test_one_folder_is_wanted(tmp_path: Path) -> None:
    for words in ((), ("a", "b"), ("--forse",), ("",)):
        done = run_module("segbench", "init", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == "segbench.init: error: expected one folder: segbench init FOLDER\n"
    assert not list(tmp_path.iterdir())
