"""The commands as Python functions: typed results, errors that are raised, a light import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

import segbench
from segbench.artifacts.result import Result
from segbench.errors import ConfigError, DataError
from tests.conftest import ROOT, python_path

SMALL: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
    "data.size": (16, 24),
    "data.train": 4,
    "data.val": 2,
    "data.test": 12,
    "data.num_workers": 0,
    "data.batch_size": 2,
    "data.cache": "none",
    "logger": ["csv"],
    "samples": 0,
}


def test_a_study_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = [
        segbench.train(model, study="2024_05_01", **SMALL, **{"model.width": width})
        for model, width in (("unet", 4), ("custom", 8))
    ]
    assert all(isinstance(result, Result) for result in results)
    assert results[0].status == "finished"
    assert results[0].study == "2024_05_01"
    assert results[0].scores["test"].mIoU is not None
    again = segbench.train("unet", study="2024_05_01", **SMALL, **{"model.width": 4})
    assert again == results[0]  # a finished run is left alone

    ckpt = tmp_path / "runs/2024_05_01/unet-streets/seed0/checkpoints/best.ckpt"
    scored = segbench.evaluate(ckpt, split="val", gallery=0, num_workers=0, calibration=False)
    assert scored.kind == "evaluate"
    assert scored.scores["val"].mIoU == pytest.approx(results[0].scores["val"].mIoU)

    found = segbench.compare("2024_05_01", baseline="unet", replicates=200)
    assert {model.name for model in found.models} == {"unet", "custom"}
    assert found.models[0].value >= found.models[1].value
    assert found.page.is_file()
    assert found.differences[0].verdict
    assert found.verdict in found.page.read_text(encoding="utf-8")
    assert segbench.load(ckpt, device="cpu").classes.num_classes == 11


def test_mistakes_are_raised_and_hydra_is_left_as_it_was(tmp_path: Path) -> None:
    for wrong, said in (
        ({"model": "unett"}, "did you mean 'unet'"),
        ({"optimizer": {"lrr": 1}}, "optimizer.lrr: there is no key 'lrr'"),
        ({"seed": object()}, "is no value of a config"),
        ({"study": "${oops}"}, "resolved in YAML files only"),
        ({"config_name": "streets_small"}, "is a sweep of several runs"),
        ({"config_dir": tmp_path / "none"}, "there is no such folder"),
    ):
        with pytest.raises(ConfigError, match=said):
            segbench.train(**wrong)
        assert not GlobalHydra.instance().is_initialized()
    with pytest.raises((ConfigError, DataError)):
        segbench.evaluate(tmp_path / "none.ckpt")
    with pytest.raises((ConfigError, DataError)):
        segbench.compare("none", runs=tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        segbench.trian  # noqa: B018


def test_the_import_is_light_and_the_commands_are_functions_and_modules(ckpt: Path) -> None:
    code = (
        "import sys, segbench\n"
        "heavy = {'torch', 'numpy', 'hydra', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import segbench.train as module\n"
        "assert callable(segbench.train) and segbench.train is module and module.finish_study\n"
        "assert callable(segbench.evaluate) and callable(segbench.compare)\n"
        "assert 'torch' not in sys.modules\n"
        f"segbench.load({str(ckpt)!r})\n"  # libraries that this model does not need take seconds
        "more = {'timm', 'segmentation_models_pytorch', 'huggingface_hub', 'wandb', 'transformers',"
        " 'albumentations', 'pytorch_lightning'} & set(sys.modules)\n"
        "assert not more, more\n"
    )
    environment = {"PYTHONPATH": python_path(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
