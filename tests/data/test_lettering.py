"""Text is drawn in any script, and cut off at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from segbench.data import lettering
from segbench.data.lettering import draw_text, text_width


def drawn(text: str, size: int = 20) -> np.ndarray:
    canvas = np.full((40, text_width(text, size) + 4, 3), 255, np.uint8)
    draw_text(canvas, text, 2, 20, size)
    return canvas[:, 2:-2, 0]


@pytest.mark.parametrize("text", ["Straße", "Fußgänger", "é", "Жж", "道路", "한국", "a道b", "ｶﾅ"])
def test_every_letter_has_its_own_shape(text: str) -> None:
    shapes = {drawn(letter).tobytes() for letter in text}
    assert len(shapes) == len(set(text))
    missing = {drawn(c).tobytes() for c in ("\U0010fffe", "?")}
    assert not shapes & missing
    assert drawn(text).min() < 100


def test_what_no_font_has_is_written_as_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(drawn("\U0010fffe"), drawn("\\U0010fffe"))  # no character at all
    assert np.array_equal(drawn("a\tb"), drawn("a\\tb"))
    monkeypatch.setattr(lettering, "_in_opencv", lambda _: False)  # as before OpenCV 5
    lettering.lettering.cache_clear()
    assert np.array_equal(drawn("道"), drawn("U+9053"))
    lettering.lettering.cache_clear()


def test_text_is_cut_at_every_edge() -> None:
    canvas = np.full((10, 30, 3), 255, np.uint8)
    draw_text(canvas, "longer than the canvas", 20, 2, 16, (255, 0, 0))
    draw_text(canvas, "outside", 40, 5, 16)
    draw_text(canvas, "", 0, 5, 16)
    assert canvas[..., 0].min() == 255
    assert canvas[..., 1].min() < 100
