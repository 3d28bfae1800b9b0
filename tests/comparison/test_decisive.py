"""The decisive images are shown with the models' predictions, if these can be made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segbench.artifacts import segmenter
from segbench.comparison import decisive
from segbench.comparison.comparison import compare_runs
from segbench.comparison.gallery import gallery, median_run
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.data.bands import Bands
from segbench.errors import ConfigError
from tests.comparison.fabricated import NAMES, write_study


@pytest.fixture
def study(tmp_path):
    path = write_study(tmp_path, {"custom": 0.6, "unet": 0.1}, seeds=1)
    for run in path.glob("*/seed*"):
        (run / "checkpoints").mkdir()
        (run / "checkpoints/best.ckpt").write_text("")
    return read_study(path)


class Data:
    """Gives each image a mask with as many pixels of each class as a run counted."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def records(self, split: str) -> list[Any]:
        assert split == "test"
        return [SimpleNamespace(name=name) for name in self.run.names]

    def read(self, record: Any) -> tuple[np.ndarray, np.ndarray]:
        index = self.run.names.index(record.name)
        counts = self.run.images.counts[index, 1]
        mask = np.repeat(np.arange(len(NAMES), dtype=np.uint8), counts)[None]
        return np.full((*mask.shape, 3), index, np.uint8), mask  # the model recognizes it by this


@pytest.fixture
def at_hand(study, monkeypatch: pytest.MonkeyPatch):
    """A source, and a model with as many hits as the run of `custom`, always at the left."""
    run = median_run(study, "custom")
    data = Data(run)

    class Model:
        def __init__(self, file: Any) -> None:
            pass

        bands = Bands()

        def source(self, root: str | None) -> Data:
            return data

        def predict(self, image: np.ndarray, with_probs: bool) -> Any:
            index = int(image[0, 0, 0])
            mask = data.read(SimpleNamespace(name=run.names[index]))[1]
            pred = (mask + 1) % len(NAMES)
            hits = int(run.images.counts[index, 0].sum())
            pred[0, :hits] = mask[0, :hits]
            return SimpleNamespace(labels=pred)

    monkeypatch.setattr(segmenter, "Segmenter", Model)
    return study


def test_image_mask_and_only_predictions_like_the_tested_ones_are_shown(at_hand):
    runs = [median_run(at_hand, label) for label in ("custom", "unet")]
    found, reason = decisive.predict_again(runs, runs[0].names[:3])
    assert reason == ""
    assert list(found) == runs[0].names[:3]
    for name, seen in found.items():
        hits = runs[0].images.counts[runs[0].names.index(name), 0].sum()
        assert abs(int((seen.preds["custom"] == seen.mask).sum()) - hits) <= 0.01 * seen.mask.size
    assert any("unet" not in seen.preds for seen in found.values())  # the model was another one


def test_the_report_omits_them_and_says_why(at_hand, monkeypatch: pytest.MonkeyPatch):
    def refuse(self: Any, root: str | None) -> None:
        raise ConfigError("data.root: no such folder")

    monkeypatch.setattr(segmenter.Segmenter, "source", refuse)
    comparison = compare_runs(at_hand, Options(replicates=100))
    found = gallery(at_hand, comparison)
    assert found.missing == ["data.root: no such folder"]
    assert found.left_out == []
    assert not any(found.decisive.values())


def test_without_checkpoints_nothing_is_predicted(study):
    runs = [median_run(study, label) for label in ("custom", "unet")]
    (runs[1].path / "checkpoints/best.ckpt").unlink()
    found, reason = decisive.predict_again(runs, runs[0].names[:1])
    assert found == {}
    assert "not every run has its checkpoint" in reason
