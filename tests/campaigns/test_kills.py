"""A campaign: trainings killed at random moments, and continued until they finish.

    pytest tests/campaigns/test_kills.py -m slow

However often and wherever a training is killed, the same command continues it, and the result is
bit-identical to one that was never killed: weights, optimizer, curves, counts, scores, images. The
moment is drawn by the seed, in CPU time of the process.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from segbench.artifacts.run_directory import RunDirectory
from tests.campaigns.forked import Ended, run
from tests.campaigns.tables import draws, show
from tests.campaigns.trainings import Whole, assert_same_files, whole_files, words_of
from tests.test_resume import assert_same_run

SEED = 20261127
ALL, BLOCK = 80, 8  # trainings, each killed one to three times
VARIANTS = {
    "plain": (),
    "averaged weights and dropout": ("ema=0.9", "model.dropout=0.5"),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "selection=last"),
    "accumulated": ("trainer.check_val_every_n_epoch=2", "trainer.accumulate_grad_batches=2"),
    "early stopping": ("early_stopping=1", "optimizer.lr=1e-9"),
    "threads": ("data.num_workers=2", "data.workers=thread", "data.cache=ram"),
    "last.ckpt at the end only": ("checkpoint_every=600",),
}

WholeOf = Callable[..., Whole]


def variant_of(number: int) -> str:
    """The variant of the training of a try."""
    return draws(SEED, number).choice(list(VARIANTS))


def killed(number: int, folder: Path, whole_of: WholeOf) -> tuple[str, int]:
    """Kills and continues one training; returns its variant and how often it was killed.

    Raises:
        AssertionError: the result differs from that of the undisturbed training.
    """
    draw, variant = draws(SEED, number), variant_of(number)
    whole = whole_of(*VARIANTS[variant])
    words = words_of(folder, *VARIANTS[variant])
    kills = 0
    for _ in range(draw.choice((1, 1, 2, 3))):
        ended = run("train", words, kill_at=draw.uniform(0, whole.seconds))
        assert ended.code in (0, -signal.SIGKILL), ended.output
        assert not ended.has_traceback, ended.output
        kills += ended.code != 0
    _finish(run("train", words))
    assert_same_run(RunDirectory(whole.path), RunDirectory(folder))
    assert_same_files(folder, whole_files(whole.path))
    return variant, kills


def _finish(ended: Ended) -> None:
    assert ended.code == 0, ended.output
    assert not ended.has_traceback, ended.output


def campaign(
    numbers: Sequence[int], tmp_path: Path, whole_of: WholeOf, capsys: Any
) -> Counter[tuple[str, str]]:
    """Runs tries of the campaign and prints their table."""
    counts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        variant, kills = killed(number, tmp_path / str(number), whole_of)
        counts[variant, "trainings"] += 1
        counts[variant, "kills"] += kills
    show("SIGKILL", SEED, counts, capsys)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("block", range(ALL // BLOCK))
def test_every_killed_training_ends_as_if_never_killed(
    block: int, tmp_path: Path, whole_of: WholeOf, capsys: Any
) -> None:
    counts = campaign(range(BLOCK * block, BLOCK * (block + 1)), tmp_path, whole_of, capsys)
    assert sum(n for (_, end), n in counts.items() if end == "kills") >= BLOCK // 2
