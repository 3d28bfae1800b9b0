"""Class names of every script in the figure of the confusion matrix."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segbench.data import lettering
from segbench.evaluation.confusion_figure import draw_confusion
from segbench.system import figures


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`drawn(names)` plots equal matrices, with the fonts that matplotlib brings."""
    monkeypatch.setattr(figures, "_installed", lambda: ())
    figures._glyphs.cache_clear()

    def draw(*names: str) -> np.ndarray:
        matrix = np.hstack([np.eye(len(names), dtype=np.int64), np.zeros((len(names), 1), int)])
        draw_confusion(tmp_path / "confusion.png", matrix, names)
        return cv2.imread(str(tmp_path / "confusion.png"))

    yield draw
    figures._glyphs.cache_clear()


def test_names_that_no_font_of_the_figure_has_are_legible(
    drawn, recwarn: pytest.WarningsRecorder
) -> None:
    if not lettering.can_draw("道"):
        pytest.skip("this version of OpenCV has no such font")
    road, vehicle = drawn("道路", "Fußgänger"), drawn("车辆", "Fußgänger")
    assert road.shape == vehicle.shape
    height, width = road.shape[:2]
    different = np.argwhere((road != vehicle).any(2))
    rows, columns = different[:, 0], different[:, 1]
    left = different[columns < width // 3]  # the name of the first row
    below = different[rows > 2 * height // 3]  # and that of the first column
    assert len(left) > 20
    assert len(below) > 20
    assert len(left) + len(below) == len(different)
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_names_without_any_font_are_codes(drawn, recwarn: pytest.WarningsRecorder) -> None:
    image = drawn("\U0001f697", "$x^{$", "a" * 200)
    assert (image[:, :40] < 128).any()
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_many_classes_need_no_wall(drawn) -> None:
    height, width = drawn(*(f"a class of {number}" for number in range(60))).shape[:2]
    assert 60 * 10 / 72 * 120 < height < 2000, "a line of text for each class, and little more"
    assert abs(height - width) < 200
