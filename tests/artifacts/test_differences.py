"""The table of differences covers every config key, and defines what a resume may change."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature

import pytest
import yaml

from segbench.artifacts.differences import GRADES, RULES, may_differ_on_resume, rule_of
from segbench.config import config_dir
from segbench.config.schema import TrainConfig
from segbench.config.targets import INJECTED
from segbench.data.datamodule import SegmentationData
from segbench.data.transforms import Augmentation


def test_every_top_level_key_has_a_rule() -> None:
    unknown = [f.name for f in fields(TrainConfig) if f.name != "data" and rule_of(f.name) is None]
    assert not unknown, f"say in artifacts/differences.py what it means that {unknown} differ"


def test_every_loader_option_loads_or_changes_the_training_images() -> None:
    """A new option of the loaders counts as augmentation unless the table says otherwise."""
    changing = {"crop_size", "scale_range", "cat_max_ratio", "class_uniform", "hflip",
                "color_jitter", "blur", "noise", "cutout", "mean", "std", "vflip",
                "rot90", "rotate", "augment"}  # fmt: skip
    parameters = {**signature(SegmentationData).parameters, **signature(Augmentation).parameters}
    options = set(parameters) - (INJECTED["data"] - {"augment"}) - {"augmentation"}
    augmenting = {o for o in options if (r := rule_of(f"data.{o}")) and r.name == "augmentation"}
    assert augmenting == changing


def test_every_default_of_the_trainer_has_a_rule() -> None:
    trainer = yaml.safe_load((config_dir() / "trainer/default.yaml").read_text())
    assert all(rule_of(f"trainer.{key}") for key in trainer)


def test_rules_are_complete() -> None:
    names = [rule.name for rule in RULES]
    keys = [key for rule in RULES for key in rule.keys]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys), "one key, one rule"
    assert {rule.grade for rule in RULES} == set(GRADES)
    assert all(rule.why for rule in RULES if rule.read)


@pytest.mark.parametrize(
    "key",
    ["data.root", "data.cache", "logger.wandb.project", "samples", "test", "tuning_trials",
     "trainer.enable_progress_bar"],
)  # fmt: skip
def test_a_resume_may_change_what_changes_no_number(key: str) -> None:
    assert may_differ_on_resume(key)


@pytest.mark.parametrize(
    "key",
    ["optimizer.lr", "data.hflip", "data.batch_size", "data.split", "trainer.devices", "seed",
     "model.width", "callbacks.lr_monitor._target_", "a_key_of_tomorrow"],
)  # fmt: skip
def test_a_resume_may_change_nothing_else(key: str) -> None:
    assert not may_differ_on_resume(key)
