"""HD95 and NSD: DeepMind's numbers, and maps that lack a class."""

import numpy as np
import pytest

from segbench.metrics.surface import surface_counts, surface_distance

# google-deepmind/surface-distance 0.1 on the maps of `ellipses`: by spacing HD95, then the surface
# dice at a tolerance of 1 and of 2
DEEPMIND = {
    (1.0, 1.0): (19.798989873223, 0.254259053719, 0.376519472821),
    (0.5, 2.0): (22.588713996153, 0.324083389732, 0.653608915277),
}


def ellipses():
    y, x = np.mgrid[:48, :64]
    true = (y - 20) ** 2 / 150 + (x - 30) ** 2 / 300 < 1
    found = (y - 23) ** 2 / 170 + (x - 27) ** 2 / 240 < 1
    found[40:44, 50:60] = True
    return true, found


@pytest.mark.parametrize("spacing", DEEPMIND)
def test_the_numbers_are_those_of_surface_distance(spacing):
    expected = DEEPMIND[spacing]
    for tolerance, nsd in zip((1.0, 2.0), expected[1:], strict=True):
        found = surface_distance(*ellipses(), spacing, tolerance)
        assert found == pytest.approx((expected[0], nsd), abs=1e-9)


def test_random_maps_agree_with_the_installed_library():
    library = pytest.importorskip("surface_distance")
    rng = np.random.default_rng(0)
    for _ in range(5):
        true, found = rng.random((2, 20, 30)) < 0.3
        distances = library.compute_surface_distances(true, found, (0.7, 1.3))
        expected = (library.compute_robust_hausdorff(distances, 95),
                    library.compute_surface_dice_at_tolerance(distances, 1.0))  # fmt: skip
        assert surface_distance(true, found, (0.7, 1.3), 1.0) == pytest.approx(expected, abs=1e-9)


def test_equal_maps_are_at_no_distance():
    true, _ = ellipses()
    assert surface_distance(true, true) == (0.0, 1.0)


def test_a_class_in_one_map_alone_is_as_far_as_can_be_and_one_in_neither_counts_nowhere():
    mask, pred = np.zeros((2, 30, 40), np.uint8)
    pred[:10, :10] = 1
    found = surface_counts(pred, mask, 3, spacing=(2.0, 2.0))
    assert found["HD95"][:, 1].tolist() == pytest.approx([100.0, 1])
    assert found["NSD"][:, 1].tolist() == [0, 1]
    assert found["HD95"][:, 2].tolist() == found["NSD"][:, 2].tolist() == [0, 0]


def test_ignored_pixels_are_of_no_class():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 255
    pred = np.zeros_like(mask)
    pred[:, 12:] = 1
    found = surface_counts(pred, mask, 2)
    assert found["HD95"].tolist() == [[0, 0], [1, 0]]
    assert found["NSD"][:, 0].tolist() == [1, 1]
