"""The commands that a training suggests can be run as printed."""

from __future__ import annotations

import shlex
from pathlib import Path

from segbench.config.compose import compose_checked, register
from segbench.training.next_steps import next_commands

SHIPPED = {"_target_": "segbench.models.unet.UNet", "width": 4}
DATA = {"_target_": "segbench.data.sources.streets.Streets"}


def test_a_checkpoint_of_segbench_needs_only_its_path() -> None:
    register()
    predict, evaluate, sweep = next_commands({"model": SHIPPED, "data": DATA}, Path("a b/x=1.ckpt"))
    assert predict == "python -m segbench.predict 'ckpt=a b/x=1.ckpt' source=IMAGE_OR_FOLDER"
    assert compose_checked("evaluate", shlex.split(evaluate)[3:]).ckpt == "a b/x=1.ckpt"
    assert sweep.startswith("python -m segbench.train -m model=unet,")


def test_custom_code_and_configs_are_named(tmp_path: Path) -> None:
    register(str(tmp_path))
    model = {"_target_": "my_package.nets.MyNet", "encoder": {"_target_": "other.Encoder"}}
    commands = next_commands({"model": model, "data": DATA}, Path("best.ckpt"))
    for text in commands[:2]:
        words = [word for word in shlex.split(text)[3:] if not word.startswith("source")]
        assert compose_checked("evaluate", words).allow_targets == ["my_package", "other"]
    assert shlex.split(commands[2])[3:6] == ["--config-dir", str(tmp_path), "-m"]
    register()
