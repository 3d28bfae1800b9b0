"""confusion.npz: small, exact, read in both formats, and refused where its parts contradict."""

import numpy as np
import pytest

from segbench.artifacts.pixel_counts import pack, read_pixel_counts
from segbench.artifacts.run_directory import RunDirectory
from segbench.metrics.scores import reduced

RNG = np.random.default_rng(0)


def matrices(images=7, classes=5, most=1000):
    dense = RNG.integers(0, most, (images, classes, classes + 1))
    dense[RNG.random(dense.shape) < 0.6] = 0
    dense[2] = 0  # an image without a label
    return dense


def store(tmp_path, arrays):
    names = np.array([f"i{n}" for n in range(7)])
    np.savez_compressed(tmp_path / "confusion.npz", names=names, groups=names, **arrays)
    return tmp_path / "confusion.npz"


@pytest.mark.parametrize("most", [3, 300, 70_000, 1 << 40])
def test_counts_come_back_as_they_were(tmp_path, most):
    dense = matrices(most=most)
    boundary = reduced(dense)[:, :2]
    found = read_pixel_counts(store(tmp_path, pack(dense, {"boundary_IoU": boundary})))
    assert np.array_equal(found.matrices(), dense)
    assert np.array_equal(found.counts, reduced(dense))
    assert np.array_equal(found.total, dense.sum(axis=0))
    assert np.array_equal(found.counts_of("boundary_IoU"), boundary)
    assert found.counts.dtype == (np.int64 if most == 1 << 40 else np.int32)


def test_files_of_earlier_versions_are_read(tmp_path):
    dense = matrices()
    found = read_pixel_counts(store(tmp_path, {"matrices": dense}))
    assert np.array_equal(found.matrices(), dense)
    assert np.array_equal(found.counts, reduced(dense))
    assert np.array_equal(found.total, dense.sum(axis=0))
    assert found.counts_of("boundary_IoU") is None
    boundary = reduced(dense)[:, :2]
    found = read_pixel_counts(store(tmp_path, {"matrices": dense, "boundary": boundary}))
    assert np.array_equal(found.counts_of("boundary_IoU"), boundary)


def test_a_run_of_many_classes_takes_a_hundredth_of_dense_matrices(tmp_path):
    dense = np.zeros((100, 150, 151), np.int64)
    for image in dense:
        seen = RNG.choice(150, 10, replace=False)
        image[np.ix_(seen, seen)] = RNG.integers(0, 30_000, (10, 10))
    run = RunDirectory(tmp_path)
    run.write_confusion([f"i{n}" for n in range(100)], ["g"] * 100, dense)
    assert run.confusion_file.stat().st_size < dense.nbytes / 100
    assert np.array_equal(run.read_confusion()[2], dense)


def test_counts_that_cannot_be_are_not_written(tmp_path):
    run = RunDirectory(tmp_path)
    with pytest.raises(ValueError, match="a count of pixels is not negative"):
        run.write_confusion(["a"], ["a"], np.full((1, 2, 3), -1))
    assert not run.confusion_file.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total": np.zeros((5, 6), int)}, "do not add up to the total"),
        ({"total": np.zeros((4, 5), int)}, "expected"),
        ({"counts": np.ones((7, 3, 5), int)}, "do not add up to the total"),
        ({"counts": np.ones((6, 3, 5), int)}, "expected"),
        ({"counts": np.array([9, 1, 1])[None, :, None] * np.ones((7, 3, 5), int)}, "more hits"),
        ({"boundary": np.ones((7, 2, 4), int)}, "expected 5 classes"),
        ({"sum_boundary_IoU": np.array([[2], [1]]) * np.ones((7, 2, 5), int)}, "a score above 1"),
        ({"sum_NLL": np.full((7, 2, 1), np.nan)}, "no sums of counts"),
        ({"sum_Brier": np.full((6, 2, 1), 1.0)}, "of 7 images"),
        ({"bins_ECE": np.full((7, 15, 3), 1.0)}, "of 7 images"),
        ({"bins_SCE": np.full((7, 5, 15, 3), -1.0)}, "no sums of counts"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(tmp_path, change, message):
    file = store(tmp_path, pack(matrices()) | change)
    with pytest.raises(ValueError, match=message):
        read_pixel_counts(file)


@pytest.mark.parametrize("change", [{"cells": 30}, {"cell_ends": 10_000}])
def test_cells_outside_of_the_matrix_are_refused_when_they_are_read(tmp_path, change):
    arrays = pack(matrices())
    for key, value in change.items():
        arrays[key] = arrays[key].astype(np.int64)
        arrays[key][-1] = value
    with pytest.raises(ValueError, match="in no matrix"):
        read_pixel_counts(store(tmp_path, arrays)).matrices()
