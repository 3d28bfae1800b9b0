"""Models that bring their own loss: the door in the task, and the config around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.own_loss import OWN
from segbench.errors import ConfigError
from segbench.training.loss_terms import step_terms

EOMT, UNET = "model=eomt_vit_small", "model=unet"


class Own(nn.Module):
    """Counts how far the training is, and has a loss of two terms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.heard: list[float] = []

    def set_progress(self, done: float) -> None:
        self.heard.append(done)

    def training_loss(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"a": self.weight * image.mean(), "b": self.weight * mask.float().mean()}


def refuse(*_: Any) -> Tensor:
    raise AssertionError("the loss of the config must not be used")


def test_the_model_decides_the_terms() -> None:
    model = Own()
    image, mask = torch.ones(2, 3, 4, 5), torch.full((2, 4, 5), 2)
    terms = step_terms(model, refuse, image, mask, 255, 0.25)
    assert {name: float(value) for name, value in terms.items()} == {"a": 1.0, "b": 2.0}
    assert model.heard == [0.25]
    model.training_loss = lambda image, mask: image.sum()  # type: ignore[method-assign, assignment, return-value]
    assert step_terms(model, refuse, image, mask, 255, 0.5).keys() == {"main"}


@pytest.mark.parametrize("words", [[], ["loss=own"]])
def test_a_model_takes_its_own_loss(compose: Any, words: list[str]) -> None:
    assert compose("train", EOMT, *words).loss == {"_target_": OWN}
    assert compose("train", UNET).loss._target_ != OWN


@pytest.mark.parametrize("words", [["loss=ce"], ["loss=ce_dice"], ["loss.class_weights=enet"]])
def test_a_loss_that_would_be_ignored(compose: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError, match="eomt_vit_small is trained with its own loss, this one"):
        compose("train", EOMT, *words)


def test_a_recipe_with_another_loss(compose: Any) -> None:
    with pytest.raises(ConfigError, match="loss ohem: model=eomt_vit_small is trained with its"):
        compose("train", EOMT, "recipe=pidnet")


def test_own_loss_of_a_model_without() -> None:
    from segbench.config.compose import compose_checked, register

    register()
    with pytest.raises(ConfigError, match="loss=own: model=unet brings no loss of its own"):
        compose_checked("train", [UNET, "loss=own"])


def test_each_model_of_a_sweep_is_checked() -> None:
    from segbench.config.compose import compose_checked, register

    register()
    both = "model=unet,eomt_vit_small"
    compose_checked("train", [both], multirun=True)
    with pytest.raises(ConfigError, match="model=eomt_vit_small is trained with its own loss"):
        compose_checked("train", [both, "loss=ce"], multirun=True)


@pytest.mark.slow
def test_a_run_with_queries(train_tiny: Any, tmp_path: Any) -> None:
    """Trains, resumes nothing, tests; the result says whose loss it was."""
    outcome = train_tiny(EOMT, "model.image_size=64", "deterministic=false")
    assert outcome.status == "finished"
    result = RunDirectory(tmp_path / "run").read_result()
    assert result.config["loss"] == {"_target_": OWN}
    assert result.scores["test"].mIoU is not None
