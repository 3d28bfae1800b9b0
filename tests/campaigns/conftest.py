"""Undisturbed trainings, with which the campaigns compare others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.campaigns.forked import Fault, run
from tests.campaigns.trainings import Whole, words_of


@pytest.fixture(scope="session")
def whole_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Whole]:
    """`whole_of("ema=0.9", ...)`: the training with these arguments, run once."""

    @cache
    def train(*overrides: str) -> Whole:
        folder = tmp_path_factory.mktemp("whole") / "run"
        ended = run("train", words_of(folder, *overrides), Fault(str(folder)))
        assert ended.code == 0, ended.output
        return Whole(folder, ended.events, ended.seconds)

    return train


@pytest.fixture(scope="session")
def whole(whole_of: Callable[..., Whole]) -> Whole:
    """The default training."""
    return whole_of()
