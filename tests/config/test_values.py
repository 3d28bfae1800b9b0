"""Impossible values are refused with one sentence each, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from segbench.config import did_you_mean
from segbench.config.compose import compose_checked, register
from segbench.errors import ConfigError


def problem(*words: str, verb: str = "train") -> str:
    register()
    with pytest.raises(ConfigError) as caught:
        compose_checked(verb, list(words))
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=${nope}", "seed: ${nope}: Interpolation key 'nope' not found"),
        ("seed=${oc.env:NOPE_NOPE}", "seed: ${oc.env:NOPE_NOPE}: "),
        ("seed=${oc.env:PATH}", "seed: ${oc.env:PATH}: Value '"),
        ("data.batch_size=${data.batch_size}", "data.batch_size: "),
        ("samples=${hydra:job.num}", "samples: ${hydra:job.num}: "),
        ("data=[1,2]", "data: takes one option: acdc, "),
        ("data={a:1}", "data: takes one option: acdc, "),
        ("model=null", "model: is not set; set it on the command line as model=OPTION"),
        ("optimizer.lr=nan", "optimizer.lr: must be a finite number, got nan"),
        ("optimizer.weight_decay=inf", "optimizer.weight_decay: must be a finite number, got inf"),
        ("data.mean=[0,nan,0]", "data.mean[1]: must be a finite number, got nan"),
        ("optimizer.lr=1e999", "optimizer.lr: must be a finite number, got inf"),
        ("trainer.max_epochs=99999999999999999999", "is too large"),
        (
            "trainer.max_epochs=-1",
            "trainer.max_epochs: -1 means no limit, so set trainer.max_steps",
        ),
        ("trainer.max_epochs=-2", "trainer.max_epochs: must be at least 0, or -1"),
        ("data.resize=[100000,100000]", "data.resize: must be [height, width] from 1 to 32767"),
        ("data.crop_size=[0,10]", "data.crop_size: must be [height, width] from 1 to 32767"),
        ("~seed", "seed: was removed (~seed), but it is required"),
        ("=3", "=3: write KEY=VALUE"),
        ("~", "~: write KEY=VALUE"),
    ],
)
def test_one_sentence_each(word: str, message: str) -> None:
    reported = problem(word)
    assert message in reported
    assert "problems in the config" not in reported


def test_a_removed_key_is_not_missing() -> None:
    reported = problem("source=x", "~majority_window", verb="predict")
    assert reported.startswith("majority_window: was removed (~majority_window)")


def test_an_unknown_choice_is_not_reported_as_unset() -> None:
    reported = problem("data=nuceli", verb="check_data")
    assert "there is no data 'nuceli'; did you mean 'nuclei'?" in reported
    assert "./conf/data/nuceli.yaml" in reported
    assert "not set" not in reported
    assert "data: is not set; set it on the command line as data=OPTION, one of acdc, " in (
        problem(verb="check_data")
    )


def test_an_end_by_steps_or_time_is_an_end() -> None:
    register()
    compose_checked("train", ["trainer.max_epochs=-1", "trainer.max_steps=10"])


@pytest.mark.parametrize("word", ["logger=null", "logger=[]", "logger=none"])
def test_logging_can_be_disabled(word: str) -> None:
    register()
    assert compose_checked("train", [word]).logger == {}


def test_the_environment_of_wandb_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    assert compose_checked("train", []).logger.wandb.project == "segbench"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "us")
    node = compose_checked("train", []).logger.wandb
    assert (node.project, node.entity) == ("mine", "us")


def test_disabled_means_no_wandb(tiny_config, tmp_path: Path, monkeypatch) -> None:
    from omegaconf import OmegaConf

    from segbench.artifacts.run_directory import RunDirectory
    from segbench.training.trainer import build_loggers

    config = tiny_config("logger=[wandb,csv]")
    plain = {"logger": OmegaConf.to_container(config.logger, resolve=True), "name": "x", "seed": 0}
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = RunDirectory(tmp_path / "run")
    assert [type(logger).__name__ for logger in build_loggers(plain, run)] == ["CSVLogger"]
    assert not list(tmp_path.rglob("wandb*"))


@pytest.mark.parametrize(
    "words",
    [
        ["data.classes=[a,a]"],
        ["data.classes=[a,b]", "data.colors=[[0,0,0],[0,0,0]]"],
        [f"data.classes=[{','.join(f'c{n}' for n in range(256))}]"],
    ],
)
def test_classes_that_contradict_themselves_are_a_problem_of_the_config(
    words: list[str], compose, tmp_path: Path
) -> None:
    from omegaconf import OmegaConf

    from segbench.artifacts.build import build_source

    paths = [f"data.root={tmp_path}", "data.images=i/{split}", "data.masks=m/{split}"]
    config = compose("train", "data=folder", *paths, *words)
    with pytest.raises(ConfigError, match="data: not a valid class set"):
        build_source(OmegaConf.to_container(config.data, resolve=True))


def test_did_you_mean() -> None:
    assert did_you_mean("wdith", ["width", "depth"]) == "; did you mean 'width'?"
    assert did_you_mean("miou", ["mDice", "mIoU"]) == "; did you mean 'mIoU'?"
    assert (
        did_you_mean("xyz", ["width", "depth"]) + did_you_mean("x", []) == "; known: depth, width"
    )
