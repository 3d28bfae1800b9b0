"""Every config of the project fits the code; all problems of a wrong one are reported together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segbench.config import config_dir, extras, studies_dir
from segbench.config.compose import compose_checked, for_sweeper, register
from segbench.errors import ConfigError
from tests.conftest import ROOT, python_path

STUDIES = sorted(file.stem for file in studies_dir().glob("*.yaml"))
VERBS = sorted(file.stem for file in config_dir().glob("*.yaml"))
HEAVY = {
    "albumentations",
    "cv2",
    "numpy",
    "pytorch_lightning",
    "segmentation_models_pytorch",
    "torch",
    "wandb",
}


def _groups_of(verb: str) -> list[str]:
    """The groups in the defaults list of a verb."""
    text = (config_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    return [g.name for g in sorted(config_dir().iterdir()) if f"\n  - {g.name}:" in text]


CHOICES = [
    (verb, f"{group}={file.stem}")
    for verb in VERBS
    for group in _groups_of(verb)
    for file in sorted((config_dir() / group).glob("*.yaml"))
]


@pytest.fixture(autouse=True)
def every_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configs are checked for packages that are not installed here."""
    monkeypatch.setattr(extras, "find_spec", lambda package: True)


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def problems(*overrides: str, name: str = "train", multirun: bool = False) -> list[str]:
    """The problems reported for a command, without the bullets."""
    with pytest.raises(ConfigError) as caught:
        compose_checked(name, list(overrides), multirun)
    first, *rest = str(caught.value).splitlines()
    return [line.removeprefix("  - ") for line in rest] if rest else [first]


def _mandatory_only(config_name: str, overrides: list[str]) -> None:
    """Composes; the only allowed problem is a value that the user must set."""
    try:
        compose_checked(config_name, overrides)
    except ConfigError as error:
        reported = [
            text for text in str(error).splitlines() if "problems in the config" not in text
        ]
        assert all("is not set; set it on the command line" in text for text in reported), reported


