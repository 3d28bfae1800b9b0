"""Custom options: found by every verb, and never hidden silently."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segbench.config import config_dir
from segbench.config.compose import compose_checked, register
from segbench.config.help import groups_of, help_of
from segbench.config.places import is_group, options_of
from segbench.config.schema import SCHEMAS
from segbench.errors import ConfigError

SHIPPED = (config_dir() / "model" / "unet.yaml").read_text(encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a custom model and data set."""
    for group in ("model", "data"):
        (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text(SHIPPED.replace("width: 64", "width: 7"))
    text = (config_dir() / "data" / "streets.yaml").read_text(encoding="utf-8")
    (tmp_path / "conf/data/lab.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    register()
    return tmp_path


def test_every_verb_finds_them(own: Path) -> None:
    assert compose_checked("train", ["model=mine", "data=lab"]).model.width == 7
    for verb in ("check_data", "benchmark", "evaluate"):
        found = compose_checked(verb, ["data=lab"])
        assert found.data._target_.endswith("Streets")
    from segbench.benchmark import _of_names
    from segbench.explain import _model_nodes

    assert _model_nodes(["mine"])["mine"]["width"] == 7
    assert _of_names({"models": ["mine"], "data": {}})["mine"]["model"]["width"] == 7
    assert "mine" in options_of("model")


def test_config_dir_is_searched_by_every_verb(own: Path, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("more")
    (own / "conf").rename(folder / "conf")
    with pytest.raises(ConfigError, match=r"there is no model 'mine'.*\./conf/model/mine\.yaml"):
        compose_checked("train", ["model=mine"])
    register(str(folder / "conf"))
    from segbench.explain import _model_nodes

    assert compose_checked("check_data", ["data=lab"])
    assert _model_nodes(["mine"])["mine"]["width"] == 7
    with pytest.raises(ConfigError, match="there is no such folder"):
        register(str(folder / "nowhere"))


def test_a_file_hidden_by_a_shipped_one_is_reported(own: Path) -> None:
    (own / "conf/model/unet.yaml").write_text(SHIPPED)
    compose_checked("train", ["model=unet"])  # the same in both
    (own / "conf/model/unet.yaml").write_text(SHIPPED.replace("width: 64", "width: 7"))
    compose_checked("train", ["model=mine"])
    with pytest.raises(ConfigError, match=r"model/unet: segbench ships .*conf/model/unet.yaml is"):
        compose_checked("train", ["model=unet"])


def test_groups_are_distinguished_from_keys() -> None:
    assert is_group("model")
    assert is_group("hydra/launcher")
    for key in ("study", "data.root", "", "..", "../conf", "a b"):
        assert not is_group(key)


@pytest.mark.parametrize("verb", SCHEMAS)
def test_help_lists_only_the_groups_of_a_verb(verb: str) -> None:
    text = help_of(verb)
    groups = [folder.name for folder in config_dir().iterdir() if folder.is_dir()]
    listed = {group for group in groups if re.search(rf"^{group}: ", text, re.MULTILINE)}
    assert listed == set(groups_of(verb))
    assert "usage: " in text
    assert "${" not in text
    assert "$APP" not in text
