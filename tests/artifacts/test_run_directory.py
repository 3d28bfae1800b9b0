"""A run directory never contains partial files, and is locked by one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError, ResultError
from tests.comparison.fabricated import record


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "study" / "unet-streets" / "seed0")


def test_results_come_back_as_written(run: RunDirectory) -> None:
    assert run.read_result() is None
    assert run.read_config() is None
    result = record(scores={"val": None, "test": replace(record().scores["test"], mIoU=None)})
    run.write_result(result)
    run.write_config({"seed": 3, "lr": 1e-3, "size": [1, 2], "ema": None})
    assert run.read_result() == result
    assert run.read_config() == {"seed": 3, "lr": 1e-3, "size": [1, 2], "ema": None}
    matrices = np.arange(12).reshape(2, 2, 3)
    run.write_confusion(["one", "two"], ["a", "a"], matrices)
    names, groups, back = run.read_confusion()
    assert (names, groups) == (["one", "two"], ["a", "a"])
    assert np.array_equal(back, matrices)
    assert not list(run.path.glob(".partial*"))


def test_nan_never_enters_a_result(run: RunDirectory) -> None:
    run.write_result(record())
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_result(record(config={"lr": float("nan")}))
    assert run.read_result() == record()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"status": "fin', b"\xff\xfe", b"[]", b"{}", b'"x"', b"3", b"[" * 100_000,
     b"1" * 5000, b'{"schema_version": 1}'],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
def test_a_damaged_result_is_one_sentence(run: RunDirectory, content: bytes) -> None:
    run.path.mkdir(parents=True)
    run.result_file.write_bytes(content)
    with pytest.raises(ResultError, match=r"result\.json") as caught:
        run.read_result()
    assert len(str(caught.value).removeprefix(str(run.path))) < 200
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_result(run: RunDirectory) -> None:
    run.result_file.mkdir(parents=True)
    with pytest.raises(ResultError, match="Is a directory"):
        run.read_result()


@pytest.mark.parametrize("content", [b"", b"a: [1,\n", b"\xff\xfe\x00", b"3", b"[a]", b"1: 2"])
def test_a_damaged_config_says_what_to_do(run: RunDirectory, content: bytes) -> None:
    run.path.mkdir(parents=True)
    run.config_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"(?s)config\.yaml.*Remove that file.*overwrite=true"):
        run.read_config()


def test_a_run_belongs_to_one_process_at_a_time(run: RunDirectory) -> None:
    with run.locked() as first, RunDirectory(run.path).locked() as second:
        assert first
        assert not second
    with run.locked() as third:
        assert third


def test_a_killed_process_releases_its_run(run: RunDirectory) -> None:
    code = (
        "import sys, time\n"
        "from segbench.artifacts.run_directory import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).locked() as alone:\n"
        "    print(alone, flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "True\n"
    with run.locked() as alone:
        assert not alone
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with run.locked() as alone:
        assert alone


def test_clear_leaves_nothing_but_the_lock(run: RunDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keep").write_text("")
    with run.locked():
        run.write_result(record(status="failed"))
        (run.path / "wandb" / "run" / "files").mkdir(parents=True)
        (run.path / "wandb" / "run" / "files" / ".hidden").write_text("")
        (run.path / "wandb" / "latest").symlink_to("run")
        (run.path / "link").symlink_to(elsewhere)
        run.clear()
        assert {file.name for file in run.path.iterdir()} == {".lock", ".reserve"}
    assert [file.name for file in run.path.iterdir()] == [".lock"]
    assert (elsewhere / "keep").exists(), "what a link points to is not ours"


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "years of work"},
        {"config.yaml": "name: of another program", "thesis.txt": ""},
        {"config.yaml": "{", "result.json": "[]"},
        {"sub/seed0/result.json": "{}", "config.yaml": "run_dir: here"},
    ],
    ids=["no run", "config of another program", "damaged files", "a folder of runs"],
)
def test_clear_removes_nothing_from_a_folder_that_is_not_one_run(
    tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    run = RunDirectory(tmp_path)
    with run.locked(), pytest.raises(ConfigError, match="nothing was removed"):
        run.clear()
    assert {name: (tmp_path / name).read_text() for name in files} == files


def test_clear_removes_a_run_whose_result_was_lost(run: RunDirectory) -> None:
    run.path.mkdir(parents=True)
    run.clear()  # empty
    run.log_file.write_text("")
    run.clear()  # a start that failed before anything was written
    run.write_config({"run_dir": str(run.path)})
    run.result_file.write_text("{")
    run.clear()
    assert not list(run.path.iterdir())
