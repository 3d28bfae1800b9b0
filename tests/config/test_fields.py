"""Numbers out of range and unknown options are refused before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from segbench.config.compose import compose_checked, register
from segbench.config.fields import choice, within, wrong_values
from segbench.errors import ConfigError


@dataclass
class Schema:
    """One field of each kind."""

    mode: str = choice("auto", "never")
    share: float | None = within(None, 0, 1)
    count: int = within(3, 1)
    free: int = 0


def test_values_in_range_are_fine() -> None:
    for share in (None, 0, 0.5, 1.0):
        config = {"mode": "never", "share": share, "count": 10**9, "free": -5}
        assert wrong_values(config, Schema) == []
    assert wrong_values({"mode": "x"}, None) == []


def test_each_value_out_of_range_is_reported() -> None:
    config = {"mode": "always", "share": 1.01, "count": 0, "free": 0}
    assert wrong_values(config, Schema) == [
        "mode: 'always' is not one of auto, never",
        "share: must be between 0 and 1, got 1.01",
        "count: must be at least 1, got 0",
    ]
    assert wrong_values({"mode": "auto", "share": float("nan")}, Schema) == [
        "share: must be between 0 and 1, got nan"
    ]


@pytest.mark.parametrize(
    ("verb", "override", "message"),
    [
        ("train", "seed=-1", "seed: must be between 0 and 4294967295, got -1"),
        ("train", "log_every=0", "log_every: must be at least 1, got 0"),
        ("train", "+compare.basline=unet", "compare.basline: .*did you mean 'baseline'"),
        ("train", "+compare.confidence=2", "compare.confidence: must be between 0.5 and"),
        ("train", "+compare.margin=1.0", "compare.margin: needs compare.baseline"),
        ("train", "compare={margin: -1, baseline: unet}", "compare.margin: must be between 0.01"),
        ("train", "+compare.gallery=many", "compare.gallery: Value 'many'"),
        ("predict", "alpha=2", "alpha: must be between 0 and 1, got 2.0"),
        ("predict", "min_region=-1", "min_region: must be at least 0, got -1"),
        ("evaluate", "batch_size=0", "batch_size: must be at least 1, got 0"),
        ("compare", "replicates=10", "replicates: must be at least 100, got 10"),
        ("benchmark", "rounds=1", "rounds: must be at least 2, got 1"),
        ("explain", "images=0", "images: must be at least 1, got 0"),
        ("export", "agreement=2", "agreement: must be between 0 and 1, got 2.0"),
    ],
)
def test_every_verb_reports_them(verb: str, override: str, message: str) -> None:
    register()
    with pytest.raises(ConfigError, match=message):
        compose_checked(verb, [override])
