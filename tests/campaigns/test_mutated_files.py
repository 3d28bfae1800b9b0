"""A campaign: damaged images, masks, counts, checkpoints and ONNX files.

    pytest tests/campaigns/test_mutated_files.py -m slow

Each file is either refused with an error for people, or gives exactly what the whole file gives:
its pixels, labels, counts or predictions. Formats without checksums (JPEG, GIF, BMP, WebP, TIFF,
PPM) cannot keep that promise; what is read of them has the right shape and type, or is refused.
Nothing ends in another error. A sample runs always.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.segmenter import Segmenter
from segbench.comparison.runs import LeftOut, read_run
from segbench.data.decoding import decode_colors, decode_mask, decode_rgb
from segbench.errors import ConfigError, DataError
from segbench.models.unet import UNet
from tests.campaigns.forked import draws, refused, show
from tests.campaigns.mutations import mutated
from tests.comparison.fabricated import WORLD, matrices, result, write_run
from tests.data.test_damage import MASKS, WHOLE

SEED = 20261130
SAMPLE = 1 / 100  # of each campaign
PATH = Path("a.file")
LARGEST = 1 << 24  # pixels that a damaged header of a small file may claim
READERS = (decode_rgb, decode_mask, decode_colors)
IMAGES = {**MASKS, **WHOLE}
CHECKED = {name for name in IMAGES if name in MASKS or "PNG" in name}
SIZES = {"images": 7_000, "counts": 1_000, "checkpoints": 1_000, "entries": 1_000, "ONNX": 300}


def read_all(data: bytes) -> list[Any]:
    """What each reader makes of the bytes of an image: pixels, or None where it refuses."""
    found: list[Any] = []
    for reader in READERS:
        try:
            found.append(reader(data, PATH))
        except DataError as error:
            refused(error, "a.file: ")
            found.append(None)
    return found


def image_ends(name: str, data: bytes, whole: list[Any]) -> str:
    """How reading a damaged image ends; raises AssertionError for other labels."""
    found = read_all(data)
    for got, expected in zip(found, whole, strict=True):
        if got is None:
            continue
        if name not in CHECKED:
            assert got.dtype in (np.uint8, np.uint16, np.int32, np.int64), got.dtype
            assert got.shape[0] * got.shape[1] <= LARGEST
        else:
            assert expected is not None, "only a damaged file is read"
            np.testing.assert_array_equal(got, expected)
    if all(got is None for got in found):
        return "refused"
    return "as it was" if name in CHECKED else "read"


def images(numbers: range) -> Counter[tuple[str, str]]:
    """The campaign of images and masks."""
    whole = {name: read_all(data) for name, data in IMAGES.items()}
    names = list(IMAGES)

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        name = names[number % len(names)]
        return name, image_ends(name, mutated(IMAGES[name], draw), whole[name])

    return each(numbers, end)


def counts(numbers: range, folder: Path) -> Counter[tuple[str, str]]:
    """The campaign of confusion.npz."""
    rng = np.random.default_rng(0)
    confusion = matrices(WORLD.study(rng, 1, (0.5,))[0].counts[0])
    write_run(folder, result("unet", 0, confusion, "study", "streets"), confusion, WORLD)
    run = RunDirectory(folder)
    names, groups, _ = run.read_confusion()
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    boundary = np.stack([hits // 2, hits], axis=1)
    run.write_confusion(names, groups, confusion, boundary)
    data = run.confusion_file.read_bytes()

    def end(number: int, draw: random.Random) -> tuple[str, str]:
        run.confusion_file.write_bytes(mutated(data, draw))
        found = read_run(folder)
        if isinstance(found, LeftOut):
            assert found.broken
            assert "confusion.npz" in found.reason
            return "confusion.npz", "refused"
        assert (found.names, found.groups) == (names, groups)
        np.testing.assert_array_equal(found.matrices, confusion)
        assert found.boundary is None or np.array_equal(found.boundary, boundary)
        return "confusion.npz", "as it was"

    return each(numbers, end)


PROBE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def small_checkpoint(ckpt: Path) -> dict[str, Any]:
    """A checkpoint of a model of a few hundred weights, as it is saved."""
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

    return each(numbers, end)


ODD = (None, "", "x", "a\0b", "../../x", -1, 0, 10**9, 1e308, float("nan"), [], {}, [[]], True)


def altered(value: Any, draw: random.Random) -> Any:
    """A plain value with one thing in it replaced, removed, doubled or added."""
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
    """The campaign of what a checkpoint says of itself: refused, or as good as any checkpoint."""
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
        assert found.labels.shape == PROBE.shape[:2]
        return "entry", "taken"

    return each(numbers, end)


def each(
    numbers: range, end: Callable[[int, random.Random], tuple[str, str]]
) -> Counter[tuple[str, str]]:
    """Counts how the tries end; an error names its number, by which it can be repeated."""
    ends: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        try:
            ends[end(number, draws(SEED, number))] += 1
        except Exception as error:
            raise AssertionError(f"number {number}: {type(error).__name__}: {error}") from error
    return ends


@pytest.fixture(scope="module")
def exported(ckpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as an ONNX file, as segbench.export writes it."""
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
    if what == "images":
        return images(numbers)
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
