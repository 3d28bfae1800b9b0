"""`tools/costs.py`: ratios to a reference in the same file, and whether they repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

A, B = Path("a.json"), Path("b.json")


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    import costs

    return costs


def content(**cpu_ms: float) -> dict[str, Any]:
    rows = [
        {"model": name, "cpu_ms": value, "cpu_spread": 0.05, "input": [8, 8], "device": "cpu"}
        for name, value in cpu_ms.items()
    ]
    return {"models": rows}


def test_each_file_is_compared_with_its_own_reference(costs) -> None:
    """The second run was made while the machine was half as fast."""
    quick, busy = content(ref=100, same=50, other=50), content(ref=200, same=101, other=140)
    found = costs.measured({A: quick, B: busy}, "ref")
    assert costs.ratios(found["same"], "cpu_ms") == [0.5, 0.505]
    gap, spread = costs.repeats(found["same"])
    assert gap == pytest.approx(0.01)
    assert spread == pytest.approx(0.1)
    assert costs.repeats(found["other"])[0] == pytest.approx(0.4)


def test_files_that_cannot_be_compared_are_refused(costs) -> None:
    with pytest.raises(ValueError, match=r"a\.json: has no ref"):
        costs.measured({A: content(other=1)}, "ref")
    with pytest.raises(ValueError, match=r"no files are given; .* experiments/results/costs"):
        costs.measured({}, "ref")
    larger = content(ref=1)
    larger["models"][0]["input"] = [16, 16]
    with pytest.raises(ValueError, match=r"8 x 8 on cpu \(a.json\); 16 x 16 on cpu \(b.json\)"):
        costs.measured({A: content(ref=1), B: larger}, "ref")


@pytest.mark.parametrize(
    ("cpu", "title", "middle", "sentence"),
    [
        ([100.0, 50.0, 25.0], "CPU time", "0.50", "CPU time 100 to 100 ms"),
        ([None, None, None], "latency", "0.25", "latency 4.00 to 4.00 ms"),
        ([100.0, None, 25.0], "latency", "0.25", "latency 4.00 to 4.00 ms"),
    ],
)
def test_files_of_a_gpu_are_compared_by_latency_and_labeled_so(
    costs,
    tmp_path: Path,
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
    for calls, file in enumerate(("a.json", "b.json")):
        found = [row | {"calls": calls} for row in rows]
        (tmp_path / file).write_text(
            json.dumps({"models": found, "commit": "a9ee35c" * 5, "dirty": False})
        )
    shown = costs.section([tmp_path / "a.json", tmp_path / "b.json"], "ref")
    assert f"| model | {title} | repeat gap |" in shown
    spread = "10%" if title == "CPU time" else "20%"
    assert f"| b | {middle} | 0% | {spread} | 1.00 |" in shown
    assert f"`ref` = 1: {sentence}" in shown
    assert "commit a9ee35ca9" in shown
    assert "no more than the spread for 2 of 2 models, and by at most 0%." in shown


def row(**changed: Any) -> dict[str, Any]:
    """What is measured of one model."""
    return {
        "model": "ref", "cpu_ms": 9.0, "cpu_spread": 0.0, "latency_ms": 9.5, "latency_spread": 0.1,
        "input": [8, 8], "device": "cpu", "num_classes": 3, "peak_memory_mib": 10.0,
        "versions": {"torch": "2"},
    } | changed  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(cpu_ms=float("nan"))], "ref: cpu_ms is nan, which is no measurement"),
        ([row(latency_ms=-5)], "ref: latency_ms is -5, which"),
        ([row(cpu_ms="12")], "ref: cpu_ms is '12', which"),
        ([row(cpu_ms=True)], "ref: cpu_ms is True, which"),
        ([row(cpu_spread=None)], "ref: cpu_spread is None, which"),
        ([row(latency_spread=False)], "ref: latency_spread is False, which"),
        ([row(latency_ms=10**400)], "ref: latency_ms is 1000"),
        ([row(input=[0, 8])], r"ref: input is \[0, 8\], not"),
        ([row(peak_memory_mib=None)], "ref: peak_memory_mib is None"),
        ([row(error="out of memory")], r"ref was not measured \(out of memory\)"),
        ([row(), row(cpu_ms=1.0)], "ref was measured twice"),
        ([row(input=8)], r"ref: input is 8, not \[H, W\]"),
        ([row(device=None)], "ref: the device or the versions are missing"),
        ([1, 2], "a row is not the measurement of a model"),
        ([{"model": "ref"}], "ref: latency_ms is None"),
    ],
)
def test_a_row_that_is_no_measurement_is_refused(costs, tmp_path: Path, rows, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"models": [row()]}))
    costs.read(file)
    file.write_text(json.dumps({"models": rows}))
    with pytest.raises(ValueError, match=rf"a\.json: {said}.*; measure it again"):
        costs.read(file)


def test_a_copied_measurement_is_no_repetition(costs, tmp_path: Path, monkeypatch) -> None:
    measured = {"models": [row(), row(model="other")]}
    with pytest.raises(ValueError, match=r"b\.json: ref is the same measurement as in a\.json"):
        costs.measured({A: measured, B: measured}, "ref")
    file = tmp_path / "a.json"
    file.write_text(json.dumps(measured))
    for given, said in (
        ([file, file], "a file is given twice"),
        ([tmp_path], "is a folder; name"),
        ([tmp_path / "no.json"], "no.json does not exist; create it with .*output="),
    ):
        monkeypatch.setattr("sys.argv", ["costs", *map(str, given)])
        with pytest.raises(SystemExit, match=said):
            costs.main()
