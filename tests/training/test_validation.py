"""Labels of val: what needs its score is refused without them, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.data.sources.streets import Streets
from segbench.errors import (
    DataError,
)

Train = Callable[..., Any]


ONE = ("trainer.max_epochs=1", "data.cache=none")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The run that `train_tiny` writes."""
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def unlabel(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`unlabel("val")` removes all labels from the images whose names start with `val`."""

    def take(prefix: str) -> None:
        read = Streets.read

        def without(self: Streets, record: Any) -> Any:
            image, mask = read(self, record)
            return image, (mask * 0 + 255 if record.name.startswith(prefix) else mask)

        monkeypatch.setattr(Streets, "read", without)

    return take


def test_a_finished_run_without_test_labels_is_unchanged_too(
    train_tiny: Train, unlabel: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    unlabel("test")
    assert train_tiny(*ONE).status == "finished"
    second = train_tiny(*ONE)
    assert (second.status, second.score) == ("unchanged", None)
    expected = "is already finished: no test score (the test split has no labels)"
    assert expected in capsys.readouterr().out


def test_val_without_labels_is_trained_to_the_end_where_nothing_needs_it(
    train_tiny: Train, run: RunDirectory, unlabel: Any
) -> None:
    unlabel("val")
    assert train_tiny(*ONE, "selection=last").status == "finished"
    result = run.read_result()
    assert result.scores["val"].mIoU is None
    assert result.scores["test"].mIoU is not None
    assert run.last_checkpoint.is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("selection=best",), "selection=best"),
        (("selection=last", "early_stopping=2"), "early_stopping"),
        (("selection=last", "scheduler=plateau"), "scheduler=plateau"),
    ],
)
def test_val_without_labels_is_refused_where_something_needs_its_score(
    train_tiny: Train, run: RunDirectory, unlabel: Any, words: tuple[str, ...], named: str
) -> None:
    unlabel("val")
    with pytest.raises(DataError, match=rf"val: no image has a labeled pixel, .*{named}"):
        train_tiny(*ONE, *words)
    assert run.read_result().status == "failed"


def test_labels_missing_from_validation_are_reported(train_tiny: Train, unlabel: Any) -> None:
    unlabel("val_0000")
    with pytest.raises(DataError, match=r"trainer\.limit_val_batches=1 covers"):
        train_tiny(*ONE, "trainer.limit_val_batches=1")
