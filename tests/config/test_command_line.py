"""The value of a text key is kept as typed, for every verb and every such key."""

from __future__ import annotations

import re
import shlex
import string
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from segbench.config.command_line import as_typed, command, override, quoted
from segbench.config.compose import compose_checked, read_command, register
from segbench.config.schema import SCHEMAS
from segbench.config.text_keys import LIST, TEXT, field_annotations, kinds_of
from segbench.errors import ConfigError
from segbench.system.storage import is_portable

# Names of files and studies, and text that has a meaning in Hydra's grammar.
TEXTS = (
    *("2026_11_26", "1_0", "1e3", "007", "0x10", "true", "nan", "inf", "-1", "~", "[x]", "a,b"),
    *("epoch=3-step=10.ckpt", "photo (1).jpg", "写真.png", "{split}/{name}", "lr=0.1, wide", "$x"),
    *("it's", 'the "best"', "a\\b", "C:\\", "a: b", " x ", "#1", "@home", "100%", "*.jpg", "a\nb"),
    *(
        "",
        "'",
        "\\'",
        "é",
        "null.png",
        "[a",
        "b]",
        "(",
        "choice(1)",
        "a|b;c&d",
        "!",
        "+1",
        "=",
        "==",
    ),
)
TYPED = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.text(
    string.punctuation + " 01aé", max_size=12
)


def is_left_to_hydra(text: str) -> bool:
    """Whether a text has a meaning of its own on the command line."""
    return (
        text.lower() == "null"
        or "${" in text
        or (len(text) > 1 and text[0] in "'\"" and text[-1] == text[0])
        or text == "???"
    )


def read(text: str, sweeps: bool = False) -> object:
    """The value that Hydra reads from a typed text."""
    (word,), problems = as_typed([f"key={text}"], lambda key: frozenset({TEXT}), sweeps)
    assert not problems
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_kept_as_typed(text: str) -> None:
    assert read(text) == text


@settings(max_examples=150, deadline=None)
@given(TYPED)
def test_any_text_is_kept_as_typed(text: str) -> None:
    if not is_left_to_hydra(text):
        assert read(text) == text
    parsed = OverridesParser.create().parse_override(override("key", text))
    assert parsed.value() == text  # in quotes, whatever it is


@settings(max_examples=60, deadline=None)
@given(st.lists(TYPED, min_size=1, max_size=4))
def test_a_list_of_texts_is_kept_as_typed(texts: list[str]) -> None:
    word = f"key=[{','.join(map(quoted, texts))}]"
    words, problems = as_typed([word], lambda key: {LIST}, False)
    if any("${" in text for text in texts):  # which Hydra would resolve
        assert "resolved only in YAML files" in problems["key"]
    else:
        assert OverridesParser.create().parse_override(words[0]).value() == texts


def test_lists_of_plain_text_need_no_quotes() -> None:
    words, _ = as_typed(["key=[背景,1_0, a b,null]"], lambda key: {LIST}, False)
    assert OverridesParser.create().parse_override(words[0]).value() == [
        "背景",
        "1_0",
        "a b",
        "null",
    ]


def test_null_and_quotes_keep_their_meaning() -> None:
    assert read("null") is None
    assert read("'null'") == "null"
    assert read("'a, b'") == "a, b"


def test_commas_separate_values_only_in_a_sweep() -> None:
    words, _ = as_typed(["key=1_0,a b,'c,d',(x"], lambda key: {TEXT}, True)
    parsed = OverridesParser.create().parse_override(words[0])
    assert [*parsed.sweep_string_iterator()] == ["'1_0'", "'a b'", "'c,d'", "'(x'"]
    assert as_typed(["key=choice(a,b)"], lambda key: {TEXT}, True)[0] == ["key=choice(a,b)"]


def test_an_interpolation_on_the_command_line_is_refused() -> None:
    words, problems = as_typed(["source=${x}.png"], lambda key: {TEXT}, False)
    assert not words
    assert "is resolved only in YAML files" in problems["source"]


def test_keys_that_also_take_numbers_are_not_quoted() -> None:
    found = {key: kinds_of(a) for key, a in field_annotations(SCHEMAS["train"]).items()}
    assert {key for key, kinds in found.items() if kinds} == {
        *("study", "name", "run_dir", "resume", "weights", "precision", "selection"),
        "allow_targets",
    }


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def text_keys(verb: str) -> list[str]:
    """The keys of a verb that take any text."""
    schema = SCHEMAS[verb]
    free = [f for f in schema.__dataclass_fields__.values() if not f.metadata.get("choices")]
    kinds = {key: kinds_of(annotation) for key, annotation in field_annotations(schema).items()}
    return [f.name for f in free if TEXT in kinds[f.name]]


FOLDER = ("root", "images", "masks", "table", "group_regex", "protocol", "cache_dir")


@pytest.mark.parametrize("verb", SCHEMAS)
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_text_key_of_every_verb_takes_any_text(verb: str, data: st.DataObject) -> None:
    good = TYPED.filter(lambda text: text and not is_left_to_hydra(text) and text[0] != "~")
    of_folders = good.filter(is_portable)  # other names of folders are refused
    wanted = {
        key: data.draw(of_folders if key in ("study", "name") else good, key)
        for key in text_keys(verb)
    }
    if verb in ("train", "check_data"):
        wanted |= {f"data.{key}": data.draw(good, key) for key in FOLDER}
    words = [f"{key}={text}" for key, text in wanted.items()]
    words += ["data=folder"] if verb in ("train", "check_data") else []
    config = compose_checked(verb, words + ["data=streets"] * (verb == "benchmark"))
    assert {key: OmegaConf.select(config, key) for key in wanted} == wanted


