"""Slips of a first day with one's own YAML and code: one short message each."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from segbench.artifacts.build import locate
from segbench.config.app import run_verb
from segbench.config.compose import compose_checked, register
from segbench.errors import ConfigError

FOLDER = "defaults: [folder, _self_]\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a `conf` and an importable package."""
    for folder in ("conf/data", "conf/model", "first_day"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    register()
    return tmp_path


def write_data(content: str) -> None:
    Path("conf/data/own.yaml").write_text(content, encoding="utf-8")


def refusal(verb: str, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose_checked(verb, list(words))
    return str(caught.value)


def test_a_list_of_options_is_not_merged_into_one_model() -> None:
    assert refusal("train", "model=[custom]").startswith("model: takes one option: ")
    assert refusal("train", "loss=[ce,dice]").startswith("loss: takes one option: ")
    assert refusal("train", "model=[custom],[unet]").startswith("model: takes one option: ")
    for argument in ("~model", "model=[]"):
        assert refusal("train", argument).startswith("model: is not set; set it on the command")
    assert compose_checked("train", ["logger=[csv]", "callbacks=[lr_finder]"]).name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (FOLDER.encode() + b"root: [a\n", "line 3"),
        (FOLDER.encode() + b"root:\ta\n", "cannot start any token"),
        (b"\xff\xfe_\x00", "the file is not text in UTF-8"),
    ],
)
@pytest.mark.parametrize("verb", ["check_data", "train"])
def test_a_broken_file_is_named(home: Path, content: bytes, said: str, verb: str) -> None:
    (home / "conf/data/own.yaml").write_bytes(content)
    found = refusal(verb, "data=own")
    assert found.startswith("data=own: ")
    assert said in found


def test_a_list_is_no_option(home: Path) -> None:
    (home / "conf/model/own.yaml").write_text("- a\n- b\n")
    assert refusal("train", "model=own").startswith("model=own: the file contains a list")


def test_a_group_that_the_verb_lacks_is_still_named() -> None:
    register()
    assert "there is no key 'model'" in refusal("check_data", "data=streets", "model=unet")


def test_windows_line_ends_are_fine(home: Path) -> None:
    text = FOLDER + "root: a\nimages: i\nmasks: m\nclasses: [x, y]\n"
    (home / "conf/data/own.yaml").write_bytes(text.replace("\n", "\r\n").encode())
    assert compose_checked("check_data", ["data=own"]).data.root == "a"


def test_a_file_instead_of_a_name(home: Path) -> None:
    (home / "conf/model/own.yaml").write_text("_target_: segbench.models.segnet.SegNet\n")
    assert "write model=own, the name" in refusal("train", "model=own.yaml")
    assert "did you mean 'own'?" in refusal("train", "model=conf/model/own")
    assert refusal("check_data", "data=./x/shapes").endswith("./conf/data/shapes.yaml")
    assert "did you mean 'quickstart'?" in refusal("experiments/quickstart.yaml")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (b"import torch\nclass Net(torch.nn.Module)\n  pass\n", "net.py, line 2: "),
        (b"x = '\xff'\n", "net.py: is not Python code"),
    ],
)
def test_code_that_python_cannot_read(home: Path, code: bytes, said: str) -> None:
    (home / "first_day/net.py").write_bytes(code)
    (home / "conf/model/own.yaml").write_text("_target_: first_day.net.Net\n")
    found = refusal("train", "model=own")
    assert found.startswith("model._target_: ")
    assert said in found


def test_code_that_fails_on_import(home: Path) -> None:
    (home / "first_day/failing.py").write_text("class Net:\n    pass\n\nnothing_here\n")
    with pytest.raises(ConfigError, match=r"cannot import.*NameError: name 'nothing_here'"):
        locate("first_day.failing.Net")


@pytest.mark.parametrize("words", [["--data", "mine"], ["data=streets", "--config-dir"]])
def test_dashes_are_explained(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train", *words])
    with pytest.raises(SystemExit) as ended:
        run_verb("train", lambda config: None)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("segbench.train: error: ")
    assert "KEY=VALUE" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("classes", ["[no, yes, maybe]", "[0, 1]", "[a, 2.5]"])
def test_names_that_yaml_does_not_read_as_text_need_quotes(home: Path, classes: str) -> None:
    write_data(f"{FOLDER}root: .\nclasses: {classes}\n")
    assert 'need quotes: ["1", "no"]' in refusal("check_data", "data=own")


def test_a_wrong_number_in_a_list_of_numbers_gets_no_hint_on_quotes(home: Path) -> None:
    write_data(f"{FOLDER}root: .\nclasses: [a]\ncrop_size: [a, 2]\n")
    said = refusal("check_data", "data=own")
    assert "data.crop_size: expected" in said
    assert "quotes" not in said


def test_data_without_defaults_are_told_which(home: Path) -> None:
    write_data("root: .\nclasses: [a]\n")
    assert "begin the YAML with defaults: [folder, _self_]" in refusal("check_data", "data=own")


def test_a_setting_with_spaces_is_one_problem() -> None:
    register()
    for words in (("seed", "=", "3"), ("seed", "=3")):
        told = f"{' '.join(words)}: write seed=3, without spaces around ="
        assert refusal("train", *words) == told
    told = refusal("train", "study=a", "seed", "=", "3", "trainer.max_epochs", "=", "5")
    assert "2 problems" in told
    assert "write trainer.max_epochs=5," in told
