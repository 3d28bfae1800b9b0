"""A study of three models with costs, and its comparison."""

import json
from pathlib import Path

import pytest

from segbench.comparison.comparison import compare_runs
from segbench.comparison.gallery import gallery
from segbench.comparison.options import Options
from segbench.comparison.report import write_report
from segbench.comparison.study import read_study
from tests.comparison.fabricated import edit, write_study

COSTS = [
    {"model": "custom", "device": "GPU A", "params": 1e6, "macs": 2e9, "latency_ms": 3.0},
    {"model": "unet-streets", "device": "GPU B", "params": 3e6, "macs": 9e9, "latency_ms": 1.0},
]


@pytest.fixture(scope="module")
def study_path(tmp_path_factory) -> Path:
    skills = {"custom": 0.6, "unet": 0.1, "fcn": 0.1}
    path = write_study(tmp_path_factory.mktemp("runs"), skills, seeds=3)
    (path / "benchmark.json").write_text(json.dumps({"models": COSTS}))
    return path


@pytest.fixture(scope="module")
def comparison(study_path):
    return compare_runs(read_study(study_path), Options(replicates=200))


@pytest.fixture(scope="session")
def write():
    """Writes the report of a study, with its images."""

    def write(path: Path, comparison) -> Path:
        study = read_study(path)
        return write_report(study, comparison, gallery(study, comparison))

    return write


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder with one study, `mine`, of two equally large models."""
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2, name="mine")
    for seed in (0, 1):
        edit(path / "unet-streets" / f"seed{seed}", "params", 1_000_000)
    return tmp_path
