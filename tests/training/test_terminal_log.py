"""What the terminal shows of a run is in its log, once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from segbench.training.terminal_log import logged_to


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
