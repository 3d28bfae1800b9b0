"""Tuning: the same search for each model, on val only, and its values in the comparison."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hydra.core.config_store import ConfigStore

from segbench.artifacts.run_directory import RunDirectory
from segbench.config.compose import compose_checked, register
from segbench.errors import ConfigError
from segbench.training.tuned_values import write_tuned
from tests.comparison.fabricated import record
from tests.conftest import TINIEST, run_verb

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

# AdamW that fails above a learning rate, like a training that diverges, until REPAIRED is set.
FRAGILE = """
import os
from segbench.training.optim import adamw

def fragile(model, lr, **others):
    if lr > 0.0015 and "REPAIRED" not in os.environ:
        raise ValueError("this rate does not work")
    return adamw(model, lr, **others)
"""
TINY = (
    *TINIEST,
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "samples=0",
    "logger=csv",
)


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def reported(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose_checked("tune_streets", list(overrides), multirun=True)
    return str(caught.value)


def test_every_model_gets_the_same_search_without_a_test_score() -> None:
    config = compose_checked("tune_streets", [])
    sweeper = config.hydra.sweeper
    assert config.test is False
    assert sweeper.direction == "maximize"
    assert sweeper.sampler.seed is not None
    assert set(sweeper.params) == {"model", "seed", "optimizer.lr", "optimizer.weight_decay"}
    compared = compose_checked("streets_small", []).hydra.sweeper.params.seed.split(",")
    assert str(sweeper.params.seed) not in compared


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    compose_checked("tune_streets", [])
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["sweeper"], "optuna.yaml")
    assert 'pip install "segbench[tune]"' in reported()
    with pytest.raises(ConfigError, match=r"pip install .segbench\[tune\]"):
        compose_checked("train", ["hydra/sweeper=optuna"], multirun=True)


def test_a_search_for_the_worst_values_or_the_luckiest_seed_is_refused() -> None:
    assert "set it to maximize" in reported("hydra.sweeper.direction=minimize")
    assert "seed: tuning over seeds would select the luckiest" in reported("seed=0,1")
    assert "did you mean 'lr'" in reported("optimizer.lrr=interval(0.1,0.2)")
    assert "there is no model 'unett'" in reported("model=custom,unett")


def test_a_comparison_without_tuned_values_says_so(tmp_path: Path) -> None:
    done = multirun(tmp_path, "-cn", "tuned_streets")
    assert done.returncode == 2
    assert done.stderr == (
        "segbench.train: error: tuned_streets: there are no tuned values of 'custom'; "
        "run the study that tunes it first\n"
    )


def trial(folder: Path, lr: float, score: float | None, status: str = "finished") -> None:
    found = record()
    scores = {"val": replace(found.scores["test"], mIoU=score)} if score is not None else {}
    config = {"optimizer": {"lr": lr, "betas": [0.9, 0.999]}, "loss": {}}
    RunDirectory(folder / f"lr{lr}").write_result(
        replace(found, status=status, scores=scores, config=config)
    )


def test_the_best_finished_trial_is_handed_over_with_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "unet-streets"
    assert write_tuned(folder, {"model": "unet"}) == 1
    assert "no trial has finished" in capsys.readouterr().out
    trial(folder, 0.1, 0.3)
    trial(folder, 0.2, 0.5)
    trial(folder, 0.3, 0.9, status="running")
    trial(folder, 0.4, None, status="failed")
    record = {"best_params": {"optimizer.lr": 0.2, "loss": "dice"}}
    (folder / "optimization_results.yaml").write_text(yaml.safe_dump(record))
    assert write_tuned(folder, {"model": "unet", "loss": "ce"}) == 0
    text = (tmp_path / "tuned/unet.yaml").read_text()
    assert text.startswith("# @package _global_\n")
    found = yaml.safe_load(text)
    assert found.pop("defaults") == [{"override /loss": "dice"}]
    assert found == {"tuning_trials": 2, "optimizer": {"lr": 0.2}}
    assert "2 more failed or were interrupted" in capsys.readouterr().out


def multirun(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_verb("train", "-m", *words, *TINY, cwd=folder, **environment)


@pytest.mark.slow
def test_two_models_are_tuned_alike_and_compared_under_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    models = ("custom", "lraspp_mobilenet_v3_large")
    tuning = (
        *("-cn", "tune_streets", f"model={','.join(models)}"),
        *("hydra.sweeper.n_trials=2", "optimizer._target_=fragile.fragile"),
    )
    tuned = {model: tmp_path / f"runs/tune_streets/tuned/{model}.yaml" for model in models}

    first = multirun(tmp_path, *tuning)  # the second trial of each fails
    assert first.returncode == 1
    assert "Traceback" not in first.stderr.partition("this rate does not work")[0]
    assert first.stdout.count("1 of 2 jobs failed") == 2
    for file in tuned.values():
        assert yaml.safe_load(file.read_text())["tuning_trials"] == 1

    second = multirun(tmp_path, *tuning, REPAIRED="yes")
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("is already finished: val mIoU") == 2
    assert "optuna" not in (second.stdout + second.stderr).lower(), "noise of a library"
    rates = {}
    for model, file in tuned.items():
        runs = [
            RunDirectory(found.parent)
            for found in sorted(  # on equal scores the first one counts
                (tmp_path / f"runs/tune_streets/{model}-streets").glob("*/result.json")
            )
        ]
        results = [run.read_result() for run in runs]
        assert all(set(result.scores) == {"val"} for result in results)
        assert not any(run.confusion_file.exists() for run in runs)
        rates[model] = {result.config["optimizer"]["lr"] for result in results}
        best = max(results, key=lambda result: result.scores["val"].mIoU)
        values = yaml.safe_load(file.read_text())
        assert values.pop("tuning_trials") == 2
        assert values == {
            "optimizer": {key: best.config["optimizer"][key] for key in ("lr", "weight_decay")}
        }
    assert rates[models[0]] == rates[models[1]], "the first points are the same for all"
    assert len(rates[models[0]]) == 2

    compared = ("-cn", "tuned_streets", f"model={','.join(models)}", "seed=0,1")
    done = multirun(tmp_path, *compared, f"compare.baseline={models[1]}")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "runs/tuned_streets"
    for model, file in tuned.items():
        result = RunDirectory(study / f"{model}-streets/seed1").read_result()
        assert result.budget.tuning_trials == 2
        values = yaml.safe_load(file.read_text())["optimizer"]
        assert result.config["optimizer"].items() >= values.items()
    audit = json.loads((study / "report/comparison.json").read_text())["audit"]
    (trials,) = [finding for finding in audit if finding["field"] == "tuning trials"]
    assert (trials["grade"], set(trials["values"].values())) == ("note", {"2"})
    assert all(f["grade"] == "note" for f in audit if f["field"] == "optimizer")
