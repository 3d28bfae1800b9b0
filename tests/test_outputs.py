"""Output of verbs on a full disk or with a second process: no partial file, one error message."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.artifacts.run_directory import RunDirectory
from segbench.compare import compare
from segbench.config.app import run_verb
from segbench.errors import ConfigError
from segbench.evaluate import evaluate
from segbench.explain import explain
from segbench.export import export
from segbench.inference.video import VideoWriter
from segbench.predict import predict
from segbench.system import storage
from segbench.system.storage import locked
from tests.comparison.fabricated import record, write_study
from tests.conftest import ROOT, python_path

FULL = OSError(errno.ENOSPC, "No space left on device")
Prepare = Callable[[], Any]


@pytest.fixture
def verbs(compose, ckpt: Path, tmp_path: Path, monkeypatch) -> dict[str, tuple[Prepare, Path]]:
    """For each verb a call of it, and its output folder."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)).save(photo)
    given = f"ckpt={ckpt}", f"output={out}"

    def comparing() -> Any:
        write_study(tmp_path / "runs", {"custom": 0.6, "unet": 0.1}, seeds=2, name="s")
        return compare(compose("compare", "study=s", "replicates=100", "wandb=false"))

    return {
        "predict": (lambda: predict(compose("predict", *given, f"source={photo}")), out),
        "evaluate": (
            lambda: evaluate(
                compose("evaluate", f"ckpt={ckpt}", f"run_dir={out}", "num_workers=0", "gallery=1")
            ),
            out,
        ),
        "explain": (
            lambda: explain(compose("explain", *given, f"source={photo}", "device=cpu")),
            out,
        ),
        "export": (
            lambda: export(
                compose("export", given[0], f"output={out}/x.ckpt", "format=ckpt", "images=1")
            ),
            out,
        ),
        "compare": (comparing, tmp_path / "runs" / "s" / "report"),
    }


@pytest.mark.parametrize("verb", ["predict", "evaluate", "explain", "export", "compare"])
def test_a_full_disk_leaves_no_file(
    verb: str, verbs: dict[str, tuple[Prepare, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FULL

    call, folder = verbs[verb]
    monkeypatch.setattr(storage.os, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        call()
    assert not [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize("verb", ["evaluate", "explain", "export", "compare"])
def test_a_second_simultaneous_call_is_refused(
    verb: str, verbs: dict[str, tuple[Prepare, Path]]
) -> None:
    call, folder = verbs[verb]
    lock = folder / (".lock-x.ckpt" if verb == "export" else ".lock")
    with locked(lock), pytest.raises(ConfigError, match="another process is writing there"):
        call()
    assert not [file for file in folder.rglob("*") if file.is_file() and file != lock]


def test_two_simultaneous_evaluations_leave_one_complete(ckpt: Path, tmp_path: Path) -> None:
    words = [f"ckpt={ckpt}", f"run_dir={tmp_path}/out", "num_workers=0", "gallery=0", "device=cpu"]
    command = [sys.executable, "-m", "segbench.evaluate", *words]
    environment = {**os.environ, "PYTHONPATH": python_path(ROOT)}
    pair = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=600)[1] for process in pair]
    codes = [process.returncode for process in pair]
    assert sorted(codes) in ([0, 0], [0, 2]), errors
    assert not any("Traceback" in error for error in errors)
    run = RunDirectory(tmp_path / "out")
    assert run.read_result().status == "finished"
    assert len(run.read_confusion()[0]) == 5
    assert not list(run.path.glob(".*"))


def test_an_earlier_evaluation_stays_complete(
    verbs: dict[str, tuple[Prepare, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    call, folder = verbs["evaluate"]
    call()
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    def full(run: RunDirectory, result: dict[str, Any]) -> None:
        raise FULL

    monkeypatch.setattr(RunDirectory, "write_result", full)  # the last of its files
    with pytest.raises(OSError, match="No space left"):
        call()
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_video_that_is_cut_short_is_not_kept(tmp_path: Path) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)

    def write(cut: bool) -> None:
        with VideoWriter(tmp_path / "x.mp4", 25.0) as video:
            for _ in range(5):
                video.write(frame)
            video._frames += cut  # a frame that the file lacks

    write(cut=False)
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]
    (tmp_path / "x.mp4").unlink()
    with pytest.raises(OSError, match=r"x\.mp4"):
        write(cut=True)
    assert not list(tmp_path.iterdir())


def test_a_verb_reports_a_full_disk_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(config: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x/last.ckpt")

    monkeypatch.setattr(sys, "argv", ["check_data", "data=streets", f"output={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        run_verb("check_data", task)
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "segbench.check_data: error: runs/x/last.ckpt: No space left on device; free some and "
        "repeat the command\n"
    )


def test_a_run_on_a_full_disk_can_still_record_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "run")
    real = os.replace

    def full_but_for_the_reserve(source: Path, target: Path) -> None:
        if (run.path / ".reserve").exists():
            raise FULL
        real(source, target)

    with run.locked():
        run.write_result(record(status="running"))
        monkeypatch.setattr(storage.os, "replace", full_but_for_the_reserve)
        run.write_result(record(status="failed"))
    assert run.read_result().status == "failed"
    assert [file.name for file in run.path.iterdir() if file.name != ".lock"] == ["result.json"]


def test_a_run_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / ".partial-1-last.ckpt").write_bytes(b"half")
    with run.locked():
        assert not list(run.checkpoints.iterdir())
