"""The verb: exit codes, messages, and what it does not import."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from segbench.artifacts.differences import REFUSED
from segbench.compare import compare
from segbench.comparison.comparison import compare_runs
from segbench.comparison.options import Options
from segbench.comparison.study import read_studies
from segbench.errors import DataError
from tests.comparison.fabricated import compared, config, edit
from tests.conftest import run_verb


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return run_verb("compare", "replicates=200", *words)


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


def test_a_name_that_no_run_has_is_refused(runs):
    with pytest.raises(DataError, match="costom-streets: no run has this name; did you mean"):
        compare(config(runs, only=["unet-streets", "costom-streets"]))


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
