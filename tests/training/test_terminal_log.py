"""What the terminal shows of a run is in its log, once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from segbench.system.console import console, say
from segbench.training.terminal_log import logged_to


def test_a_training_goes_on_when_nobody_reads_its_output(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from segbench.training.terminal_log import logged_to\n"
        "from segbench.system.console import console, say\n"
        "with logged_to(pathlib.Path(sys.argv[1])):\n"
        "    for number in range(20000): say(f'line {number}')\n"
        "    console().print('a table')\n"
        "say('after')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "train.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"line 0\n"
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 0
    assert (tmp_path / "train.log").read_text().splitlines()[-1] == "a table"


@pytest.mark.parametrize("by_a_verb", [True, False])
def test_a_warning_is_shown_and_logged_once(
    by_a_verb: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = [logging.StreamHandler()] if by_a_verb else []
    monkeypatch.setattr(logging.getLogger("segbench"), "handlers", handlers)
    with logged_to(tmp_path / "train.log"):
        logging.getLogger("segbench.data.cache").warning("continuing without a cache")
    assert capsys.readouterr().err.count("continuing without a cache") == 1
    text = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert text.count("continuing without a cache") == 1


@pytest.mark.parametrize("is_logged", [True, False])
def test_a_training_outlives_what_reads_its_output(
    is_logged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, writes = os.pipe()
    os.close(reads)  # as `head` does after its last line
    with os.fdopen(writes, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with logged_to(tmp_path / "train.log") if is_logged else nullcontext():
            console().print("a table" * 10_000)  # more than a buffer
            say("epoch 1")
            print("of a library", flush=True)
    if is_logged:
        text = (tmp_path / "train.log").read_text(encoding="utf-8")
        assert "epoch 1\nof a library\n" in text
