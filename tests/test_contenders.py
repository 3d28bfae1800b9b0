"""A study of a real-time model and one with queries beside ours ends in one report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TINIEST, run_verb

SWEEP = (
    "model=custom,pidnet_s,eomt_vit_small",
    "seed=0,1",
    "study=contenders",
    *TINIEST,
    "trainer.max_epochs=1",
    "samples=0",
    "logger=csv",
    "compare={baseline: custom}",
)


@pytest.mark.slow
def test_the_audit_says_what_differs(tmp_path: Path) -> None:
    done = run_verb("train", "-m", *SWEEP, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "runs/contenders/report"
    found = json.loads((report / "comparison.json").read_text())
    assert {row["label"]: row["seeds"] for row in found["leaderboard"]} == {
        name: [0, 1] for name in ("custom", "pidnet_s", "eomt_vit_small")
    }
    audit = {entry["field"]: entry for entry in found["audit"]}
    assert audit["loss of the model"]["values"] == {"eomt_vit_small": "its own loss"}
    assert audit["loss"]["values"]["eomt_vit_small"] == "the model's own"
    assert set(audit["params"]["values"]) == {"custom", "pidnet_s", "eomt_vit_small"}
    assert not [entry for entry in found["audit"] if entry["grade"] == "invalidates"]
    assert "its own loss" in (report / "index.html").read_text()
