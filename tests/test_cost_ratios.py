"""`benchmarks/models.py`: ratios to a reference of the same file; whether they repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.models import measured, ratios, repeats


def written(file: Path, **cpu_ms: float) -> Path:
    rows: list[dict[str, Any]] = [
        {"model": name, "cpu_ms": value, "cpu_spread": 0.05, "input": [8, 8], "device": "cpu"}
        for name, value in cpu_ms.items()
    ]
    file.write_text(json.dumps({"models": rows}))
    return file


def test_each_file_is_compared_with_its_own_reference(tmp_path: Path) -> None:
    """The second run was made while the machine was half as fast."""
    quick = written(tmp_path / "a.json", ref=100, same=50, other=50)
    busy = written(tmp_path / "b.json", ref=200, same=101, other=140)
    found = measured([quick, busy], "ref")
    assert ratios(found["same"], "cpu_ms") == [0.5, 0.505]
    apart, spread = repeats(found["same"])
    assert apart == pytest.approx(0.01)
    assert spread == pytest.approx(0.1)
    assert repeats(found["other"])[0] == pytest.approx(0.4)


def test_a_file_without_the_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"a\.json: has no ref"):
        measured([written(tmp_path / "a.json", other=1)], "ref")
