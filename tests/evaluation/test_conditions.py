"""Data sets with conditions are scored, printed and compared by condition."""

import json

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from segbench.compare import compare
from segbench.config.compose import compose_checked, register
from segbench.evaluate import evaluate

CONDITIONS = {"fog": 0.1, "night": 0.6, "rain": 0.2, "snow": 0.3}  # share of wrong pixels


@pytest.fixture(scope="module")
def acdc(tmp_path_factory):
    """Three images of each condition, and predictions that are worst at night."""
    root = tmp_path_factory.mktemp("acdc")
    rng = np.random.default_rng(0)
    for condition, wrong in CONDITIONS.items():
        for number in range(3):
            frame = f"GOPR0475_frame_{number:06}"
            mask = np.repeat(rng.integers(0, 19, (6, 1)), 8, axis=0).repeat(48, 1).astype(np.uint8)
            save(root / f"rgb_anon/{condition}/val/G/{frame}_rgb_anon.png", np.dstack([mask] * 3))
            save(root / f"gt/{condition}/val/G/{frame}_gt_labelTrainIds.png", mask)
            for model, factor in (("good", 0.5), ("poor", 1.0)):
                noise = rng.random(mask.shape) < wrong * factor
                pred = np.where(noise, (mask + 1) % 19, mask).astype(np.uint8)
                save(root / f"{model}/{condition}_{frame}.png", pred)
    return root


def save(file, pixels):
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), pixels)


def test_acdc_is_reported_by_condition(acdc, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    register()
    for model in ("good", "poor"):
        words = [f"predictions={acdc}/{model}", "data=acdc", f"data.root={acdc}", "gallery=0",
                 "study=weather", f"name={model}", "boundary=false"]  # fmt: skip
        config = compose_checked("evaluate", words)
        keys = [key for key in config if key != "hydra"]
        assert evaluate(OmegaConf.masked_copy(config, keys)).status == "finished"
    assert "mIoU by group: fog " in capsys.readouterr().out
    report = (tmp_path / "runs/weather/poor/seed0/report.md").read_text()
    assert all(f"- mIoU of {condition}: " in report for condition in CONDITIONS)

    config = compose_checked("compare", ["study=weather", "replicates=200", "wandb=false"])
    keys = [key for key in config if key != "hydra"]
    assert compare(OmegaConf.masked_copy(config, keys)) == 0
    folder = tmp_path / "runs/weather/report"
    found = json.loads((folder / "comparison.json").read_text())
    rows = {row["group"]: row for row in found["by_group"]}
    assert set(rows) == set(CONDITIONS)
    for model in ("good", "poor"):
        assert min(rows, key=lambda name: rows[name]["scores"][model]) == "night"
    for row in rows.values():
        assert row["value"] == pytest.approx(row["scores"]["good"] - row["scores"]["poor"])
    for name in ("report.md", "tables.tex", "index.html"):
        text = (folder / name).read_text()
        assert all(condition in text for condition in CONDITIONS)
