"""The sheet of heat maps: scales, legend, readable in any color vision and at any shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

from segbench.data.classes import ClassSet
from segbench.explanation.heat_sheets import Explanation, draw_sheet, write_sheet

NAMES = ("Straße [asphaltiert]", "$x^{2$", "道路")
CLASSES = ClassSet(NAMES, ((128, 64, 128), (0, 114, 178), (230, 159, 0)))


def _explanation(height: int, width: int, has_mask: bool = False) -> Explanation:
    values = np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)
    labels = (np.arange(height * width) % 2).reshape(height, width).astype(np.uint8)
    image = np.full((height, width, 3), 90, np.uint8)
    maps = dict.fromkeys(NAMES[:2], values)
    mask = labels if has_mask else None
    return Explanation(image, mask, labels, values, maps, maps, "layer", CLASSES)


def test_every_map_of_values_has_its_scale_and_the_prediction_its_legend() -> None:
    figure = draw_sheet(_explanation(6, 8))
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert len(bars) == 1 + 2 * 2  # uncertainty; activation and probability of two classes
    assert all(bar.get_yticklabels()[0].get_text() == "0.0" for bar in bars)
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["Straße [asphaltiert]", "$x^{2$"]
    colors = [tuple(patch.get_facecolor()[:3]) for patch in legend.get_patches()]
    assert colors == [tuple(v / 255 for v in color) for color in CLASSES.colors[:2]]


def test_the_colors_of_values_rise_in_brightness() -> None:
    figure = draw_sheet(_explanation(6, 8))
    used = {image.get_cmap().name for axes in figure.axes for image in axes.get_images()[1:]}
    assert used == {"inferno", "magma", "viridis"}
    for name in used:
        brightness = colormaps[name](np.linspace(0, 1, 64))[:, :3] @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(brightness) > 0).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (200, 3)])
def test_images_of_any_shape_are_drawn(tmp_path: Path, height: int, width: int) -> None:
    write_sheet(_explanation(height, width, has_mask=True), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    with np.load(tmp_path / "sheet.npz") as arrays:
        assert arrays["labels"].shape == (height, width)
