"""How a training ends: correct status and cause, and what the next call does."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import (
    ConfigError,
    DataError,
    EndedBySignalError,
    InterruptedByUserError,
    OutputError,
)
from segbench.training import session
from segbench.training.ending import Journal, recorded
from segbench.training.progress import EpochLines
from segbench.training.speed import Speed
from tests.comparison.fabricated import record

Train = Callable[..., Any]
ONE = ("trainer.max_epochs=1", "data.cache=none")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


def fail_at(step: int, error: BaseException) -> Any:
    """A replacement for `Speed.on_train_batch_end` that raises at a step."""
    whole = Speed.on_train_batch_end
    calls = 0

    def end(self: Speed, *arguments: Any, **keywords: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == step:
            raise error
        whole(self, *arguments, **keywords)

    return end


def test_ctrl_c_reports_where_and_the_same_command_continues(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", fail_at(3, KeyboardInterrupt()))
        with pytest.raises(InterruptedByUserError) as caught:
            train_tiny()
    assert "interrupted in epoch 2 of 2; run the same command again to continue" in str(
        caught.value
    )
    assert caught.value.exit_code == 130
    result = run.read_result()
    assert result.status == "interrupted"
    assert "in epoch 2 of 2" in result.reason
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert train_tiny().status == "finished"


def test_sigterm_before_the_first_step_has_its_status(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    end = lambda *_: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(session, "build_run", end)
    with pytest.raises(EndedBySignalError, match="was stopped by SIGTERM; run the same command"):
        train_tiny()
    assert run.read_result().status == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_report_that_cannot_be_shown_does_not_decide_the_status(
    train_tiny: Train,
    run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("closing tag '[/a]' does not match any open tag")

    monkeypatch.setattr(session, "print_report", fail)
    assert train_tiny(*ONE).status == "finished"
    assert run.read_result().status == "finished"
    assert "is finished; its report cannot be shown" in capsys.readouterr().out


def test_the_log_contains_the_terminal_output_and_tracebacks(
    train_tiny: Train,
    run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def warn(self: Any, trainer: Any, task: Any) -> None:
        logging.getLogger("some.library").warning("this is odd")
        print("50%\r100%")

    monkeypatch.setattr(EpochLines, "on_train_epoch_start", warn)
    monkeypatch.setattr(Speed, "on_train_batch_end", fail_at(1, MemoryError("no room")))
    words = (*ONE, "trainer.enable_progress_bar=true")
    with pytest.raises(MemoryError, match="no room"):
        train_tiny(*words)
    text = run.log_file.read_text()
    assert "unet-streets seed 0: " in text
    assert "this is odd" in text
    assert "\n100%\n" in text, "of a bar, the last state"
    assert "Traceback (most recent call last)" in text
    assert "fail_at" in text or "in end" in text
    assert text.rstrip().endswith("MemoryError: no room")
    assert run.read_result().reason == "MemoryError: no room"
    assert "this is odd" in capfd.readouterr().err

    monkeypatch.undo()
    train_tiny(*words)
    again = run.log_file.read_text()
    assert again.startswith(text), "a resume appends"
    assert "test mIoU" in again


def test_a_full_disk_is_one_sentence_even_where_the_status_cannot_be_written(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", fail_at(3, full))
        with pytest.raises(OutputError, match=r"No space left on device; free some and repeat"):
            train_tiny()
    assert run.read_result().status == "failed"
    written = RunDirectory.write_result
    states = []

    def write(self: RunDirectory, result: Any) -> None:
        states.append(result.status)
        if result.status != "running":
            raise full
        written(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_result", write)
        patch.setattr(Speed, "on_train_batch_end", fail_at(1, ValueError("the cause")))
        with pytest.raises(ValueError, match="the cause"):
            train_tiny()
    assert states[-1] == "failed"
    assert not list(run.path.rglob(".partial*"))
    assert train_tiny().status == "finished"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'"x"', b'{"status": "finished"}'])
def test_a_damaged_record_is_written_again(
    train_tiny: Train, run: RunDirectory, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    train_tiny(*ONE)
    whole = run.read_result()
    run.result_file.write_bytes(content)
    assert train_tiny(*ONE).status == "finished"
    assert "it will be rewritten" in capsys.readouterr().out
    assert run.read_result().scores == whole.scores
    assert run.read_result().budget == whole.budget


def test_damaged_files_of_a_run_come_with_a_remedy(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", fail_at(3, MemoryError()))
        with pytest.raises(MemoryError):
            train_tiny()
    last = run.last_checkpoint.read_bytes()
    run.last_checkpoint.write_bytes(last[: len(last) // 2])
    copy = rf"`cp {run.best_checkpoint} {run.last_checkpoint}` continues with best\.ckpt"
    with pytest.raises(DataError, match=rf"(?s){copy}, or retrain with overwrite=true"):
        train_tiny()
    run.last_checkpoint.write_bytes(last)
    config = run.config_file.read_bytes()
    for content in (b"", b"a: [1,\n"):
        run.config_file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"config\.yaml .*Remove that file"):
            train_tiny()
    run.config_file.unlink()  # as advised
    train_tiny("test=false")
    assert run.config_file.read_bytes() == config.replace(b"test: true", b"test: false")
    run.best_checkpoint.unlink()
    with pytest.raises(ConfigError, match=r"best\.ckpt is missing: 2 epoch\(s\) were trained"):
        train_tiny("test=true")
    run.result_file.unlink()
    run.result_file.mkdir()
    with pytest.raises(ConfigError, match=r"Is a directory.*remove it"):
        train_tiny()


def close(journal: Journal, error: Exception) -> str:
    with pytest.raises(type(error)), recorded(journal):
        raise error
    return journal.run.read_result().reason


def test_the_cause_is_that_of_the_process_that_failed_first(run: RunDirectory) -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    running = record(status="running")
    first, other = Journal(run, running), Journal(run, running, "rank 1")
    first.update(running)
    assert close(other, ValueError("a broken image")) == "rank 1: ValueError: a broken image"
    assert close(first, lost) == "rank 1: ValueError: a broken image"
    log = run.log_file.read_text()
    assert "rank 1: Traceback" in log
    assert "ValueError: a broken image" in log

    first.update(running)
    assert close(first, ValueError("the cause")) == "ValueError: the cause"
    assert close(other, lost) == "ValueError: the cause", "an echo of the first process"

    first.update(running)
    assert close(first, lost).startswith("another process of this run ended first, perhaps killed")


def test_a_run_is_never_continued_on_another_number_of_devices(
    train_tiny: Train, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speed, "on_train_batch_end", fail_at(3, MemoryError()))
        with pytest.raises(MemoryError):
            train_tiny()
    begun = session.read_checkpoint(run.last_checkpoint)
    assert begun["segbench"]["devices"] == 1
    begun["segbench"]["devices"] = 2
    monkeypatch.setattr(session, "read_checkpoint", lambda file: begun)
    with pytest.raises(ConfigError, match=r"started on 2 device\(s\).*trainer\.devices=2"):
        train_tiny()
