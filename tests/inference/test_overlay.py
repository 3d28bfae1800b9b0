"""Rendered images show what they claim."""

import numpy as np
import pytest

from segbench.data.classes import ClassSet
from segbench.data.preview import sheet
from segbench.inference.overlay import (
    RIGHT,
    WRONG,
    error_map,
    overlay,
    side_by_side,
    with_legend,
)
from segbench.inference.sheets import Panels, sample_sheet

CLASSES = ClassSet(("sky", "road"), ((0, 0, 255), (128, 64, 128)))
IMAGE = np.full((4, 6, 3), 100, np.uint8)


def test_overlay_blends_colors_and_leaves_void_unchanged():
    labels = np.array([[0, 1, 255, 0, 0, 0]] * 4, np.uint8)
    mixed = overlay(IMAGE, labels, CLASSES, alpha=0.25)
    assert mixed[0, 0].tolist() == [75, 75, 139]
    assert mixed[0, 2].tolist() == [100, 100, 100]
    assert np.array_equal(overlay(IMAGE, labels, CLASSES, alpha=0), IMAGE)
    opaque = overlay(IMAGE, labels, CLASSES, alpha=1)
    assert np.array_equal(opaque[:, :2], CLASSES.decode(labels)[:, :2])


def test_error_map_is_red_where_wrong_green_where_right():
    mask = np.array([[0, 0, 0, 1, 1, 255]] * 4, np.uint8)
    pred = np.array([[0, 0, 1, 1, 255, 0]] * 4, np.uint8)
    picture = error_map(IMAGE * 0, pred, mask, CLASSES)[0].astype(int)
    for column, color in ((0, RIGHT), (2, WRONG), (3, RIGHT), (4, WRONG)):
        assert picture[column].argmax() == np.argmax(color)
    assert picture[5].max() == 0


def test_side_by_side_keeps_every_image_whole():
    row = side_by_side([IMAGE, IMAGE // 2], gap=3)
    assert row.shape == (4, 15, 3)
    assert np.array_equal(row[:, :6], IMAGE)
    assert np.array_equal(row[:, 9:], IMAGE // 2)


def test_the_legend_has_characters_of_every_script():
    wide = np.zeros((10, 300, 3), np.uint8)
    strips = []
    for name in ("Straße", "Strase", "道路", "车辆"):
        classes = ClassSet((name,), ((0, 0, 255),))
        strips.append(with_legend(wide, classes, [0])[10:].tobytes())
    assert len(set(strips)) == 4


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000)])
def test_sheets_of_extreme_shapes_stay_small(shape):
    labels = np.zeros(shape, np.uint8)
    image = np.zeros((*shape, 3), np.uint8)
    shown = [Panels("a", image, labels, labels)] * 3
    assert sample_sheet(shown, CLASSES, "title").size < 3e7
    assert sheet([("a", (image, labels))] * 3, CLASSES).size < 3e7


def test_the_legend_shows_the_requested_classes_below_the_image():
    wide = np.zeros((10, 300, 3), np.uint8)
    both = with_legend(wide, CLASSES, [0, 1, 255])
    assert np.array_equal(both[:10], wide)
    strip = both[10:].reshape(-1, 3).tolist()
    assert [0, 0, 255] in strip
    assert [128, 64, 128] in strip
    assert [0, 0, 255] not in with_legend(wide, CLASSES, [1])[10:].reshape(-1, 3).tolist()
    # On a narrow image the legend takes more rows instead of being cut off.
    narrow = with_legend(wide[:, :60], CLASSES, [0, 1])
    assert narrow.shape[0] > both.shape[0]
    assert [128, 64, 128] in narrow[10:].reshape(-1, 3).tolist()


def test_the_legend_of_a_narrow_image_is_not_cut_off():
    classes = ClassSet(("Fußgänger auf dem Zebrastreifen", "b" * 200), ((0, 0, 255), (9, 9, 9)))
    for width in (1, 40):
        image = np.zeros((50, width, 3), np.uint8)
        both = with_legend(image, classes, [0])
        assert np.array_equal(both[:50, :width], image)
        assert (both[:50, width:] == 255).all()
        wide = with_legend(np.zeros((50, 400, 3), np.uint8), classes, [0])
        assert np.array_equal(both[50:], wide[50:, : both.shape[1]])
        assert (wide[50:, both.shape[1] :] == 255).all()
        assert with_legend(image, classes, [0, 1]).shape[1] == 640