def test_typed_text_reaches_the_config() -> None:
    words = ["study=2026_11_26", "data=folder", "data.root=1_0", "data.classes=[1_0,背景]"]
    words += ["data.images=({split})/{name}.png", "data.masks=写真/{name}.png", "data.split_seed=7"]
    config = compose_checked("train", words)
    assert config.study == "2026_11_26"
    assert config.hydra.sweep.dir == "runs/2026_11_26"
    assert config.data.root == "1_0"
    assert config.data.classes == ["1_0", "背景"]
    assert config.data.images == "({split})/{name}.png"
    assert config.data.split_seed == 7
    report = compose_checked("train", ["compare={baseline: x}", "compare.baseline=1_0"])
    assert report.compare.baseline == "1_0"


def test_a_sweep_accepts_text_too() -> None:
    found = read_command("train", ["study=1_0,a b", "seed=0,1", "name='x,y'"], multirun=True)
    assert found.sweeps
    assert found.arguments == ["study='1_0','a b'", "seed=0,1", "name='x,y'"]
    assert found.config.study == "1_0"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("compare.baseline=glob(*)", "glob() picks options of a group"),
        ("hydra/launcher=glob(nope*)", "glob() picks options of a group"),
        ("model=glob(nope*)", "matches none of .*custom, .*unet"),
        ("~model=glob(*)", "a sweep cannot delete"),
        ("~model=unet,custom", "a sweep cannot delete"),
        ("seed=range(0,1e12)", "1 to 1000 values"),
        ("seed=range(3,0)", "1 to 1000 values"),
        ("seed=range(0,1,0)", "1 to 1000 values"),
        ("optimizer.lr=range(nan,3)", "1 to 1000 values"),
        (f"seed=range({'9' * 400},{'8' * 500})", "1 to 1000 values"),
        ("seed=range(-1,3)", "between 0 and 4294967295, got -1"),
    ],
)
def test_a_sweep_without_usable_values_is_one_message(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.sub(r"[()]", r"\\\g<0>", message)) as caught:
        read_command("train", [argument], multirun=True)
    assert "\n" not in str(caught.value)


def test_glob_and_range_sweep() -> None:
    words = ["model=glob([unet_resnet*,custom],exclude=*50)", "seed=range(0,3)"]
    assert read_command("train", words, multirun=True).sweeps


def test_one_mistake_is_one_problem() -> None:
    for word in ("sourcee=photo (1).jpg", "source=${x}.png"):
        with pytest.raises(ConfigError) as caught:
            compose_checked("predict", [word, *["source=x"] * (word[:7] != "source=")])
        assert "problems" not in str(caught.value)


def test_the_home_directory_is_found_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for verb, keys in {
        "train": ["run_dir", "weights"],
        "predict": ["source", "ckpt", "output"],
        "evaluate": ["ckpt", "predictions", "root", "run_dir"],
        "export": ["ckpt", "output", "source", "root"],
        "explain": ["ckpt", "output", "source", "root"],
        "compare": ["runs"],
    }.items():
        words = [f"{key}=~/a b" for key in keys] + ["study=~x"] * (verb == "compare")
        config = compose_checked(verb, words)
        assert [config[key] for key in keys] == ["/home/me/a b"] * len(keys)
    assert config.study == "~x"
    data = ["data=folder", "data.images=x", "data.masks=y", "data.classes=[a,b]", "data.root=~/d"]
    assert compose_checked("train", data).data.root == "/home/me/d"
    with pytest.raises(ConfigError, match="no such home directory"):
        compose_checked("predict", ["source=~nobody-of-this-name/x"])


@pytest.mark.parametrize("text", TEXTS)
def test_a_printed_command_can_be_pasted(text: str) -> None:
    words = shlex.split(command("segbench.predict", {"source": text, "ckpt": "a.ckpt"}))
    assert words[:3] == ["python", "-m", "segbench.predict"]
    assert read(words[3].removeprefix("source=")) == text


@pytest.mark.parametrize("study", ["lr=0.1, wide", "2024_05_01", "x (2)", "研究"])
def test_the_report_after_a_study_is_of_that_study(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segbench import train

    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(train.subprocess, "run", run)
    words = [f"study={study}", "compare={baseline: '1_0', only: [a b]}", "logger=csv"]
    assert train.finish_study(compose_checked("train", words)) == 0
    composed = compose_checked("compare", commands[0][3:])
    assert (composed.study, composed.baseline, composed.only) == (study, "1_0", ["a b"])
    assert composed.wandb is False


@pytest.mark.parametrize(
    ("varying", "shown"),
    [
        (("model", "seed", "data"), None),
        (("loss", "seed", "model.width"), "varies=[loss]"),
        (("model.encoder_weights", "optimizer.lr", "ema"), "varies=[pretraining,optimizer,EMA]"),
        (("trainer.max_epochs",), "varies=[epochs,steps,images seen]"),
    ],
)
def test_the_next_command_names_what_a_sweep_varies(
    varying: tuple[str, ...], shown: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    from segbench import train

    assert train.finish_study(compose_checked("train", ["study=s", "logger=csv"]), varying) == 0
    words = shlex.split(capsys.readouterr().out)
    assert [word for word in words if word.startswith("varies")] == ([shown] if shown else [])
    composed = compose_checked("compare", words[words.index("segbench.compare") + 1 :])
    assert composed.study == "s"
