"""A campaign: systematically generated hostile checkpoints do nothing.

Every public callable of every module of the package, its own and imported ones, is used at least
once as a `_target_` in a checkpoint (or in the metadata of an .onnx file), in every place where a
config can have one: outermost or nested, in an argument, a list, a mapping. The files are loaded as
the verbs load them. The outcome must be one error message, or one of the three things that a
checkpoint may build, without side effects: no socket, no process, nothing written or removed.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import pkgutil
import random
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import torch

import segbench
from segbench.artifacts.segmenter import Segmenter
from segbench.config import config_dir
from segbench.errors import ConfigError, DataError
from segbench.inference import onnx
from segbench.models.unet import UNet
from tests.campaigns.guard import ForbiddenError, guard

SEED = 20261126
IN_CI, IN_ALL = 60, 2000
LONGEST_MESSAGE = 2000
SMALL = {"width": 2, "depth": 1}  # arguments of the model, so that a thousand load in a minute
PLACES = {  # where the node is in the entry, and what surrounds it there
    "model": "config.model",
    "data": "config.data",
    "inference": "config.inference",
    "argument of the model": "config.model.width",
    "argument of the data": "config.data.size",
    "argument of inference": "config.inference.flip",
    "list of the model": "config.model.widths.0",
    "list of the data": "config.data.mean.0",
    "list of inference": "config.inference.scales.0",
    "unknown argument": "config.model.more",
    "protocol": "protocol.resize",
    "classes": "classes.names.0",
}


@cache
def modules() -> list[str]:
    """Every module of the package, except `__main__`, which would run a verb."""
    found = pkgutil.walk_packages(segbench.__path__, "segbench.")
    return sorted(module.name for module in found if not module.name.endswith("__main__"))


@cache
def callables_of(module: str) -> dict[str, Any]:
    """Every public callable that a module has, its own or imported, by its dotted name."""
    content = vars(importlib.import_module(module)).items()
    return {f"{module}.{name}": v for name, v in content if name[0] != "_" and callable(v)}


def cases(count: int, of_modules: int | None = None) -> list[tuple[str, str]]:
    """Pairs of a callable and a place.

    Args:
        count: number of pairs; each callable in turn, in places drawn by the seed.
        of_modules: number of modules, drawn by the seed; None uses all.
    """
    draw = random.Random(SEED)
    chosen = draw.sample(modules(), of_modules) if of_modules else modules()
    names = [name for module in chosen for name in callables_of(module)]
    draw.shuffle(names)
    return [(names[i % len(names)], draw.choice(list(PLACES))) for i in range(count)]


def found(target: str) -> Any:
    """The object that a target names."""
    return callables_of(target.rpartition(".")[0])[target]


def hostile_node(target: str, victim: Path) -> dict[str, Any]:
    """A config node that calls a target with a value for each required argument."""
    node: dict[str, Any] = {"_target_": target}
    try:
        parameters = inspect.signature(found(target)).parameters.values()
    except (TypeError, ValueError):
        return node
    for parameter in parameters:
        required = parameter.default is inspect.Parameter.empty
        if required and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            is_number = "int" in str(parameter.annotation) or "float" in str(parameter.annotation)
            node[parameter.name] = 1 if is_number else str(victim)
    return node


def with_node(entry: dict[str, Any], place: str, node: Any) -> dict[str, Any]:
    """The entry with a node at a place."""
    entry = copy.deepcopy(entry)
    *parents, last = PLACES[place].split(".")
    value: Any = entry
    for key in parents:
        if key not in value:
            value[key] = [1.0]
        value = value[key]
    if isinstance(value, list):
        value[int(last)] = node
    else:
        value[last] = node
    return entry


def allowed(target: str, place: str) -> bool:
    """Whether a YAML of the place's group names this target; an independent implementation."""
    if place not in ("model", "data", "inference"):
        return False
    texts = [file.read_text() for file in (config_dir() / place).glob("*.yaml")]
    return any(f"_target_: {target}\n" in text for text in texts)


def is_ignored(place: str, as_onnx: bool) -> bool:
    """Whether nothing is built from a place: the model of an .onnx file is its graph."""
    return as_onnx and PLACES[place].startswith("config.model")


def codes(value: Any) -> set[CodeType]:
    """The code objects that run when a Python callable is called."""
    functions = [value.__init__, value.__new__] if inspect.isclass(value) else [value]
    return {f.__code__ for f in functions if hasattr(f, "__code__")}