@pytest.mark.parametrize(("verb", "choice"), CHOICES, ids=[f"{v} {c}" for v, c in CHOICES])
def test_every_option_of_every_group_fits_its_code(verb: str, choice: str) -> None:
    _mandatory_only(verb, [choice, *(["model=eomt_vit_small"] if choice == "loss=own" else [])])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_composes(verb: str) -> None:
    _mandatory_only(verb, [])


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_fits_its_code_with_all_values_it_sweeps_over(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if study == "tune_streets":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    tuned = tmp_path / "runs" / "tune_streets" / "tuned"
    tuned.mkdir(parents=True)
    for model in ("custom", "unet_resnet18"):
        (tuned / f"{model}.yaml").write_text("# @package _global_\noptimizer:\n  lr: 0.002\n")
    monkeypatch.chdir(tmp_path)
    _mandatory_only(study, [])


def test_every_group_is_used_by_a_verb() -> None:
    folders = {folder.name for folder in config_dir().iterdir() if folder.is_dir()}
    used = {group for verb in VERBS for group in _groups_of(verb)}
    assert folders - used <= {"pipeline"}, "pipeline is what every data config includes"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=unet", "modle: there is no key 'modle' in the config; did you mean 'model'?"),
        ("model=unett", "model: there is no model 'unett'; did you mean 'unet'?"),
        ("+model=unet", "model has an option already; to replace it, write model=unet"),
        ("sede=3", "sede: there is no key 'sede' in the config; did you mean 'seed'?"),
        (
            "data.batchsize=3",
            "data.batchsize: there is no key 'batchsize' in 'data'; did you mean 'batch_size'?",
        ),
        (
            "optimzer.lr=3",
            "optimzer.lr: there is no key 'optimzer' in the config; did you mean 'optimizer'?",
        ),
        ("seed=abc", "seed=abc: expected int"),
        ("seed=1,,2", "seed='1,,2': a value is missing before or after a comma"),
        ("model=unet,,fcn", "model='unet,,fcn': a value is missing before or after a comma"),
        ("model=unet,", "model='unet,': a value is missing before or after a comma"),
        ("test=maybe", "test=maybe: expected true or false"),
        ("name=a/b", "name: 'a/b' is not a valid folder name on every system"),
        ("ema.decay=0.9", "ema.decay: ema has no keys; write ema=VALUE"),
        ("+early_stopping.patience=3", "early_stopping has no keys; write early_stopping=VALUE"),
        ("augment.x=1", "augment.x: augment is null; choose one first, augment=clahe|elastic|"),
        ("optimizer.lr.x=3", "optimizer.lr is 0.001, which has no keys; write optimizer.lr=VALUE"),
        ("data.size=24,33", "a list needs brackets, data.size=[24,33]; text that contains a comma"),
        ("gpus=1", "there is no key 'gpus' in the config; did you mean trainer.devices?"),
        ("device=cpu", "there is no key 'device' in the config; did you mean trainer?"),
        ("logger=csv,wandb", "which needs -m; both at once are logger=[csv,wandb]"),
        ("logger=[csv,wandbb]", "logger: there is no logger 'wandbb'; did you mean 'wandb'?"),
        (
            "+trainer.callbacks=3",
            "trainer.callbacks: must not be set here: write callbacks= without trainer",
        ),
        ("model=", "model: is not set; set it on the command line as model=OPTION, one of "),
        ("ckpt=a.ckpt", "'ckpt' in the config; it is a key of segbench.evaluate, segbench.predict"),
        ("lr=3", "lr: there is no key 'lr' in the config; did you mean optimizer.lr?"),
        ("epochs=3", "there is no key 'epochs' in the config; did you mean trainer.max_epochs?"),
        ("model.encoder_depth=deep", "model.encoder_depth: expected int, got 'deep'"),
        ("optimizer.lr=true", "optimizer.lr: expected float, got True"),
        ("data.crop_size=256", "data.crop_size: expected [int, int] or null, got 256"),
        ("trainer.max_epochs=3.5", "trainer.max_epochs: expected int or null, got 3.5"),
        ("selection=frist", "selection: 'frist' is not one of best, last"),
        (
            "+trainer.max_epoch=3",
            "trainer.max_epoch: pytorch_lightning.Trainer has no argument 'max_epoch'; "
            "did you mean 'max_epochs'?",
        ),
        (
            "+model.decoder_chanels=[1]",
            "model.decoder_chanels: segbench.models.smp.unet has no argument "
            "'decoder_chanels'; did you mean 'decoder_channels'?",
        ),
        (
            "+model.num_classes=3",
            "model.num_classes: must not be set here: it comes from the data set; remove it",
        ),
        (
            "+loss.ignore_index=0",
            "loss.ignore_index: must not be set here: it comes from the data set; remove it",
        ),
        ("data=folder", "data.root: is not set; set it on the command line as data.root=VALUE"),
        (
            "model._target_=segbench.models.unet.Unet",
            "model._target_: 'segbench.models.unet' has no 'Unet'; did you mean 'UNet'?",
        ),
        (
            "model._target_=segbenhc.models.unet.UNet",
            "model._target_: there is no package 'segbenhc'; is it installed?",
        ),
    ],
)
def test_one_mistake_is_explained(override: str, message: str) -> None:
    assert message in problems(override)[0]


def test_all_mistakes_are_reported_together() -> None:
    words = ("seed=x", "unett", "data.batch_size", "ignore_index", "KEY=VALUE")
    reported = problems(
        "seed=x", "model=unett", "data.batch_size=two", "+loss.ignore_index=0", "seed"
    )
    assert len(reported) == len(words)
    for word in words:
        assert any(word in text for text in reported), f"{word} is not in {reported}"


def test_keys_of_an_unknown_option_are_not_checked_against_another_option() -> None:
    own = "Or put your own in ./conf/model/unett.yaml"
    assert problems("model=unett", "model.width=16") == [
        f"model: there is no model 'unett'; did you mean 'unet'? {own}"
    ]


def test_the_verb_prints_the_problems_without_a_traceback_and_ends_with_2() -> None:
    done = _run("segbench.train", "model=unett", "sede=1")
    assert done.returncode == 2
    assert done.stderr.startswith("segbench.train: error: 2 problems in the config:\n")
    assert "Traceback" not in done.stderr


def test_an_empty_value_of_a_sweep_is_named():
    (reported,) = problems("model=unet,,fcn", "data=streets", multirun=True)
    assert reported == "model=unet,'',fcn: a value is missing before or after a comma"


def test_every_value_of_a_sweep_is_checked() -> None:
    reported = problems("model=unet,unett", "seed=0,one", "data.batch_size=2,two", multirun=True)
    assert len(reported) == 3
    for word in ("unett", "one", "two"):
        assert any(word in text for text in reported), f"{word} is not in {reported}"


def test_a_study_that_sweeps_accepts_other_values_without_m() -> None:
    words = ("model=unet,unet_resnet18", "seed=5,6")
    assert compose_checked("streets_small", [*words]).seed == 5
    assert "needs -m" in problems(*words, "hydra.mode=RUN", name="streets_small")[0]
    (reported,) = problems("seed=5,x", name="streets_small")
    assert "x" in reported


