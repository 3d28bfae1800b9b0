"""Where a number comes from: the machine that is named is the one that did the work."""

import pytest
import torch

from segbench.artifacts import provenance


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Example GPU")
    monkeypatch.setattr(provenance, "_cpu_name", lambda: "Example CPU")


@pytest.mark.parametrize(
    ("device", "count", "named"),
    [("cpu", 1, "Example CPU, 1 thread"), ("cuda:1", 1, "Example GPU"),
     ("cuda:0", 2, "2 x Example GPU")],
)  # fmt: skip
def test_devices_that_did_nothing_are_not_named(device: str, count: int, named: str) -> None:
    assert str(provenance.hardware(torch.device(device), count)) == named
