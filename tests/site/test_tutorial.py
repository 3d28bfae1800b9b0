"""The tutorial and the notebook are executed as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, python_path
from tests.site.pages import blocks, lines

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "docs" / "first-hour.ipynb"


@pytest.mark.slow
def test_the_commands_of_the_tutorial(tmp_path: Path) -> None:
    """One shell runs all commands; `segbench` is this checkout instead of an installation."""
    shown = [line for block in blocks(TUTORIAL) for line in lines(block)]
    assert shown[0].startswith("pip install")
    (tmp_path / "segbench").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m segbench "$@"\n', encoding="utf-8"
    )
    (tmp_path / "segbench").chmod(0o755)
    script = "\n".join(["set -ex", *shown[1:]])
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in re.findall(r"`((?:runs|predictions)/[^`]*)`", TUTORIAL):
        assert (tmp_path / "demo" / name).exists(), name
    assert "better" in done.stdout or "distinguishable" in done.stdout


@pytest.mark.slow
def test_the_notebook(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", python_path())
        patch.setenv("MPLBACKEND", "agg")
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    assert "did you mean 'unet'?" in printed
    assert (tmp_path / "runs/hour/report/index.html").is_file()


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 7
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        compile("".join(cell["source"]), "first-hour.ipynb", "exec")
