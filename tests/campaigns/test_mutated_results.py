"""A campaign: damaged result files, in `compare` and in a repeated training.

    pytest tests/campaigns/test_mutated_results.py -m slow

A comparison finishes, and leaves out by name what it cannot read; no score, interval or p value in
it differs from that of the undamaged runs that it used. Or it is refused with a message, if runs no
longer belong together. Text without a checksum has no such guarantee for values that are not
computed from counts: a changed digit of a seed or a learning curve is another seed or curve. A
training that finds a damaged run ends with a message, or normally. A sample always runs.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from segbench.compare import compare
from segbench.comparison.comparison import compare_runs
from segbench.comparison.gallery import gallery
from segbench.comparison.options import Options
from segbench.comparison.study import Study, read_study
from segbench.config.schema import CompareConfig
from segbench.errors import DataError
from tests.campaigns.forked import run
from tests.campaigns.mutations import mutated
from tests.campaigns.tables import draws, refused, show
from tests.campaigns.test_mutated_files import altered
from tests.campaigns.trainings import Whole, words_of
from tests.comparison.fabricated import write_study

SEED = 20261201
SAMPLE, ALL, BLOCK = 12, 1_000, 250
REPORTS = 50  # one of this many comparisons is written as a report
ALL_AGAIN = 160  # trainings that are repeated
OPTIONS = Options(replicates=50)
FILES = {  # files of a run, and how often each is drawn
    "result.json": 4, "confusion.npz": 3, "metrics.csv": 2, "config.yaml": 1,
    "samples/epoch0012.png": 1, "../../benchmark.json": 1,
}  # fmt: skip
BENCHMARK = {"models": [{"model": "unet", "params": 7, "latency_ms": 3.5, "device": "cpu"}]}
COMPUTED = ("label", "scores", "sd", "value", "interval", "mIoU", "mDice", "class_iou",
            "class_dice", "pixel_acc", "p", "p_holm", "classes", "a", "b")  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two models and two seeds."""
    study = write_study(tmp_path_factory.mktemp("runs"), {"custom": 0.6, "unet": 0.1}, seeds=2)
    (study / "benchmark.json").write_text(json.dumps(BENCHMARK))
    return study


def copied(whole: Path, folder: Path) -> Path:
    """A copy of the study made of links: files in it are replaced, not modified."""
    study = folder / whole.name
    for file in whole.rglob("*"):
        if file.is_file():
            target = study / file.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
    return study


def damage(study: Path, draw: random.Random) -> str:
    """Damages one file of one run; returns its name."""
    run_folder = draw.choice(sorted(study.glob("*/seed*")))
    name = draw.choices(list(FILES), list(FILES.values()))[0]
    file = run_folder / name
    data = file.read_bytes()
    file.unlink()
    if file.suffix == ".json" and draw.random() < 0.5:
        file.write_text(json.dumps(altered(json.loads(data), draw)))
    else:
        file.write_bytes(mutated(data, draw))
    return file.name


class Judge:
    """Compares comparisons of damaged studies with those of undamaged ones."""

    def __init__(self, whole: Path) -> None:
        self.study = read_study(whole)
        self.paths = {
            run.path.relative_to(whole): (label, run)
            for label, runs in self.study.runs.items()
            for run in runs
        }
        self.expected = cache(self._expected)

    def _expected(self, taken: frozenset[Path]) -> dict[str, Any]:
        runs: dict[str, list[Any]] = {}
        for path in sorted(taken):
            label, run = self.paths[path]
            runs.setdefault(label, []).append(run)
        ordered = {label: runs[label] for label in self.study.runs if label in runs}
        return compare_runs(Study(self.study.path, ordered, []), OPTIONS)

    def check(self, study: Path, found: Study, comparison: dict[str, Any]) -> str:
        """How a comparison ended.

        Raises:
            AssertionError: a number is wrong, or a run was dropped silently.
        """
        taken = {
            run.path.relative_to(study): (label, run)
            for label, runs in found.runs.items()
            for run in runs
        }
        left_out = {entry.path.relative_to(study) for entry in found.left_out}
        assert taken.keys() | left_out == self.paths.keys()
        for row in comparison["runs"]:
            run = self.paths[Path(row["path"])][1]
            assert (row["mIoU"], row["mDice"]) == (run.scores.mIoU, run.scores.mDice), row["path"]
        same = all(
            (label, run.seed) == (self.paths[path][0], self.paths[path][1].seed)
            for path, (label, run) in taken.items()
        )
        if not same:
            return "another name or seed"
        expected = self.expected(frozenset(taken))
        for part in ("leaderboard", "pairs"):
            for one, other in zip(comparison[part], expected[part], strict=True):
                for key in COMPUTED:
                    assert one.get(key) == other.get(key), (part, key)
        return "left out" if comparison["left_out"] else "as it was"


