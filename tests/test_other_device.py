"""Code for a GPU leaves no tensor on the CPU and never makes the host wait."""

from __future__ import annotations

from tests.conftest import run_module


def test_all_tensors_are_where_the_work_is() -> None:
    done = run_module("tests.other_device")
    assert done.returncode == 0, done.stdout + done.stderr
