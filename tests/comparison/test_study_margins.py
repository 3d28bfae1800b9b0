"""Margins that a study file fixes before the first run, and those given later."""

import json

import pytest
from omegaconf.errors import OmegaConfBaseException

from segbench.compare import compare
from segbench.errors import ConfigError, DataError
from tests.comparison.fabricated import as_evaluations, compared, config, edit


def with_margin(runs, points=1.0, baseline="unet", only=("custom", "unet")):
    """Writes into the runs of these models that the study was trained under a margin."""
    for label in only:
        for seed in (0, 1):
            folder = runs / f"mine/{label}-streets/seed{seed}"
            edit(folder, "config.compare", {"margin": points, "baseline": baseline})


def margin_of(runs):
    return json.loads((runs / "mine/report/comparison.json").read_text())["margin"]


def test_a_margin_of_the_study_file_is_used_and_known_to_be_fixed_in_advance(runs, capsys):
    with_margin(runs)
    assert compare(config(runs)) == 0
    found = margin_of(runs)
    assert (found["points"], found["baseline"], found["fixed"]) == (1.0, "unet", True)
    assert [row["verdict"] for row in found["models"]] == ["better"]
    assert "before the first run" in capsys.readouterr().out
    assert "As good as unet?" in (runs / "mine/report/index.html").read_text()


@pytest.mark.parametrize(
    ("stated", "given", "words"),
    [
        ({}, {"margin": 2.0}, "trained under 1 points of mIoU against unet"),
        ({"only": ("unet",)}, {"margin": 1.0}, "Some runs were trained under another margin"),
        ({"points": None}, {"margin": 1.0}, "It was given after the runs"),
        ({"points": True}, {"margin": 1.0}, "It was given after the runs"),
        ({"baseline": "custom"}, {"margin": 1.0}, "against custom"),
    ],
)
def test_a_margin_that_was_not_fixed_in_advance_is_called_exploratory(runs, stated, given, words):
    with_margin(runs, **stated)
    found = compared(runs, baseline="unet", **given)["margin"]
    assert not found["fixed"]
    assert words in found["note"]
    assert "exploratory" in found["note"]


def test_a_margin_is_known_where_checkpoints_are_scored_later(runs):
    as_evaluations(runs, margin=1.0, baseline="unet")
    found = compared(runs)["margin"]
    assert (found["points"], found["baseline"], found["fixed"]) == (1.0, "unet", True)
    assert found["note"] == "It was fixed in the study town before the first run."
    later = compared(runs, margin=3.0)["margin"]
    assert not later["fixed"]
    assert "trained under 1 points of mIoU against unet: read it as exploratory" in later["note"]


def test_one_checkpoint_without_the_margin_makes_it_exploratory(runs):
    as_evaluations(runs, margin=1.0, baseline="unet")
    edit(runs / "mine/unet-streets/seed1", "training.config.compare", None)
    found = compared(runs)
    assert found["margin"] is None
    (entry,) = [entry for entry in found["audit"] if entry["field"] == "margin"]
    assert entry["grade"] == "weakens"
    assert "1 points of mIoU against unet (seed 0" in entry["values"]["unet"]
    assert entry["values"]["unet"].endswith("none (seed 1)")
    note = compared(runs, margin=1.0, baseline="unet")["margin"]["note"]
    assert "Some runs were trained under another margin" in note


def test_a_margin_whose_baseline_is_left_out_is_named_and_not_tested(runs):
    with_margin(runs, baseline="fcn")
    found = compared(runs)
    assert found["margin"] is None
    (entry,) = [entry for entry in found["audit"] if entry["field"] == "margin"]
    assert "margin of 1 points against fcn, which has no run here" in entry["why"]


def test_a_margin_of_another_score_is_exploratory(runs):
    with_margin(runs)
    found = compared(runs, metric="mDice")["margin"]
    assert not found["fixed"]
    assert "1 points of mIoU against unet" in found["note"]
    for folder in (runs / "mine").glob("*/seed*"):
        edit(folder, "config.compare.metric", "mDice")
    assert compared(runs, metric="mDice")["margin"]["fixed"]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "101", "1e-9", "true", "wide"])
def test_a_margin_that_is_none_is_refused(compose, value):
    with pytest.raises((ConfigError, OmegaConfBaseException), match="margin"):
        compose("compare", "study=mine", "baseline=unet", f"margin={value}")


def test_a_margin_needs_a_baseline(runs):
    with pytest.raises(ConfigError, match="add baseline=MODEL, one of custom, unet"):
        compare(config(runs, margin=1.0))
    with pytest.raises(DataError, match="baseline=fcn has no finished run"):
        compare(config(runs, margin=1.0, baseline="fcn"))


def test_a_margin_against_a_full_name_is_fixed(runs):
    with_margin(runs, baseline="unet-streets")
    found = compared(runs)["margin"]
    assert (found["baseline"], found["fixed"]) == ("unet", True)


def test_the_evidence_beside_a_sentence_on_a_margin_says_whose_score_is_subtracted(runs):
    found = compared(runs, baseline="custom", margin=90.0)
    (pair,) = found["pairs"]
    assert not found["verdict"].startswith(pair["a"] + " is better")
    assert found["evidence"].startswith(f"{pair['a']} − {pair['b']}: difference ")
