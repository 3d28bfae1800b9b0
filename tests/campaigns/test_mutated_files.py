"""A campaign: damaged counts, checkpoints and ONNX files, and altered entries of checkpoints.

    pytest tests/campaigns/test_mutated_files.py -m slow

Each file is either refused with an error message, or gives exactly the counts or predictions of the
undamaged file. The metadata of an altered checkpoint may be wrong; it must then predict like any
checkpoint. A sample always runs.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.segmenter import Segmenter
from segbench.comparison.runs import LeftOut, read_run
from segbench.errors import ConfigError, DataError, NonFiniteLogitsError
from segbench.models.unet import UNet
from tests.campaigns.mutations import mutated
from tests.campaigns.tables import each, refused, show
from tests.comparison.fabricated import WORLD, matrices, result, write_run

SEED = 20261130
SAMPLE = 1 / 100  # of each campaign
SIZES = {"counts": 1_000, "checkpoints": 1_000, "entries": 1_000, "ONNX": 300}


def counts(numbers: range, folder: Path) -> Counter[tuple[str, str]]:
    """The campaign of confusion.npz."""
    rng = np.random.default_rng(0)
    confusion = matrices(WORLD.study(rng, 1, (0.5,))[0].counts[0])
    write_run(folder, result("unet", 0, confusion, "study", "streets"), confusion, WORLD)
    run = RunDirectory(folder)
    names, groups, _ = run.read_confusion()
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    boundary = np.stack([hits // 2, hits], axis=1)
    run.write_confusion(names, groups, confusion, {"boundary_IoU": boundary})
    data = run.confusion_file.read_bytes()

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        run.confusion_file.write_bytes(mutated(data, draw))
        found = read_run(folder)
        if isinstance(found, LeftOut):
            assert found.broken
            assert "confusion.npz" in found.reason
            return "confusion.npz", "refused"
        assert (found.names, found.groups) == (names, groups)
        np.testing.assert_array_equal(found.images.matrices(), confusion)
        again = found.images.counts_of("boundary_IoU")
        assert again is None or np.array_equal(again, boundary)
        return "confusion.npz", "as it was"

    return each(SEED, numbers, end)


PROBE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def small_checkpoint(ckpt: Path) -> dict[str, Any]:
    """A checkpoint of a model with a few hundred weights, as saved."""
    model = {"width": 2, "depth": 1}
    entry = torch.load(ckpt, weights_only=True)["segbench"]
    entry["config"]["model"] = {"_target_": "segbench.models.unet.UNet", **model}
    torch.manual_seed(0)
    state = UNet(num_classes=11, **model).state_dict()
    return {"state_dict": {f"model.{k}": v for k, v in state.items()}, "segbench": entry}


def checkpoints(numbers: range, ckpt: Path, folder: Path) -> Counter[tuple[str, str]]:
    """The campaign of the bytes of checkpoints."""
    file = folder / "x.ckpt"
    torch.save(small_checkpoint(ckpt), file)
    return of_models(numbers, file)


def of_models(numbers: range, file: Path) -> Counter[tuple[str, str]]:
    """Damages a checkpoint or an ONNX file, which then predicts as before or is refused."""
    data, expected = file.read_bytes(), Segmenter(file, device="cpu").predict(PROBE)

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        file.write_bytes(mutated(data, draw))
        try:
            found = Segmenter(file, device="cpu").predict(PROBE)
        except (ConfigError, DataError) as error:
            return file.suffix, refused(error, file.name)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.probs, expected.probs)
        return file.suffix, "as it was"

    return each(SEED, numbers, end)


ODD = (None, "", "x", "a\0b", "../../x", -1, 0, 10**9, 1e308, float("nan"), [], {}, [[]], True)


def altered(value: Any, draw: random.Random) -> Any:
    """A plain value with one item in it replaced, removed, duplicated or added."""
    value = copy.deepcopy(value)
    place = value
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = draw.choice(list(keys))
        if isinstance(place[key], dict | list) and place[key] and draw.random() < 0.75:
            place = place[key]
            continue
        kind = draw.random()
        if kind < 0.6:
            place[key] = copy.deepcopy(draw.choice(ODD))
        elif kind < 0.8:
            del place[key]
        elif isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
        else:
            place[f"{key}x"] = place.pop(key)
        break
    return value


def entries(numbers: range, ckpt: Path, folder: Path) -> Counter[tuple[str, str]]:
    """The campaign of checkpoint metadata: refused, or as valid as any checkpoint."""
    file, whole = folder / "x.ckpt", small_checkpoint(ckpt)

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        entry = altered(whole["segbench"], draw)
        torch.save({**whole, "segbench": entry}, file)
        try:
            segmenter = Segmenter(file, device="cpu")
            found = segmenter.predict(PROBE)
            source = segmenter.source()
            _ = source.classes
            source.records("test")
        except (ConfigError, DataError) as error:
            return "entry", refused(error, "")
        except NonFiniteLogitsError:  # a normalization that overflows
            return "entry", "refused"
        assert found.labels.shape == PROBE.shape[:2]
        return "entry", "taken"

    return each(SEED, numbers, end)


@pytest.fixture(scope="module")
def exported(ckpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as an ONNX file, as written by segbench.export."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from segbench.inference.onnx_export import Deployed, export_onnx

    folder = tmp_path_factory.mktemp("onnx")
    torch.save(small_checkpoint(ckpt), folder / "x.ckpt")
    segmenter = Segmenter(folder / "x.ckpt", device="cpu")
    meta = {k: v for k, v in segmenter.meta.items() if k not in ("mean", "std")}
    network = Deployed(segmenter.predictor.model, segmenter.meta["mean"], segmenter.meta["std"])
    export_onnx(network, folder / "x.onnx", meta)
    return folder / "x.onnx"


def run(
    what: str, numbers: range, tmp_path: Path, request: pytest.FixtureRequest
) -> Counter[tuple[str, str]]:
    """Tries of one of the campaigns."""
    if what == "counts":
        return counts(numbers, tmp_path)
    if what == "ONNX":
        file = tmp_path / "x.onnx"
        file.write_bytes(request.getfixturevalue("exported").read_bytes())
        return of_models(numbers, file)
    campaign = checkpoints if what == "checkpoints" else entries
    return campaign(numbers, request.getfixturevalue("ckpt"), tmp_path)


@pytest.mark.parametrize("what", SIZES)
def test_a_sample_of_damaged_files(
    what: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: Any
) -> None:
    if what == "ONNX":
        pytest.skip("an export takes seconds; see the slow test")
    show(what, SEED, run(what, range(int(SIZES[what] * SAMPLE)), tmp_path, request), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("what", SIZES)
def test_every_damaged_file(
    what: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: Any
) -> None:
    ends = run(what, range(SIZES[what]), tmp_path, request)
    show(what, SEED, ends, capsys)
    assert sum(n for (_, end), n in ends.items() if end == "refused") > SIZES[what] // 3
