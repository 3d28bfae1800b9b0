"""What cannot work is refused by a message, where possible before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.config import ConfigError
from segbench.models.unet import UNet


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("trainer.check_val_every_n_epoch=5",), "selection=best: .*say selection=last"),
        (("trainer.limit_val_batches=0",), "selection=best: .*limit_val_batches=0"),
        (("trainer.limit_val_batches=0", "selection=last", "early_stopping=1"), "early_stopping: "),
        (
            ("trainer.limit_val_batches=0", "selection=last", "scheduler=plateau"),
            "scheduler=plateau: ",
        ),
    ],
)
def test_what_needs_a_validation_is_refused_before_the_first_step(
    words: tuple[str, ...], named: str, train_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=named):
        train_tiny("selection=best", *words)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_without_validation_may_keep_its_last_weights(
    train_tiny: Callable[..., Any],
) -> None:
    words = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=5", "selection=last")
    assert train_tiny(*words).status == "finished"


def test_an_operation_that_is_never_deterministic_is_named(
    train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: UNet, image: Any) -> Any:
        raise RuntimeError(
            "max_unpool_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'."
        )

    monkeypatch.setattr(UNet, "forward", forward)
    with pytest.raises(ConfigError, match=r"max_unpool_cuda.*say deterministic=false"):
        train_tiny("deterministic=true")
