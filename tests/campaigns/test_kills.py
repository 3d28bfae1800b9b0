"""A campaign: trainings killed at random moments, and continued until they are finished.

    pytest tests/campaigns/test_kills.py -m slow

However often and wherever a training is killed, the same command continues it, and it ends with the
bits of one that was never killed: weights, state of the optimizer, curves, counts, scores, images.
The moment is drawn by the seed, in CPU time of the process; a sample runs always.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from tests.campaigns.forked import Ended, draws, run, show
from tests.campaigns.trainings import assert_same_files, whole_files, words_of
from tests.test_resume import assert_same_run

SEED = 20261127
SAMPLE, ALL, BLOCK = 3, 80, 8  # trainings, each killed one to three times
VARIANTS = {
    "plain": (),
    "averaged weights and dropout": ("ema=0.9", "model.dropout=0.5"),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "selection=last"),
    "accumulated": ("trainer.check_val_every_n_epoch=2", "trainer.accumulate_grad_batches=2"),
    "early stopping": ("early_stopping=1", "optimizer.lr=1e-9"),
    "threads": ("data.num_workers=2", "data.workers=thread", "data.cache=ram"),
    "last.ckpt at the end only": ("checkpoint_every=600",),
}

Whole = Callable[[str], tuple[RunDirectory, float]]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """`whole(variant)`: a training that was never killed, and the CPU seconds it took."""

    @cache
    def train(variant: str) -> tuple[RunDirectory, float]:
        folder = tmp_path_factory.mktemp("whole") / "run"
        ended = run("train", words_of(folder, *VARIANTS[variant]))
        assert ended.code == 0, ended.output
        return RunDirectory(folder), ended.seconds

    return train


def killed(number: int, folder: Path, whole: Whole) -> tuple[str, int]:
    """Kills and continues one training; returns its variant and how often it was killed.

    Raises:
        AssertionError: it did not end as the one that was never killed.
    """
    draw = draws(SEED, number)
    variant = draw.choice(list(VARIANTS))
    expected, seconds = whole(variant)
    words = words_of(folder, *VARIANTS[variant])
    kills = 0
    for _ in range(draw.choice((1, 1, 2, 3))):
        ended = run("train", words, kill_at=draw.uniform(0, seconds))
        assert ended.code in (0, -signal.SIGKILL), ended.output
        assert not ended.has_traceback, ended.output
        kills += ended.code != 0
    _finish(run("train", words))
    assert_same_run(expected, RunDirectory(folder))
    assert_same_files(folder, whole_files(expected.path))
    return variant, kills


def _finish(ended: Ended) -> None:
    assert ended.code == 0, ended.output
    assert not ended.has_traceback, ended.output


def campaign(numbers: range, tmp_path: Path, whole: Whole, capsys: Any) -> Counter[tuple[str, str]]:
    """Runs tries of the campaign and prints their table."""
    counts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        variant, kills = killed(number, tmp_path / str(number), whole)
        counts[variant, "trainings"] += 1
        counts[variant, "kills"] += kills
    show("SIGKILL", SEED, counts, capsys)
    return counts


def test_a_sample_of_killed_trainings_ends_as_if_never_killed(
    tmp_path: Path, whole: Whole, capsys: Any
) -> None:
    campaign(range(SAMPLE), tmp_path, whole, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(ALL // BLOCK))
def test_every_killed_training_ends_as_if_never_killed(
    block: int, tmp_path: Path, whole: Whole, capsys: Any
) -> None:
    counts = campaign(range(BLOCK * block, BLOCK * (block + 1)), tmp_path, whole, capsys)
    assert sum(n for (_, end), n in counts.items() if end == "kills") >= BLOCK // 2
