"""A campaign: hostile checkpoints, passed to every verb that takes one.

    pytest tests/campaigns/test_hostile_verbs.py -m slow

The files of `test_hostile_checkpoints` with predict, evaluate, explain (heat maps and embeddings),
export and `segbench.load`; .onnx files with those that take them. They may read, and write into
their output folder; nothing else may happen. A sample always runs.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segbench
from segbench.artifacts import provenance
from segbench.errors import ConfigError, DataError
from segbench.evaluate import evaluate
from segbench.explain import explain
from segbench.export import export
from segbench.predict import predict
from tests.campaigns.guard import guard
from tests.campaigns.tables import refused, show
from tests.campaigns.test_hostile_checkpoints import (
    SEED,
    Loader,
    allowed,
    cases,
    hostile_node,
    is_ignored,
    loader,  # noqa: F401  (a fixture)
    with_node,
)

IN_CI, IN_ALL = 6, 300  # cases, each with every verb
FAST = ("predict", "export", "load")  # take a second
ALL = (*FAST, "evaluate", "explain", "embeddings")
Compose = Callable[..., Any]


def verbs(file: Path, out: Path, photo: Path, compose: Compose) -> dict[str, Callable[[], Any]]:
    """The calls with a file; it is always the same path, so that a config is composed once."""
    ckpt, is_onnx = f"ckpt={file}", file.suffix == ".onnx"
    cpu = ("device=cpu", "num_workers=0")  # the guard refuses the processes of a loader
    images = ("images=1", "device=cpu")
    configs = {
        "predict": (predict, ("predict", ckpt, f"source={photo}", f"output={out}", "device=cpu")),
        "evaluate": (evaluate, ("evaluate", ckpt, f"run_dir={out}", "gallery=0", *cpu)),
    }
    if not is_onnx:
        what = ("what=embeddings", "projection=pca", "least=2", "per_class=4")
        configs |= {
            "explain": (explain, ("explain", ckpt, f"source={photo}", f"output={out}", *images)),
            "embeddings": (explain, ("explain", ckpt, f"output={out}", *images, *what)),
            "export": (
                export,
                ("export", ckpt, f"output={out}/x.ckpt", "format=ckpt", "images=1"),
            ),
        }
    found: dict[str, Callable[[], Any]] = {
        name: partial(verb, compose(*words)) for name, (verb, words) in configs.items()
    }
    pixels = np.zeros((16, 24, 3), np.uint8)
    return found | {"load": lambda: segbench.load(file, device="cpu").predict(pixels)}


def end_of(call: Callable[[], Any]) -> str:
    """`done` or `refused`; any other outcome fails the test."""
    guard().acts, guard().armed = [], True
    try:
        call()
    except (ConfigError, DataError) as error:
        return refused(error, "")
    finally:
        guard().armed = False
    return "done"


def campaign(
    chosen: list[tuple[str, str]],
    names: Collection[str],
    hostile: Loader,
    tmp_path: Path,
    compose: Compose,
    capsys: Any,
) -> Counter[tuple[str, str]]:
    """Passes a file for each case to these verbs; counts the outcomes."""
    out, photo = tmp_path / "out", tmp_path / "photo.png"
    out.mkdir()
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(photo)
    calls = {
        file: {n: call for n, call in verbs(file, out, photo, compose).items() if n in names}
        for file in (hostile.file, hostile.onnx)
    }
    guard().output = str(out.resolve())
    counts: Counter[tuple[str, str]] = Counter()
    try:
        for as_onnx in (False, True):  # trigger lazy imports now
            file = hostile.write(hostile.entry, as_onnx)
            for name, call in calls[file].items():
                call()
                counts[name, "done"] += 0
        gc.collect()
        for number, (target, place) in enumerate(chosen):
            as_onnx = number % 4 == 3
            entry = with_node(hostile.entry, place, hostile_node(target, hostile.victim))
            file = hostile.write(entry, as_onnx)
            for name, call in calls[file].items():
                end = end_of(call)
                counts[name, end] += 1
                assert not guard().acts, (name, target, place)
                may_load = allowed(target, place) or is_ignored(place, as_onnx)
                # A label map of the user's own image, or a list of weights, needs no data set.
                needs_no_data = "data" in place and name in ("predict", "explain", "load")
                assert end == "refused" or may_load or needs_no_data, (name, target, place)
    finally:
        guard().output = ""
    assert (hostile.victim / "precious.txt").read_text() == "precious"
    show("hostile files", SEED, counts, capsys)
    return counts


def test_a_sample_of_hostile_files_does_nothing_under_any_verb(
    loader: Loader,  # noqa: F811
    tmp_path: Path,
    compose: Compose,
    capsys: Any,
) -> None:
    campaign(cases(IN_CI, of_modules=6), FAST, loader, tmp_path, compose, capsys)


@pytest.mark.slow
def test_no_hostile_file_does_anything_under_any_verb(
    loader: Loader,  # noqa: F811
    tmp_path: Path,
    compose: Compose,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: ("0" * 40, False))  # starts git
    counts = campaign(cases(IN_ALL), ALL, loader, tmp_path, compose, capsys)
    assert sum(counts.values()) >= 4 * IN_ALL