def compared(study: Path, judge: Judge, as_report: bool) -> str:
    """Compares a damaged study; returns how the comparison ended."""
    try:
        found = read_study(study)
        comparison = copy.deepcopy(compare_runs(found, OPTIONS))
        comparison["left_out"] += [str(e.path) for e in gallery(found, comparison).left_out]
    except DataError as error:
        return refused(error, str(study))
    if as_report:
        values = {"study": study.name, "runs": str(study.parent), "replicates": 50, "wandb": False}
        config = OmegaConf.merge(OmegaConf.structured(CompareConfig), values)
        assert compare(config) == int(any(
            isinstance(entry, str) or entry["broken"] for entry in comparison["left_out"]
        ))  # fmt: skip
        assert (study / "report" / "index.html").is_file()
    return judge.check(study, found, comparison)


def campaign(numbers: range, whole: Path, tmp_path: Path, capsys: Any) -> None:
    """Runs tries of the campaign and prints their table."""
    judge = Judge(whole)
    counts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        study = copied(whole, tmp_path / str(number))
        name = damage(study, draws(SEED, number))
        try:
            counts[name, compared(study, judge, number % REPORTS == REPORTS - 1)] += 1
        except Exception as error:
            raise AssertionError(f"number {number}, {name}: {error!r}") from error
        shutil.rmtree(study.parent)
        capsys.readouterr()
    show("compare", SEED, counts, capsys)
    assert counts["result.json", "left out"], counts


def again(number: int, whole_run: Path, folder: Path) -> tuple[str, str]:
    """Damages a file of a run and repeats its training; returns the file and the outcome."""
    draw = draws(SEED, number)
    shutil.copytree(whole_run, folder)
    name = draw.choice(("result.json", "config.yaml"))
    file = folder / name
    if draw.random() < 0.3:  # unfinished: the damaged file determines how it continues
        text = (folder / "result.json").read_text()
        (folder / "result.json").write_text(text.replace('"finished"', '"running"'))
    data = file.read_bytes()
    if name == "result.json" and draw.random() < 0.5:
        file.write_text(json.dumps(altered(json.loads(data), draw)))
    else:
        file.write_bytes(mutated(data, draw))
    ended = run("train", words_of(folder))
    assert ended.code in (0, 2), ended.output
    assert not ended.has_traceback, ended.output
    return name, "refused" if ended.code else "went on"


def campaign_again(numbers: range, tmp_path: Path, whole: Whole, capsys: Any) -> None:
    """Runs tries of the campaign of repeated trainings."""
    counts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        counts[again(number, whole.path, tmp_path / str(number))] += 1
        shutil.rmtree(tmp_path / str(number))
    show("train again", SEED, counts, capsys)


def test_a_sample_of_damaged_results_is_compared(study: Path, tmp_path: Path, capsys: Any) -> None:
    campaign(range(SAMPLE), study, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(ALL // BLOCK))
def test_every_damaged_result_is_compared(
    block: int, study: Path, tmp_path: Path, capsys: Any
) -> None:
    campaign(range(BLOCK * block, BLOCK * (block + 1)), study, tmp_path, capsys)


@pytest.mark.slow
def test_every_training_finds_a_damaged_run(tmp_path: Path, whole: Whole, capsys: Any) -> None:
    campaign_again(range(ALL_AGAIN), tmp_path, whole, capsys)
