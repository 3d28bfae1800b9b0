"""torchmetrics is imported without what only its metrics of text and audio need."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from segbench.system import lean_torchmetrics
from tests.conftest import ROOT, python_path


def test_the_packages_are_hidden_only_while_torchmetrics_is_imported() -> None:
    imports = lean_torchmetrics.imports
    before = imports._version, imports.package_available
    with lean_torchmetrics._seemingly_absent():
        assert not imports.package_available("scipy")
        assert imports.package_available("torch")
        assert not imports.RequirementCache("transformers>=4.4.0")
        assert imports.RequirementCache("numpy>=1.0")
        with pytest.raises(PackageNotFoundError):
            imports._version("transformers")
    assert (imports._version, imports.package_available) == before
    assert imports.RequirementCache("scipy>=1.8.0")


def test_other_versions_of_lightning_utilities_find_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imports = lean_torchmetrics.imports
    monkeypatch.delattr(imports, "_version")
    with lean_torchmetrics._seemingly_absent():
        assert imports.package_available("scipy")
    assert not hasattr(imports, "_version")


def test_metrics_that_need_scipy_still_work() -> None:
    from torchmetrics.functional.segmentation import hausdorff_distance
    from torchmetrics.utilities.imports import _SCIPY_AVAILABLE

    assert _SCIPY_AVAILABLE
    mask = torch.zeros(1, 2, 8, 8, dtype=torch.int64)
    mask[0, 1, 2:5, 2:5] = 1
    assert float(hausdorff_distance(mask, mask, num_classes=2)) == 0


@pytest.mark.slow
def test_a_training_imports_no_transformers() -> None:
    code = "import segbench.metrics.confusion, segbench.training.session, sys; "
    code += "print(*{'transformers', 'scipy.signal'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": python_path(), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
