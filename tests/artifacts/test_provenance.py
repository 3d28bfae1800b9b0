"""Provenance: the machine that did the work, and the commit of the code."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from segbench.artifacts import provenance
from segbench.artifacts.provenance import commit, commit_in_words

HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("device", "count", "named"),
    [("cpu", 1, "Example CPU, 1 thread"), ("cuda:1", 1, "Example GPU"),
     ("cuda:0", 2, "2 x Example GPU")],
)  # fmt: skip
def test_unused_devices_are_not_named(
    device: str, count: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Example GPU")
    monkeypatch.setattr(provenance, "_cpu_name", lambda: "Example CPU")
    assert str(provenance.hardware(torch.device(device), count)) == named


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a copy of the package that is not a checkout."""
    folder = tmp_path / "segbench"
    folder.mkdir()
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{HASH} clean\n", (HASH, False)),  # from a build
        (f"{HASH} dirty\n", (HASH, True)),
        (f"{HASH}\n", (HASH, None)),  # from git archive; later changes are unknown
        ("$Format:%H$\n", (None, None)),  # a copied tree
        ("", (None, None)),
        ("main clean", (None, None)),
    ],
)
def test_the_commit_is_read_from_a_file(
    package: Path, text: str, found: tuple[str | None, bool | None]
) -> None:
    (package / "commit.txt").write_text(text, encoding="utf-8")
    assert commit() == found


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ({"url": "x", "vcs_info": {"vcs": "git", "commit_id": HASH}}, (HASH, False)),
        ({"url": "x", "dir_info": {"editable": True}}, (None, None)),
        ([], (None, None)),
    ],
)
def test_the_commit_is_what_pip_installed(
    package: Path, origin: object, found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = SimpleNamespace(
        locate_file=lambda name: package.parent / name, read_text=lambda name: json.dumps(origin)
    )
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    assert commit() == found
    monkeypatch.setattr(provenance, "PACKAGE", package / "another")
    assert commit() == (None, None), "another copy than the installed one is running"


def test_unknown_facts_about_a_commit_are_stated() -> None:
    assert commit_in_words({"commit": None, "dirty": None}) == "unknown commit"
    assert commit_in_words({"commit": HASH, "dirty": False}) == "commit 012345678"
    assert commit_in_words({"commit": HASH, "dirty": None}) == "commit 012345678, changes unknown"
