"""The commands that a training suggests can be run as printed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from segbench.config.compose import compose_checked, read_command, register
from segbench.training.next_steps import next_commands

SHIPPED = {"_target_": "segbench.models.unet.UNet", "width": 4}
DATA = {"_target_": "segbench.data.sources.streets.Streets"}


@pytest.fixture(autouse=True)
def hydra_state() -> Iterator[None]:
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before
    register()


def sweep_after(*words: str, name: str = "train", seed: int = 0) -> list[str]:
    """Arguments of the sweep that is suggested after `segbench.train WORDS`; it is accepted."""
    HydraConfig.instance().set_config(read_command(name, list(words)).config)
    config = {"model": SHIPPED, "data": DATA, "seed": seed}
    arguments = shlex.split(next_commands(config, Path("best.ckpt"))[2])[3:]
    if arguments[0] == "-cn":
        assert arguments[:2] == ["-cn", name]
        del arguments[:2]
    assert arguments[0] == "-m"
    assert read_command(name, arguments[1:], multirun=True).sweeps
    return arguments[1:]


def test_a_checkpoint_of_segbench_needs_only_its_path() -> None:
    register()
    predict, evaluate, _ = next_commands({"model": SHIPPED, "data": DATA}, Path("a b/x=1.ckpt"))
    assert predict == "python -m segbench.predict 'ckpt=a b/x=1.ckpt' source=IMAGE_OR_FOLDER"
    assert compose_checked("evaluate", shlex.split(evaluate)[3:]).ckpt == "a b/x=1.ckpt"


def test_the_sweep_repeats_data_and_settings() -> None:
    register()
    words = ("data=camvid11", "data.root=a b (1)/x", "optimizer.lr=0.002", "study=2024_05_01")
    found = sweep_after(*words, "model=custom", "seed=4", "overwrite=true", seed=4)
    assert found[0] == "model=custom,unet_resnet18"
    assert found[-1] == "seed=4,5,6"
    config = read_command("train", found, multirun=True).config
    assert (config.data.root, config.study) == ("a b (1)/x", "2024_05_01")
    assert config.optimizer.lr == 0.002
    assert not config.overwrite


def test_the_other_model_is_another_one() -> None:
    register()
    assert sweep_after("model=unet_resnet18")[0] == "model=unet_resnet18,unet_resnet34"


@pytest.mark.parametrize("own", ["model.width=8", "recipe=pidnet"])
def test_settings_of_one_model_are_repeated_with_that_model_only(own: str) -> None:
    register()
    found = sweep_after("model=custom", own)
    assert found == ["model=custom", own, "seed=0,1,2"]


def test_a_study_that_is_a_single_run_is_continued() -> None:
    register()
    assert sweep_after(name="quickstart") == ["model=custom,unet_resnet18", "seed=0,1,2"]


def test_custom_code_and_configs_are_named(tmp_path: Path) -> None:
    register(str(tmp_path))
    model = {"_target_": "my_package.nets.MyNet", "encoder": {"_target_": "other.Encoder"}}
    commands = next_commands({"model": model, "data": DATA}, Path("best.ckpt"))
    for text in commands[:2]:
        words = [word for word in shlex.split(text)[3:] if not word.startswith("source")]
        assert compose_checked("evaluate", words).allow_targets == ["my_package", "other"]
    assert shlex.split(commands[2])[3:6] == ["--config-dir", str(tmp_path), "-m"]


def test_commands_are_written_as_the_process_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "/venv/bin/segbench", "train"])
    commands = next_commands({"model": SHIPPED, "data": DATA}, Path("best.ckpt"))
    assert [text.split()[:2] for text in commands] == [
        ["segbench", verb] for verb in ("predict", "evaluate", "train")
    ]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "segbench", "train"])
    assert next_commands({}, Path("best.ckpt"))[0].startswith("python -m segbench.predict ")
