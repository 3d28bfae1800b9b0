"""The splits that a training needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import DataError
from tests.test_bands import FOUR, words, write_four_bands


def test_a_training_that_is_not_tested_needs_no_test_split(tmp_path: Path, train_tiny: Any) -> None:
    root = write_four_bands(tmp_path / "set")
    for kind in ("images", "masks"):
        shutil.rmtree(root / kind / "test")
    given = (*words(root, *FOUR), "trainer.max_epochs=1")
    train_tiny(*given, "test=false")
    result = RunDirectory(tmp_path / "run").read_result()
    assert result is not None
    assert result.status == "finished"
    assert "test" not in result.scores
    assert result.data_info is not None
    assert set(result.data_info.fingerprint) == {"train", "val"}
    with pytest.raises(DataError, match=r"data\.splits=\{test: val\}"):
        train_tiny(*given, f"run_dir={tmp_path}/other")
