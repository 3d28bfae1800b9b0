"""benchmarks/gpu.py and tools/gpu.py run without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu
from tests.conftest import run_module


def test_the_table_has_a_row_for_each_loader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    small = ["--device", "cpu", "--small", "--precision", "32-true", "--json", str(file)]
    gpu.main([*small, "--loaders", "threads", "frames_on_device"])
    rows = json.loads(file.read_text())
    assert [row["loader"] for row in rows] == ["threads", "frames_on_device"]
    for row in rows:
        assert row["share"] == pytest.approx(row["synthetic_ms"] * 3 / row["epoch_ms"])
        # On a CPU the loss and the labels are checked immediately; nothing is read per weight.
        assert 1 <= row["reads"] <= 3
    printed = capsys.readouterr().out
    assert "| custom | threads |" in printed.split("| model |")[1]


def test_every_command_of_a_gpu_session_is_composed_without_a_gpu() -> None:
    done = run_module("tools.gpu", "--dry", "--root", "/data/camvid11")
    assert done.returncode == 0, done.stderr
    for text in ("pytest", "benchmarks.gpu", "-cn custom_vs_unet_gpu", "segbench.compare"):
        assert text in done.stdout
