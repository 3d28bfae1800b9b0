"""Folds are a source of variance, not repetitions: the corrected resampled t test."""

import numpy as np
import pytest
import scipy.stats

from segbench.comparison.across_report import compare_studies
from segbench.comparison.cross_validation import corrected, folds_of
from segbench.comparison.options import Options
from segbench.comparison.study import read_study
from segbench.errors import DataError
from tests.comparison.fabricated import edit, write_study

VALUES = np.array([0.021, 0.034, 0.012, 0.029, 0.018])


def test_without_shared_images_it_is_the_t_test_of_scipy():
    found = corrected(VALUES, 0.0, 0.95)
    test = scipy.stats.ttest_1samp(VALUES, 0)
    assert found["p"] == pytest.approx(test.pvalue, rel=1e-12)
    interval = test.confidence_interval(0.95)
    assert found["interval"] == pytest.approx([interval.low, interval.high], rel=1e-12)


def test_shared_images_widen_it_by_the_formula_of_nadeau_and_bengio():
    # five folds of which one is tested and one validated: n_test / n_train = 1 / 3
    plain, found = corrected(VALUES, 0.0, 0.95), corrected(VALUES, 1 / 3, 0.95)
    width = [entry["interval"][1] - entry["interval"][0] for entry in (plain, found)]
    assert width[1] / width[0] == pytest.approx(np.sqrt((1 / 5 + 1 / 3) / (1 / 5)))
    t = VALUES.mean() / np.sqrt((1 / 5 + 1 / 3) * VALUES.var(ddof=1))
    assert found["p"] == pytest.approx(2 * scipy.stats.t.sf(t, 4), rel=1e-12)


def write_folds(root, number=3, skills=None):
    paths = []
    for fold in range(number):
        path = write_study(root, skills or {"a": 0.8, "b": 0.0}, seeds=2, name=f"cv{fold}")
        for run in path.glob("*/seed*"):
            edit(run, "data_info.fingerprint.test", f"0{fold}")
            edit(run, "config.data.folds", number)
            edit(run, "config.data.fold", fold)
        paths.append(path)
    return [read_study(path) for path in paths]


def test_a_study_per_fold_is_one_comparison(tmp_path):
    studies = write_folds(tmp_path)
    found = compare_studies(studies, Options(replicates=200))
    assert found["cross_validation"]["folds"] == 3
    assert found["cross_validation"]["share"] == pytest.approx(48 / 96)
    assert found["verdict"].startswith("a is better than b over 3 folds, by ")
    assert "Nadeau" in found["evidence"]


def test_folds_that_do_not_belong_together_are_refused(tmp_path):
    studies = write_folds(tmp_path)
    assert folds_of(studies) == [0, 1, 2]
    with pytest.raises(DataError, match="fold 1 of 3 is missing"):
        folds_of([studies[0], studies[2]])
    with pytest.raises(DataError, match="a fold is there twice"):
        folds_of([studies[0], studies[0], studies[1]])
    plain = write_study(tmp_path, {"a": 0.8, "b": 0.0}, seeds=2, name="plain")
    with pytest.raises(DataError, match="plain are no folds"):
        folds_of([*studies, read_study(plain)])
    for run in studies[1].path.glob("*/seed*"):
        edit(run, "data_info.protocol", "another")
    with pytest.raises(DataError, match="cv0 and cv1 are folds of different data"):
        folds_of([studies[0], read_study(studies[1].path), studies[2]])
    for run in studies[2].path.glob("*/seed*"):
        edit(run, "config.data.fold", 7)
    with pytest.raises(DataError, match="fold 2 of 3 is missing"):
        folds_of([studies[0], write_folds(tmp_path / "again")[1], read_study(studies[2].path)])


def test_p_values_are_corrected_over_pairs(tmp_path):
    studies = write_folds(tmp_path, skills={"a": 0.3, "b": 0.1, "c": 0.0})
    found = compare_studies(studies, Options(replicates=100))["cross_validation"]
    assert len(found["pairs"]) == 3
    smallest = min(found["pairs"], key=lambda pair: pair["p"])
    assert smallest["p_holm"] == pytest.approx(min(1, 3 * smallest["p"]))
