"""Components of torch and Lightning, used through `_target_` alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segbench.artifacts.run_directory import RunDirectory


def test_an_optimizer_of_torch_gets_the_parameters(train_tiny: Callable[..., Any]) -> None:
    out = ("~optimizer.encoder_lr_factor", "~optimizer.layer_decay", "~optimizer.betas")
    words = ("optimizer._target_=torch.optim.RMSprop", "trainer.gradient_clip_val=null")
    assert train_tiny(*words, *out).status == "finished"


def test_a_custom_trainer_config_may_omit_keys(
    train_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    left_out = ("~trainer.num_sanity_val_steps", "~trainer.check_val_every_n_epoch")
    assert train_tiny(*left_out).status == "finished"
    trainer = RunDirectory(tmp_path / "run").read_config()["trainer"]
    assert trainer["num_sanity_val_steps"] == 0
    assert trainer["check_val_every_n_epoch"] == 1


def test_a_schedule_of_torch_moves_every_step(train_tiny: Callable[..., Any]) -> None:
    out = ("~scheduler.power", "~scheduler.warmup_steps", "~scheduler.min_factor")
    words = ("scheduler._target_=torch.optim.lr_scheduler.StepLR", "+scheduler.step_size=3")
    assert train_tiny(*words, *out).status == "finished"
