"""Colors of classes for which nobody chose any."""

from __future__ import annotations

import pytest

from segbench.data.sources.folder_config import class_set


@pytest.mark.parametrize("name", ["background", "Background", "BG"])
def test_the_background_is_gray_wherever_it_is_and_shifts_no_other_color(name: str) -> None:
    assert class_set([name, "nucleus", "wall"], None, None).colors == (
        (100, 100, 100), (0, 114, 178), (230, 159, 0),
    )  # fmt: skip
    assert class_set(["nucleus", name], None, None).colors == ((0, 114, 178), (100, 100, 100))


def _as_seen_without_red_and_green(color: tuple[int, int, int]) -> tuple[float, float]:
    """Roughly what remains of a color in deuteranopia: yellow-blue and brightness."""
    red, green, blue = color
    return blue - (red + green) / 2, 0.3 * red + 0.6 * green + 0.1 * blue


def test_the_first_colors_are_distinguishable_with_red_green_blindness() -> None:
    colors = class_set(["background", *"abcdefg"], None, None).colors
    seen = [_as_seen_without_red_and_green(color) for color in colors]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 15


@pytest.mark.parametrize("void", [None, [0, 114, 178], [100, 100, 100], [128, 0, 0]])
def test_as_many_classes_as_fit_get_different_colors(void: list[int] | None) -> None:
    classes = class_set(["background", *(f"class {i}" for i in range(254))], None, void)
    assert len({*classes.colors, classes.void_color}) == 256
