"""Signatures read from source files agree with those of the imported objects."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from segbench.artifacts.build import locate
from segbench.config import config_dir
from segbench.config.signatures import signature_of
from segbench.errors import UnknownTargetError


def _configured_targets() -> list[str]:
    texts = [file.read_text() for file in config_dir().rglob("*.yaml")]
    found = {t for text in texts for t in re.findall(r"^\s*_target_: (\S+)", text, re.M)}
    # Transforms of albumentations are not read but tried, see test_further_transforms.
    return sorted(target for target in found if not target.startswith("albumentations."))


@pytest.mark.parametrize("target", _configured_targets())
def test_every_target_of_conf_is_read_as_python_sees_it(target: str) -> None:
    found = signature_of(target)
    assert found is not None, "the check would let everything pass"
    parameters = inspect.signature(locate(target)).parameters.values()
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    assert list(found.parameters) == [p.name for p in named]
    assert found.is_open == any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    needed = [name for name, p in found.parameters.items() if p.required]
    assert needed == [p.name for p in named if p.default is inspect.Parameter.empty]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A custom package on disk."""
    folder = tmp_path / "mynets"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from mynets.net import Net as Public\nfrom .net import *\n"
    )
    (folder / "net.py").write_text(
        "from dataclasses import dataclass\n"
        "class Base:\n    def __init__(self, a: int, *, b: str = 'x', **rest): ...\n"
        "class Net(Base): ...\n"
        "class Elsewhere(abc.ABC):\n    'Its constructor is in another file.'\n"
        "@dataclass\nclass Data:\n    x: int\n    y: float = 1.0\n"
        "def build(u, /, v=1): ...\n"
        "alias = Net\n"
        "raise RuntimeError('importing this is expensive')\n"
    )
    (folder / "deep" / "other.py").write_text("def make(z): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_code_outside_the_package_is_read_and_not_run(package: Path) -> None:
    found = signature_of("mynets.net.Net")
    assert found is not None
    assert list(found.parameters) == ["a", "b"]
    assert found.is_open
    assert found.parameters["a"].required
    assert not found.parameters["b"].required
    assert ast.unparse(found.parameters["a"].annotation) == "int"
    assert list(signature_of("mynets.net.Data").parameters) == ["x", "y"]
    assert list(signature_of("mynets.net.build").parameters) == ["u", "v"]


def test_re_exports_are_followed(package: Path) -> None:
    assert list(signature_of("mynets.Public").parameters) == ["a", "b"]


def test_folders_without_init_are_packages_too(package: Path) -> None:
    assert list(signature_of("mynets.deep.other.make").parameters) == ["z"]


@pytest.mark.parametrize("target", ["mynets.Unknown", "mynets.net.alias", "math.sin"])
def test_what_the_source_does_not_show_is_left_to_the_import(package: Path, target: str) -> None:
    assert signature_of(target) is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Net", "'Net' is not a dotted path like package.module.Class"),
        ("mynetz.net.Net", "there is no package 'mynetz'; is it installed?"),
        ("mynets.nets.Net", "did you mean 'net'"),
        ("mynets.net.Nett", "'mynets.net' has no 'Nett'; did you mean 'Net'?"),
    ],
)
def test_what_does_not_exist_is_explained(package: Path, target: str, message: str) -> None:
    with pytest.raises(UnknownTargetError, match=re.escape(message)):
        signature_of(target)


def test_a_class_that_inherits_its_constructor_from_another_file_exists(package: Path) -> None:
    assert signature_of("mynets.net.Elsewhere") is None  # unknown, not missing


def test_docstrings_are_read_with_the_signature() -> None:
    docs = signature_of("segbench.losses.overlap.Tversky")
    assert docs is not None
    assert any("Args:" in text for text in docs.docs)
