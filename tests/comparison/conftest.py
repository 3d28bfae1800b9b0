"""The study that most tests of a comparison look at."""

import json
from pathlib import Path

import pytest

from segbench.comparison.comparison import compare_runs
from segbench.comparison.study import read_study
from tests.comparison.compared import COSTS, FAST
from tests.comparison.fabricated import write_study


@pytest.fixture(scope="module")
def study_path(tmp_path_factory) -> Path:
    skills = {"custom": 0.6, "unet": 0.1, "fcn": 0.1}
    path = write_study(tmp_path_factory.mktemp("runs"), skills, seeds=3)
    (path / "benchmark.json").write_text(json.dumps({"models": COSTS}))
    return path


@pytest.fixture(scope="module")
def comparison(study_path):
    return compare_runs(read_study(study_path), FAST)
