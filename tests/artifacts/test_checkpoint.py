"""Checkpoints, which may come from untrusted sources: read without running any code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segbench.artifacts import build, checkpoint, trust
from segbench.config import config_dir
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError

UNET = {"_target_": "segbench.models.unet.UNet", "width": 2, "depth": 1, "dropout": 0.0}
CLASSES = ClassSet(names=("a", "b", "c"), colors=((1, 0, 0), (2, 0, 0), (3, 0, 0)))
executed: list[str] = []


def run_code(**arguments: Any) -> nn.Module:
    """Code that an attacker would want to be called."""
    executed.append("run_code")
    return nn.Conv2d(3, 3, 1)


@pytest.fixture(autouse=True)
def _nothing_executed() -> None:
    executed.clear()


def _checkpoint(file: Path, model: dict[str, Any] = UNET, **meta: Any) -> Path:
    network = build.build_model(UNET, 3)
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    entry = {
        "format": 1,
        "config": {
            "name": "unet-streets",
            "study": "default",
            "seed": 0,
            "model": model,
            "data": {"_target_": "segbench.data.sources.streets.Streets"},
            "inference": {"_target_": "segbench.inference.predictor.Predictor"},
        },
        "protocol": {"resize": None, "precision": "32-true"},
        "scores": {},
        "classes": CLASSES.to_dict(),
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
    }
    torch.save({"state_dict": state, "segbench": entry | meta}, file)
    return file


def test_a_model_survives_a_checkpoint_unchanged(tmp_path: Path) -> None:
    file = _checkpoint(tmp_path / "best.ckpt")
    model, meta = checkpoint.load_checkpoint(file)
    assert not model.training
    assert model.head.out_channels == 3
    saved = torch.load(file, weights_only=True)["state_dict"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[f"model.{name}"])
    assert ClassSet.from_dict(meta["classes"]) == CLASSES


@pytest.mark.parametrize(
    "model",
    [
        {"_target_": f"{__name__}.run_code"},
        {"_target_": "os.system", "command": "true"},
        {"_target_": "segbench.train.train"},
        {"_target_": "segbenchX.models.unet.UNet"},
        {"_target_": "segbench.models.unet.torch.load", "f": "x"},
        {"_target_": "segbench.data.decoding.Image"},
        {"_target_": "segbench.data.cache.os.system", "command": "true"},
        {**UNET, "width": {"_target_": f"{__name__}.run_code"}},
        {**UNET, "width": [{"deep": [{"_target_": f"{__name__}.run_code"}]}]},
        {**UNET, "width": [[{"_target_": f"{__name__}.run_code"}]]},
    ],
    ids=lambda model: (
        str(model["_target_"]) + ("" if model["_target_"] != UNET["_target_"] else " nested")
    ),
)
def test_code_that_a_checkpoint_names_is_not_run(tmp_path: Path, model: dict[str, Any]) -> None:
    file = _checkpoint(tmp_path / "evil.ckpt", model)
    with pytest.raises(ConfigError, match=r"names .* was not run"):
        checkpoint.load_checkpoint(file)
    assert not executed


@pytest.mark.parametrize("group", ["model", "inference", "data"])
def test_what_segbench_itself_writes_is_allowed(group: str) -> None:
    for file in sorted((config_dir() / group).glob("*.yaml")):
        if found := re.search(r"^_target_: (\S+)", file.read_text(), re.MULTILINE):
            assert trust.is_shipped(group, found[1])


def test_one_option_lets_trusted_code_in(tmp_path: Path) -> None:
    file = _checkpoint(tmp_path / "mine.ckpt", {"_target_": f"{__name__}.run_code"})
    with pytest.raises(ConfigError, match=f"add 'allow_targets=\\[{__name__}\\]'"):
        checkpoint.load_checkpoint(file)
    with pytest.raises(ConfigError, match="weights and model do not match"):
        checkpoint.load_checkpoint(file, allow_targets=[__name__])
    assert executed == ["run_code"]


class Evil:
    """Runs code when it is unpickled by a careless reader."""

    def __reduce__(self) -> tuple[Any, ...]:
        return executed.append, ("unpickled",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "segbench": Evil()}, file)
    with pytest.raises(ConfigError, match="not a file of plain data, so it was refused"):
        checkpoint.load_checkpoint(file)
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ConfigError, match=r"evil\.ckpt"):
        checkpoint.load_checkpoint(file)
    assert not executed


@pytest.mark.parametrize("size", [0, 10, 1000, -100])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, size: int) -> None:
    content = _checkpoint(tmp_path / "whole.ckpt").read_bytes()
    file = tmp_path / "half.ckpt"
    file.write_bytes(content[:size])
    with pytest.raises(ConfigError, match=r"half\.ckpt: (cannot be read|not a file)"):
        checkpoint.load_checkpoint(file)


def test_checkpoints_that_are_not_ours_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        checkpoint.load_checkpoint(tmp_path / "missing.ckpt")
    with pytest.raises(ConfigError, match="is a folder"):
        checkpoint.load_checkpoint(tmp_path)
    file = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, file)
    with pytest.raises(ConfigError, match=r"was not written by segbench .* set weights="):
        checkpoint.load_checkpoint(file)
    torch.save(torch.zeros(3), file)
    with pytest.raises(ConfigError, match="was not written by segbench"):
        checkpoint.load_checkpoint(file)
    torch.save({"segbench": "yes"}, file)
    with pytest.raises(ConfigError, match="was not written by segbench"):
        checkpoint.load_checkpoint(file)
    for text in ("hello", "root:x:0:0:root:/root:/bin/bash\n"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"foreign\.ckpt"):
            checkpoint.load_checkpoint(file)
    with pytest.raises(
        ConfigError, match="has format 99, but this version of segbench reads format 1"
    ):
        checkpoint.load_checkpoint(_checkpoint(tmp_path / "new.ckpt", format=99))
    with pytest.raises(ConfigError, match="weights and model do not match") as caught:
        checkpoint.load_checkpoint(
            _checkpoint(tmp_path / "other.ckpt", {**UNET, "width": 3, "depth": 2})
        )
    assert re.search(
        r"\d+ missing \(\w[^()]*, \.\.\.\); \d+ of a different shape \(", str(caught.value)
    )
    assert len(str(caught.value)) < 600
