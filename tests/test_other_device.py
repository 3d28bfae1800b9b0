"""What runs on a GPU leaves nothing behind on the CPU and never makes the host wait."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT, python_path


def test_all_tensors_are_where_the_work_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.other_device"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": python_path(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
