"""`python -m segbench.benchmark`: one table, one file, every model in its own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.benchmark import benchmark
from segbench.config.compose import compose_checked, register
from segbench.config.named_models import as_list
from segbench.errors import ConfigError
from tests.comparison.fabricated import record
from tests.conftest import ROOT, python_path

QUICK = ("sizes=[[48,64]]", "batch_sizes=[1,2]", "seconds=0.05", "rounds=2", "train_batch=2")


def config(*overrides: str) -> Any:
    register()
    composed = compose_checked("benchmark", list(overrides))
    return OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])


def study_of(tmp_path: Path, node: dict[str, Any], train: Any) -> None:
    """A study with one finished training of the model `node`."""
    run = tmp_path / "runs" / "mine" / "tiny-streets" / "seed0"
    plain = OmegaConf.to_container(train, resolve=True)
    plain.pop("hydra")
    RunDirectory(run).write_result(record(name="tiny-streets", config={**plain, "model": node}))


def test_a_study_is_measured_into_the_file_that_compare_reads(
    tmp_path: Path, tiny_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"_target_": "segbench.models.unet.UNet", "width": 4, "depth": 2}
    train = tiny_config()
    train.loss.class_weights = "enet"  # a rule, as in most studies
    study_of(tmp_path, node, train)
    monkeypatch.setenv("PYTHONPATH", python_path(ROOT))
    monkeypatch.chdir(tmp_path)
    outcome = benchmark(config("study=mine", "train_steps=2", *QUICK))
    assert outcome.status == "finished"
    written = json.loads(Path("runs/mine/benchmark.json").read_text(encoding="utf-8"))
    (row,) = written["models"]
    assert row["error"] is None
    assert row["model"] == "tiny"  # all runs share the data
    assert row["num_classes"] == 11
    assert row["input"] == [48, 64]
    assert row["flops"] == 2 * row["macs"] > 0
    assert 0 < row["latency_ms"] <= row["latency_p95_ms"]
    assert row["cpu_ms"] > 0
    assert row["cpu_spread"] >= 0
    assert set(row["throughput_by_batch"]) == {"1", "2"}
    assert row["peak_memory_training_mib"] > row["peak_memory_mib"] > 0
    step = row["train_step_ms"]
    parts = [step[key] for key in ("data", "forward", "backward", "optimizer", "logging")]
    assert all(part > 0 for part in parts)
    # These are other steps than those timed as a whole, so they agree only roughly.
    assert step["total"] / 4 < sum(parts) < 4 * step["total"]


@pytest.mark.slow
def test_a_model_that_cannot_be_built_is_a_row_with_the_reason(
    tmp_path: Path, tiny_config: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    study_of(tmp_path, {"_target_": "segbench.models.unet.UNet", "width": 0}, tiny_config())
    monkeypatch.setenv("PYTHONPATH", python_path(ROOT))
    monkeypatch.chdir(tmp_path)
    outcome = benchmark(config("study=mine", "train_steps=0", *QUICK))
    assert outcome.status == "failed"
    assert "model.width: must be at least 1" in capsys.readouterr().out
    assert json.loads(Path("runs/mine/benchmark.json").read_text(encoding="utf-8"))["models"] == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), "set either model=NAME,NAME or study=NAME"),
        (("models=[unett]",), "there is no model 'unett'; did you mean 'unet'"),
        (("models=[unet]", "modes=[bf17]"), "'bf17' in 'bf17' is not one of"),
        (("models=[unet]", "sizes=[360]"), r"sizes: must be a list of \[H, W\]"),
        (("study=nothing",), "runs/nothing contains no finished run"),
        (("models=[unet]", "output=README.md"), "output: must be a .json file, not README.md"),
    ],
)
def test_a_wrong_command_is_explained(overrides: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        benchmark(config(*overrides))


def test_an_output_that_is_a_folder_is_refused_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "costs.json").mkdir()
    with pytest.raises(ConfigError, match=r"output: .*costs\.json is a folder; name a file in it"):
        benchmark(config("models=[unet]", f"output={tmp_path}/costs.json"))
    with pytest.raises(ConfigError, match=r"output: must be a \.json file"):
        benchmark(config("models=[unet]", f"output={tmp_path}"))


def test_models_are_listed_with_commas_as_in_a_sweep() -> None:
    assert as_list("model=unet,fcn") == "models=[unet,fcn]"
    assert as_list("model=[unet]") == "models=[unet]"
    assert as_list("model=all") == "models=[all]"
    assert as_list("data=camvid11") == "data=camvid11"
