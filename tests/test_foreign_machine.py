"""macOS and Windows, simulated: no fcntl, no affinity, no sysconf, processes that are spawned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import TINIEST, run_module, run_verb

FOREIGN = """\
import multiprocessing, os, sys
sys.modules["fcntl"] = None  # an import of it fails
for name in ("sched_getaffinity", "sysconf"):
    if hasattr(os, name):
        delattr(os, name)
if multiprocessing.get_start_method(allow_none=True) is None:
    multiprocessing.set_start_method("spawn")
"""
EVERY_MODULE = """\
import importlib, pkgutil, segbench
for found in pkgutil.walk_packages(segbench.__path__, "segbench."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder whose modules make any Python process that imports them a foreign machine."""
    (tmp_path / "sitecustomize.py").write_text(FOREIGN, encoding="utf-8")
    (tmp_path / "every_module.py").write_text(EVERY_MODULE, encoding="utf-8")
    return tmp_path


def test_every_module_is_imported_on_a_foreign_machine(foreign: Path) -> None:
    done = run_module("every_module", cwd=foreign)
    assert done.returncode == 0, done.stderr


def test_a_training_with_worker_processes_runs_on_a_foreign_machine(foreign: Path) -> None:
    words = [word for word in TINIEST if "num_workers" not in word]
    words += ["trainer.limit_val_batches=0", "selection=last", "test=false"]  # two workers in all
    done = run_verb(
        "train", *words, "model=unet", "model.width=4", "trainer.max_epochs=1", "logger=csv",
        "data.num_workers=2", "data.workers=process", "samples=0", "run_dir=run",
        f"data.cache_dir={foreign / 'cache'}", cwd=foreign, PYTHONWARNDEFAULTENCODING="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (foreign / "run" / "result.json").is_file()
    assert not (foreign / "run" / ".reserve").exists()
    assert "without a cache" not in done.stderr
    ours = [line for line in done.stderr.splitlines() if re.search(r"segbench/.*Encoding", line)]
    assert not ours, "text files are UTF-8 on every machine"