def test_a_sweep_without_m_is_explained() -> None:
    for override in ("seed=0,1", "model=unet,fcn"):
        assert "several values form a sweep, which needs -m" in problems(override)[0]


def test_the_root_of_data_that_have_none_is_explained() -> None:
    assert "is generated and has no folder" in problems("data.root=/x")[0]


def test_the_keys_of_a_swept_option_are_checked_with_each_option() -> None:
    (reported,) = problems("model=unet,unet_resnet34", "model.width=8", multirun=True)
    assert reported.startswith("model.width: there is no key 'width' in 'model'; known: ")
    assert reported.endswith("(with model=unet_resnet34)")


def test_an_override_may_fit_only_the_swept_option() -> None:
    """Hydra's first compose contains the default model, which has no width."""
    words = ["model=unet,custom", "model.width=8", "+model.name='a,b'", "seed=0,1", "samples=0"]
    late = ["model.width=choice(8)", "+model.name='a,b'"]
    assert for_sweeper("train", words) == [words[0], *late, *words[3:]]
    assert for_sweeper("streets_small", ["seed=5,6"]) == ["seed=5,6"]


def test_an_unknown_study_lists_the_studies() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_checked("custom_vs_unett", [])
    assert "there is no study 'custom_vs_unett'; did you mean 'custom_vs_unet'?" in str(
        caught.value
    )
    for study in STUDIES:
        assert study in str(caught.value)


def test_studies_of_the_working_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    study = tmp_path / "experiments" / "mine.yaml"
    study.write_text("defaults: [train, _self_]\nstudy: mine\nseed: 7\n")
    monkeypatch.chdir(tmp_path)
    assert compose_checked("mine", []).seed == 7
    assert "mine" in problems(name="other")[-1]


def test_a_further_folder_of_configs_is_searched(tmp_path: Path) -> None:
    (tmp_path / "more" / "model").mkdir(parents=True)
    text = (config_dir() / "model" / "unet.yaml").read_text(encoding="utf-8")
    (tmp_path / "more" / "model" / "mine.yaml").write_text(text.replace("width: 64", "width: 7"))
    assert "there is no model 'mine'" in problems("model=mine")[0]
    done = _run("segbench.train", "--config-dir", str(tmp_path / "more"), "model=mine", "sede=1")
    assert "error: sede: there is no key" in done.stderr  # and nothing of the model
    register(str(tmp_path / "more"))
    assert compose_checked("train", ["model=mine"]).model.width == 7


def test_a_mistake_inside_a_study_is_explained_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "experiments" / "mine.yaml"
    study.write_text("defaults: [train, _self_]\nsede: 7\n")
    assert "sede" in problems(name="mine")[0]
    study.write_text("defaults: [train, {override model: unett}, _self_]\n")
    assert "unett" in problems(name="mine")[0]
    study.write_text("defaults: [train, _self_]\nseed: [7\n")
    assert "mine.yaml" in problems(name="mine")[0]


def test_help_lists_every_group_and_imports_nothing_heavy() -> None:
    done = _run("segbench.train", "--help", report_modules=True)
    for group in _groups_of("train"):
        assert f"\n{group}: " in done.stdout, f"--help does not list {group}"
    assert not _modules(done) & {*HEAVY, "hydra"}, "--help is to take no time"


def test_a_config_error_imports_nothing_heavy() -> None:
    done = _run("segbench.train", "model.width=x", "seed=y", report_modules=True)
    assert done.returncode == 2
    assert not _modules(done) & HEAVY


def test_the_package_lists_its_verbs() -> None:
    done = _run("segbench", report_modules=True)
    assert done.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in done.stdout
    assert not _modules(done) & HEAVY


def _run(module: str, *arguments: str, report_modules: bool = False) -> subprocess.CompletedProcess:
    """Runs a module as a command; `-X importtime` reports on stderr what it imports."""
    options = ["-X", "importtime"] if report_modules else []
    return subprocess.run(
        [sys.executable, *options, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": python_path(ROOT)},
    )


def _modules(done: subprocess.CompletedProcess) -> set[str]:
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines, done.stderr
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_recipes_follow_their_sources(compose):
    pidnet = compose("train", "recipe=pidnet", "data=cityscapes")
    assert pidnet.data.cat_max_ratio == 0.75
    assert pidnet.data.color_jitter == 0.5
    mmseg = compose("train", "recipe=mmseg_cnn", "data=cityscapes")
    assert mmseg.optimizer.lr * mmseg.scheduler.min_factor == pytest.approx(1e-4)
