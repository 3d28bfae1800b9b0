"""The verb: exit codes, messages, and what it does not import."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segbench.artifacts.differences import REFUSED
from segbench.compare import compare
from segbench.comparison.comparison import Options, compare_runs
from segbench.comparison.study import read_studies, read_study
from segbench.config.compare_schema import CompareConfig
from segbench.errors import ConfigError, DataError
from tests.comparison.fabricated import edit, write_study
from tests.conftest import run_verb


@pytest.fixture
def runs(tmp_path):
    path = write_study(tmp_path, {"custom": 1.0, "unet": 0.0}, seeds=2, name="mine")
    for seed in (0, 1):
        edit(path / "unet-streets" / f"seed{seed}", "params", 1_000_000)
    return tmp_path


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return run_verb("compare", "replicates=200", *words)


def config(runs, **changes):
    values = {"study": "mine", "runs": str(runs), "replicates": 200, "wandb": False, **changes}
    return OmegaConf.merge(OmegaConf.structured(CompareConfig), values)


def test_a_clean_study_ends_with_zero_and_a_verdict(runs):
    done = call("study=mine", f"runs={runs}", "wandb=false", "strict=true")
    assert done.returncode == 0, done.stderr
    assert "custom is better than unet" in done.stdout
    assert (runs / "mine/report/index.html").is_file()


def test_a_broken_file_is_named_and_ends_with_one(runs, capsys):
    (runs / "mine/unet-streets/seed1/result.json").write_text("{")
    assert compare(config(runs)) == 1
    assert "unet-streets/seed1: result.json is corrupt" in capsys.readouterr().out


def test_strict_fails_where_the_audit_finds_more_than_notes(runs):
    edit(runs / "mine/unet-streets/seed1", "budget.steps", 7)
    assert compare(config(runs)) == 0
    assert compare(config(runs, strict=True)) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (
            {"kind": "evaluate", "budget": {}, "params": None, "config": {"predictions": "x"}},
            "unet (predictions)",
        ),
        ({"budget.epochs": 0, "config.model.path": "PUBLISHED"}, "unet (not trained here)"),
    ],
)
def test_a_single_entrant_whose_training_is_unknown(runs, capsys, changes, name):
    """It gets an interval over images only, labeled so, and no verdict."""
    for seed in (0, 1):
        for key, value in changes.items():
            edit(runs / f"mine/unet-streets/seed{seed}", key, value)
    if "kind" in changes:  # one of them; the other counts once anyway
        shutil.rmtree(runs / "mine/unet-streets/seed1")
    compare(config(runs))
    printed = " ".join(capsys.readouterr().out.split())
    assert "No verdict: one seed of unet is not enough." in printed
    assert "The interval does not include the variance over seeds." in printed
    report = (runs / "mine/report/report.md").read_text()
    (row,) = (line for line in report.splitlines() if line.startswith(f"| {name} |"))
    assert re.search(r"\| \d+\.\d to \d+\.\d \(images only\) \| – \| 1 \|", row)
    row = next(line for line in report.splitlines() if line.startswith("| custom |"))
    assert "images only" not in row
    assert "one seed: no verdict" in report
    page = (runs / "mine/report/index.html").read_text()
    assert name.partition("(")[2].rstrip(")") in page
    assert "one seed: the interval contains only the variance over images" in page


# What no table may mix: changes of result.json that differ only in this respect.
REFUSED_CHANGES = {
    "data fingerprint": {"data_info.fingerprint.test": "ffff"},
    "fold": {"config.data.folds": 5},
    "label protocol": {"data_info.protocol": "streets-19"},
    "comparable with published numbers": {"data_info.comparable": True},
    "split": {"data_info.split": "val", "data_info.fingerprint.val": "4e5f"},
    "classes": {"classes.names": ["road", "building", "sky", "vegetation", "car", "post"]},
    "resolution of the scores": {"protocol.resolution": "resized"},
    # every class is present, so that the scores do not change with the policy
    "policy for absent classes": {"protocol.absent_classes": "zero"},
    "policy for void predictions": {"protocol.void_prediction": "ignored"},
}


@pytest.mark.parametrize("name", REFUSED_CHANGES)
def test_runs_of_different_protocols_never_share_a_table(runs, name):
    folder = runs / "mine/unet-streets/seed1"
    if name == "split":
        edit(
            folder, "scores.val", json.loads((folder / "result.json").read_text())["scores"]["test"]
        )
    if name == "classes":  # of the scores, too, which are compared with the counts
        file = folder / "result.json"
        file.write_text(file.read_text().replace('"pole"', '"post"'))
    for key, value in REFUSED_CHANGES[name].items():
        edit(folder, key, value)
    with pytest.raises(DataError, match="are not comparable: they differ in") as error:
        compare(config(runs))
    assert f"\n  - {name}: " in str(error.value)
    assert str(error.value).count("\n  - ") == 1, "one difference, one line"
    assert "only=[NAME,...]" in str(error.value)


def test_everything_that_must_be_equal_is_tested():
    assert {rule.name for rule in REFUSED} == set(REFUSED_CHANGES)


def test_mistakes_are_explained_and_end_with_two(runs):
    done = call("study=mine", f"runs={runs}", "varies=[losss]")
    assert done.returncode == 2
    assert "varies: losss: not audited" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(DataError, match="no such study"):
        compare(config(runs, study="other"))


def test_wandb_gets_a_run_of_job_type_compare(runs):
    pytest.importorskip("wandb")
    assert compare(config(runs, wandb=True)) == 0
    (folder,) = (runs / "mine/wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(folder)]
    recorded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "compare/leaderboard" in recorded
    assert "custom is better than unet" in recorded


def test_it_starts_without_torch(runs):
    code = (
        "import json, sys; sys.argv = ['compare', 'study=mine', 'runs=%s', 'wandb=false', "
        "'replicates=200']\nimport atexit\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules))))\n"
        "import runpy; runpy.run_module('segbench.compare', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code % runs], capture_output=True, text=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "segbench.comparison.report" in modules
    assert not {"torch", "pytorch_lightning", "wandb"} & set(modules)


def compared(runs, **options):
    return compare_runs(read_study(runs / "mine"), Options(replicates=100, **options))


def with_margin(runs, points=1.0, baseline="unet", only=("custom", "unet")):
    """Writes into the runs of these models that the study was trained under a margin."""
    for label in only:
        for seed in (0, 1):
            folder = runs / f"mine/{label}-streets/seed{seed}"
            edit(folder, "config.compare", {"margin": points, "baseline": baseline})


def margin_of(runs):
    return json.loads((runs / "mine/report/comparison.json").read_text())["margin"]


def test_a_margin_of_the_study_file_is_used_and_known_to_be_fixed_in_advance(runs, capsys):
    with_margin(runs)
    assert compare(config(runs)) == 0
    found = margin_of(runs)
    assert (found["points"], found["baseline"], found["fixed"]) == (1.0, "unet", True)
    assert [row["verdict"] for row in found["models"]] == ["better"]
    assert "before the first run" in capsys.readouterr().out
    assert "As good as unet?" in (runs / "mine/report/index.html").read_text()


@pytest.mark.parametrize(
    ("stated", "given", "words"),
    [
        ({}, {"margin": 2.0}, "trained under 1 points of mIoU against unet"),
        ({"only": ("unet",)}, {"margin": 1.0}, "Some runs were trained under another margin"),
        ({"points": None}, {"margin": 1.0}, "It was given after the runs"),
        ({"points": True}, {"margin": 1.0}, "It was given after the runs"),
        ({"baseline": "custom"}, {"margin": 1.0}, "against custom"),
    ],
)
def test_a_margin_that_was_not_fixed_in_advance_is_called_exploratory(runs, stated, given, words):
    with_margin(runs, **stated)
    found = compared(runs, baseline="unet", **given)["margin"]
    assert not found["fixed"]
    assert words in found["note"]
    assert "exploratory" in found["note"]


def as_evaluations(runs, label="*", **compare):
    """Makes runs scores of checkpoints whose trainings were started with these keys."""
    for folder in (runs / "mine").glob(f"{label}-streets/seed*"):
        config = json.loads((folder / "result.json").read_text())["config"]
        training = {
            "config": config | {"study": "town", "compare": compare},
            "fingerprint": {"train": "0a1b", "val": "2c3d"},
            "devices": 1,
            "weights": f"{folder.parent.name}{folder.name}",
        }
        values = {"kind": "evaluate", "training": training, "protocol.source": "ckpt=x.ckpt"}
        values |= {"budget": {}, "config": {"ckpt": "x.ckpt"}}
        for key, value in values.items():
            edit(folder, key, value)


def test_a_margin_is_known_where_checkpoints_are_scored_later(runs):
    as_evaluations(runs, margin=1.0, baseline="unet")
    found = compared(runs)["margin"]
    assert (found["points"], found["baseline"], found["fixed"]) == (1.0, "unet", True)
    assert found["note"] == "It was fixed in the study town before the first run."
    later = compared(runs, margin=3.0)["margin"]
    assert not later["fixed"]
    assert "trained under 1 points of mIoU against unet: read it as exploratory" in later["note"]


def test_one_checkpoint_without_the_margin_makes_it_exploratory(runs):
    as_evaluations(runs, margin=1.0, baseline="unet")
    edit(runs / "mine/unet-streets/seed1", "training.config.compare", None)
    found = compared(runs)
    assert found["margin"] is None
    (entry,) = [entry for entry in found["audit"] if entry["field"] == "margin"]
    assert entry["grade"] == "weakens"
    assert "1 points of mIoU against unet (seed 0" in entry["values"]["unet"]
    assert entry["values"]["unet"].endswith("none (seed 1)")
    note = compared(runs, margin=1.0, baseline="unet")["margin"]["note"]
    assert "Some runs were trained under another margin" in note


def test_a_margin_whose_baseline_is_left_out_is_named_and_not_tested(runs):
    with_margin(runs, baseline="fcn")
    found = compared(runs)
    assert found["margin"] is None
    (entry,) = [entry for entry in found["audit"] if entry["field"] == "margin"]
    assert "margin of 1 points against fcn, which has no run here" in entry["why"]


def test_a_margin_of_another_score_is_exploratory(runs):
    with_margin(runs)
    found = compared(runs, metric="mDice")["margin"]
    assert not found["fixed"]
    assert "1 points of mIoU against unet" in found["note"]
    for folder in (runs / "mine").glob("*/seed*"):
        edit(folder, "config.compare.metric", "mDice")
    assert compared(runs, metric="mDice")["margin"]["fixed"]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "101", "1e-9", "true", "wide"])
def test_a_margin_that_is_none_is_refused(compose, value):
    with pytest.raises((ConfigError, OmegaConfBaseException), match="margin"):
        compose("compare", "study=mine", "baseline=unet", f"margin={value}")


def test_a_name_that_no_run_has_is_refused(runs):
    with pytest.raises(DataError, match="costom-streets: no run has this name; did you mean"):
        compare(config(runs, only=["unet-streets", "costom-streets"]))


def test_a_margin_needs_a_baseline(runs):
    with pytest.raises(ConfigError, match="add baseline=MODEL, one of custom, unet"):
        compare(config(runs, margin=1.0))
    with pytest.raises(DataError, match="baseline=fcn has no finished run"):
        compare(config(runs, margin=1.0, baseline="fcn"))


def test_costs_say_who_is_dominated(runs):
    costs = [
        {"model": "custom", "device": "A", "params": 1e6, "latency_ms": 3.0, "latency_spread": 0.1},
        {"model": "unet", "device": "A", "params": 3e6, "latency_ms": 3.2, "latency_spread": 0.2},
    ]
    (runs / "mine/benchmark.json").write_text(json.dumps({"models": costs}))
    assert compare(config(runs)) == 0
    found = json.loads((runs / "mine/report/comparison.json").read_text())["domination"]
    status = {(row["measure"], row["model"]): (row["status"], row["by"]) for row in found}
    assert status == {
        ("latency_ms", "custom"): ("not dominated", []),
        ("latency_ms", "unet"): ("open", ["custom"]),  # 2.85 to 3.15 ms and 2.88 to 3.52 ms
        ("params", "custom"): ("not dominated", []),
        ("params", "unet"): ("dominated", ["custom"]),
    }


def test_evaluated_checkpoints_are_audited_as_their_trainings(runs):
    as_evaluations(runs)
    assert compared(runs)["audit"] == []
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.config.weights", "imagenet.pth")
        edit(folder, "training.config.optimizer.lr", 0.1)
        edit(folder, "training.config.trainer.max_epochs", 40)
        edit(folder, "training.config.data.batch_size", 16)
        edit(folder, "training.fingerprint.train", "ffff")
        edit(folder, "protocol.inference.mode", "slide")
    found = compared(runs)
    assert [(entry["field"], entry["grade"]) for entry in found["audit"]] == [
        ("training data", "invalidates"),
        ("pretraining", "invalidates"),
        ("inference", "weakens"),
        ("optimizer", "weakens"),
        ("epochs", "weakens"),
        ("effective batch size", "weakens"),
    ]
    assert "invalid: the runs differ in training data and pretraining" in found["verdict"]


def test_a_checkpoint_that_is_scored_twice_is_one_training(runs):
    as_evaluations(runs)
    first = runs / "mine/unet-streets/seed0"
    edit(runs / "mine/unet-streets/seed1", "training.config.seed", 0)
    (entry,) = compared(runs)["left_out"]
    assert entry["path"] == "unet-streets/seed1"
    assert entry["reason"].startswith(f"it scores the training of {first} again")


def test_a_baseline_may_be_named_as_its_runs_are(runs):
    assert compared(runs, baseline="unet-streets")["baseline"] == "unet"


def test_a_foreign_name_with_a_dash_does_not_rename_the_others(runs):
    shutil.copytree(runs / "mine/unet-streets", runs / "mine/their-model")
    for number, folder in enumerate(sorted((runs / "mine/their-model").glob("seed*"))):
        for key, value in {"name": "their-model", "model": None, "kind": "evaluate",
                           "seed": number, "config": {}, "budget": {}}.items():  # fmt: skip
            edit(folder, key, value)
    labels = {row["label"] for row in compared(runs, baseline="unet")["leaderboard"]}
    assert labels == {"custom", "unet", "their-model"}


def test_what_only_leaves_out_is_in_the_report(runs):
    (study,) = read_studies([runs / "mine"], ["unet-streets"])
    found = compare_runs(study, Options(replicates=200))
    (entry,) = found["left_out"]
    assert (entry["path"], entry["broken"]) == ("custom-streets", False)
    assert "only=[...]" in entry["reason"]


def test_what_a_checkpoint_does_not_tell_is_no_difference(runs):
    as_evaluations(runs, "unet")
    assert compared(runs)["audit"] == []
    for folder in (runs / "mine/unet-streets").glob("seed*"):
        edit(folder, "training.config.trainer.max_epochs", 40)  # the limit, not what was reached
        edit(folder, "training.fingerprint", {})  # as in files of earlier versions
        edit(folder, "training.devices", None)
    assert compared(runs)["audit"] == []


def test_a_checkpoint_scored_on_the_images_that_chose_it_is_named(runs):
    as_evaluations(runs)
    for folder in (runs / "mine").glob("*/seed*"):
        edit(folder, "training.fingerprint.val", "4e5f")  # that of test
    (entry,) = compared(runs)["audit"]
    assert entry["field"] == "selection on test"


def test_a_training_and_its_checkpoint_are_one_seed(runs):
    copy = runs / "mine/unet-streets/seed7"
    shutil.copytree(runs / "mine/unet-streets/seed0", copy)
    edit(copy, "seed", 7)
    config = json.loads((copy / "result.json").read_text())["config"]
    training = {"config": config, "fingerprint": {}, "devices": 1, "weights": "x"}
    for key, value in {"kind": "evaluate", "training": training}.items():
        edit(copy, key, value)
    counts = copy / "confusion.npz"
    shutil.copy(runs / "mine/unet-streets/seed1/confusion.npz", counts)
    edit(
        copy,
        "scores",
        json.loads((runs / "mine/unet-streets/seed1/result.json").read_text())["scores"],
    )
    (entry,) = compared(runs)["left_out"]
    assert entry["path"] == "unet-streets/seed7"


def test_a_margin_against_a_full_name_is_fixed(runs):
    with_margin(runs, baseline="unet-streets")
    found = compared(runs)["margin"]
    assert (found["baseline"], found["fixed"]) == ("unet", True)
