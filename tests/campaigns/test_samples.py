"""A sample of the campaigns that interrupt a training: checks their tools within seconds.

All in one test, because all of it needs a server that has imported everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaigns import test_crash_points, test_full_disks, test_kills, test_mutated_results
from tests.campaigns.tables import draws, show
from tests.campaigns.trainings import Whole

SEED = 20261202


def test_a_training_is_ended_in_every_way_and_continued(
    tmp_path: Path, whole_of: Callable[..., Whole], whole: Whole, capsys: Any
) -> None:
    draw = draws(SEED, 0)
    plain = [n for n in range(50) if test_kills.variant_of(n) == "plain"]
    test_kills.campaign(plain[-1:], tmp_path / "killed", whole_of, capsys)
    points = draw.sample(test_crash_points.points(whole), 2)
    test_crash_points.campaign(points, tmp_path / "crashed", whole, capsys)
    change = draw.randrange(len(whole.events) // 2, len(whole.events))
    part = slice(change, change + 1)
    counts: Counter[tuple[str, str]] = test_full_disks.at_each_change(
        "train", part, whole, tmp_path / "full"
    )
    counts["small files", test_full_disks.small_files(8_000, whole, tmp_path / "small")] += 1
    show("full disks", SEED, counts, capsys)
    test_mutated_results.campaign_again(range(2), tmp_path / "again", whole, capsys)