class Loader:
    """Loads files as the verbs do, and records what happens."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: Path) -> None:
        self.entry = torch.load(good, weights_only=True)["segbench"]
        self.entry["config"]["model"] = {"_target_": "segbench.models.unet.UNet", **SMALL}
        state = UNet(num_classes=11, **SMALL).state_dict()
        self.checkpoint = {"state_dict": {f"model.{k}": v for k, v in state.items()}}
        self.file, self.onnx = tmp_path / "evil.ckpt", tmp_path / "evil.onnx"
        self.onnx.write_bytes(b"a graph")
        self.victim = tmp_path / "victim"
        self.victim.mkdir()
        (self.victim / "precious.txt").write_text("precious")
        self.called: set[CodeType] = set()
        monkeypatch.setattr(onnx, "OnnxNetwork", lambda file: self._graph)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(self, entry: dict[str, Any], as_onnx: bool) -> Path:
        """The file that is loaded next."""
        self._graph = torch.nn.Conv2d(3, 11, 1).eval()
        self._graph.meta = entry
        if not as_onnx:
            torch.save({**self.checkpoint, "segbench": entry}, self.file)
        return self.onnx if as_onnx else self.file

    def load(self, entry: dict[str, Any], as_onnx: bool) -> str:
        """`loaded` or `refused`; any other outcome fails the test."""
        file = self.write(entry, as_onnx)
        self.called = set()
        guard().acts, guard().armed = [], True
        sys.setprofile(self._note)
        try:
            segmenter = Segmenter(file, device="cpu")
            segmenter.source().classes  # noqa: B018 - evaluate, explain and export ask for it
        except (ConfigError, DataError) as error:
            return "refused" if len(str(error)) < LONGEST_MESSAGE else str(error)
        finally:
            sys.setprofile(None)
            guard().armed = False
        return "loaded"

    def _note(self, frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            self.called.add(frame.f_code)


def run(chosen: list[tuple[str, str]], loader: Loader) -> Counter[tuple[str, str]]:
    """Loads a file for each case; counts the outcomes by place."""
    usual: set[CodeType] = set()  # code that loading and refusing run themselves
    for as_onnx in (False, True):
        assert loader.load(loader.entry, as_onnx) == "loaded"
        usual |= loader.called
        for place in PLACES:
            node = {"_target_": "os.system", "command": "true"}
            end = loader.load(with_node(loader.entry, place, node), as_onnx)
            assert end == "refused" or is_ignored(place, as_onnx), place
            usual |= loader.called
    counts: Counter[tuple[str, str]] = Counter()
    for number, (target, place) in enumerate(chosen):
        entry = with_node(loader.entry, place, hostile_node(target, loader.victim))
        as_onnx = number % 4 == 3
        end = loader.load(entry, as_onnx)
        counts[place, end] += 1
        assert not guard().acts, (target, place)
        if not allowed(target, place):
            assert end == "refused" or is_ignored(place, as_onnx), (target, place)
            called = codes(found(target)) & (loader.called - usual)
            assert not called, (target, place)
    assert (loader.victim / "precious.txt").read_text() == "precious"
    return counts


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ckpt: Path) -> Iterator[Loader]:
    yield Loader(tmp_path, monkeypatch, ckpt)
    guard().armed = False


def show(counts: Counter[tuple[str, str]], capsys: Any) -> None:
    with capsys.disabled():
        print(f"\n{'place':24} {'refused':>8} {'loaded':>8} {'acts':>6}   (seed {SEED})")
        for place in PLACES:
            print(f"{place:24} {counts[place, 'refused']:8} {counts[place, 'loaded']:8} {0:6}")
        print(f"{'all':24} {sum(n for (_, e), n in counts.items() if e == 'refused'):8}")


def test_a_sample_of_hostile_checkpoints_does_nothing(loader: Loader) -> None:
    counts = run(cases(IN_CI, of_modules=12), loader)
    assert sum(counts.values()) == IN_CI


@pytest.mark.slow
def test_hostile_checkpoints_do_nothing(loader: Loader, capsys: Any) -> None:
    names = {name for module in modules() for name in callables_of(module)}
    chosen = cases(max(IN_ALL, len(names)))
    counts = run(chosen, loader)
    show(counts, capsys)
    assert sum(counts.values()) == len(chosen) >= 1000
    assert {target for target, _ in chosen} == names


def test_the_guard_sees_what_a_checkpoint_must_not_do(tmp_path: Path) -> None:
    """Otherwise the campaign could not fail."""
    import shutil
    import socket
    import subprocess

    file = tmp_path / "file"
    file.write_text("text")
    acts = (
        lambda: file.write_text("other"),
        lambda: file.unlink(),
        lambda: shutil.rmtree(tmp_path),
        lambda: subprocess.run(["true"], check=False),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: os.system("true"),
    )
    for act in acts:
        guard().armed = True
        try:
            with pytest.raises(ForbiddenError):
                act()
        finally:
            guard().armed = False
    assert file.read_text() == "text"
