"""`benchmarks/models.py`: ratios to a reference in the same file, and whether they repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import models
from benchmarks.models import measured, ratios, repeats


def written(file: Path, **cpu_ms: float) -> Path:
    rows: list[dict[str, Any]] = [
        {"model": name, "cpu_ms": value, "cpu_spread": 0.05, "input": [8, 8], "device": "cpu"}
        for name, value in cpu_ms.items()
    ]
    file.write_text(json.dumps({"models": rows}), encoding="utf-8")
    return file


def test_each_file_is_compared_with_its_own_reference(tmp_path: Path) -> None:
    """The second run was made while the machine was half as fast."""
    quick = written(tmp_path / "a.json", ref=100, same=50, other=50)
    busy = written(tmp_path / "b.json", ref=200, same=101, other=140)
    found = measured([quick, busy], "ref")
    assert ratios(found["same"], "cpu_ms") == [0.5, 0.505]
    gap, spread = repeats(found["same"])
    assert gap == pytest.approx(0.01)
    assert spread == pytest.approx(0.1)
    assert repeats(found["other"])[0] == pytest.approx(0.4)


def test_a_file_without_the_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"a\.json: has no ref"):
        measured([written(tmp_path / "a.json", other=1)], "ref")


@pytest.mark.parametrize(
    ("cpu", "title", "middle", "sentence"),
    [
        ([100.0, 50.0, 25.0], "CPU time", "0.50", "CPU time 100 to 100 ms"),
        ([None, None, None], "latency", "0.25", "latency 4.00 to 4.00 ms"),
        ([100.0, None, 25.0], "latency", "0.25", "latency 4.00 to 4.00 ms"),
    ],
)
def test_files_of_a_gpu_are_compared_by_latency_and_labeled_so(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cpu: list[float | None],
    title: str,
    middle: str,
    sentence: str,
) -> None:
    rows = [
        {
            "model": name, "cpu_ms": used, "cpu_spread": None if used is None else 0.05,
            "latency_ms": latency, "latency_spread": 0.1, "input": [8, 8], "device": "any",
            "num_classes": 11, "params": 1e6, "macs": 1e9, "peak_memory_mib": 10.0,
            "versions": {"torch": "2.15.0"},
        }
        for name, used, latency in zip(["ref", "b", "c"], cpu, [4.0, 1.0, 2.0], strict=True)
    ]  # fmt: skip
    for file in ("a.json", "b.json"):
        (tmp_path / file).write_text(json.dumps({"models": rows}))
    files = [str(tmp_path / file) for file in ("a.json", "b.json")]
    monkeypatch.setattr("sys.argv", ["models", "--reference", "ref", *files])
    models.main()
    printed = capsys.readouterr().out
    assert f"| model | {title} | repeat gap |" in printed
    spread = "10%" if title == "CPU time" else "20%"
    assert f"| b | {middle} | 0% | {spread} | 1.00 |" in printed
    assert f"ref = 1: {sentence}" in printed
