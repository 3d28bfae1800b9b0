"""Building a training: what is said of initial weights."""

from __future__ import annotations

from segbench.training.build import other_normalization

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_images_that_are_not_normalized_as_the_weights_expect_are_a_note() -> None:
    found = other_normalization(HALF, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert found is not None
    assert "mean [0.485, 0.456, 0.406] and std [0.229, 0.224, 0.225]" in found
    assert found.endswith("'data.mean=[0.5,0.5,0.5]' 'data.std=[0.5,0.5,0.5]'")


def test_equal_or_unknown_normalization_is_no_note() -> None:
    assert other_normalization(HALF, HALF) is None
    assert other_normalization((), HALF) is None
    assert other_normalization(HALF, ((0.5,), (0.5,))) is None  # inflated to other channels
