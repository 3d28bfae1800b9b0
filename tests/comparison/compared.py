"""A fabricated study that was compared, and what tests do with it."""

from pathlib import Path

import numpy as np

from segbench.artifacts.run_directory import RunDirectory
from segbench.comparison.comparison import Options
from segbench.comparison.gallery import gallery
from segbench.comparison.report import write_report
from segbench.comparison.study import read_study
from segbench.metrics.scores import scores
from tests.comparison.fabricated import NAMES, edit

FAST = Options(replicates=200)


COSTS = [
    {"model": "custom", "device": "GPU A", "params": 1e6, "macs": 2e9, "latency_ms": 3.0},
    {"model": "unet-streets", "device": "GPU B", "params": 3e6, "macs": 9e9, "latency_ms": 1.0},
]


def write(path: Path, comparison) -> Path:
    """Writes the report of a study, with its images."""
    study = read_study(path)
    return write_report(study, comparison, gallery(study, comparison))


def recount(path: Path, change) -> None:
    """Rewrites the matrices of all runs of a study, and their scores, after `change`."""
    for run in path.glob("*/seed*"):
        names, groups, matrices = RunDirectory(run).read_confusion()
        change(matrices, np.array(groups))
        RunDirectory(run).write_confusion(names, groups, matrices)
        edit(run, "scores.test", scores(matrices.sum(axis=0), NAMES))
