"""The separation scores are near 1 for separable features and at chance level for noise."""

from __future__ import annotations

import numpy as np
import pytest

from segbench.explanation.embeddings import (
    project,
    pure_cells,
    sample_cells,
    separation,
    standardized,
    without_rare,
)

LABELS = np.repeat([0, 1, 2, 3], 60)


def noise(dimensions: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(LABELS), dimensions)).astype(np.float32)


def test_separable_features_have_purity_one() -> None:
    features = noise(4) + 100 * np.eye(4, dtype=np.float32)[LABELS]
    for score in separation(features, LABELS).values():
        assert score["purity"] == 1
        assert score["silhouette"] > 0.8


def test_noise_is_at_chance() -> None:
    found = separation(noise(), LABELS)
    assert np.mean([score["purity"] for score in found.values()]) == pytest.approx(0.25, abs=0.06)
    assert abs(np.mean([score["silhouette"] for score in found.values()])) < 0.05


def test_tsne_keeps_separable_classes_apart() -> None:
    plane = project(noise() + 100 * np.eye(8, dtype=np.float32)[LABELS], "tsne", seed=0)
    assert plane.shape == (len(LABELS), 2)
    assert all(score["purity"] > 0.99 for score in separation(plane, LABELS).values())


@pytest.mark.parametrize("how", ["tsne", "pca"])
def test_a_projection_is_repeated_by_its_seed(how: str) -> None:
    np.testing.assert_array_equal(project(noise(), how, seed=1), project(noise(), how, seed=1))


def test_pca_of_one_channel_lies_on_a_line() -> None:
    plane = project(np.arange(5, dtype=np.float32)[:, None], "pca", seed=0)
    assert plane.shape == (5, 2)
    assert (plane[:, 1] == 0).all()


def test_a_constant_channel_is_harmless() -> None:
    assert (standardized(np.ones((4, 2), np.float32)) == 0).all()


def test_cells_of_mixed_label_are_found() -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 7
    labels, pure = pure_cells(mask, (2, 3))
    np.testing.assert_array_equal(pure, [[True, False, True]] * 2)
    np.testing.assert_array_equal(labels[pure], [0, 7, 0, 7])


def test_a_mask_as_large_as_the_map_has_only_pure_cells() -> None:
    mask = np.random.default_rng(0).integers(0, 9, (5, 7), np.uint8)
    labels, pure = pure_cells(mask, (5, 7))
    assert pure.all()
    np.testing.assert_array_equal(labels, mask)


def a_map() -> tuple[np.ndarray, np.ndarray]:
    """Features that encode their position, and classes 0 (frequent), 1 (rare) and void."""
    mask = np.zeros((8, 10), np.uint8)
    mask[0, :3] = 1
    mask[7] = 255
    rows, columns = np.mgrid[:8, :10]
    return np.stack([rows, columns, mask]).astype(np.float32), mask


def test_classes_are_drawn_equally_often_and_void_never() -> None:
    cells = sample_cells([a_map(), a_map()], num_classes=2, per_class=6, seed=0)
    assert np.bincount(cells.labels).tolist() == [6, 6]
    np.testing.assert_array_equal(cells.features[:, 2], cells.labels)
    np.testing.assert_array_equal(cells.features[:, :2], cells.places)
    again = sample_cells([a_map(), a_map()], num_classes=2, per_class=6, seed=0)
    np.testing.assert_array_equal(cells.features, again.features)


def test_rare_classes_are_left_out_and_too_few_are_refused() -> None:
    cells = sample_cells([a_map()], num_classes=2, per_class=6, seed=0)
    kept, left_out = without_rare(cells, ("road", "pole"), least=3)
    assert (len(kept.labels), left_out) == (9, {})
    with pytest.raises(ValueError, match=r"two classes need 5 each, found pole 3; use more"):
        without_rare(cells, ("road", "pole"), least=5)
