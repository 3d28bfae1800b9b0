"""A damaged file affects only its own entry: it is left out by name, the comparison continues."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from segbench.artifacts.run_directory import RunDirectory
from segbench.compare import compare
from segbench.comparison.gallery import gallery
from segbench.comparison.side_files import read_costs, read_curves
from segbench.comparison.study import read_study
from segbench.config.compare_schema import CompareConfig
from tests.comparison.fabricated import edit, write_study

KEYS = ("val/mIoU", "train/loss")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write_study(tmp_path_factory.mktemp("runs"), {"custom": 0.6, "unet": 0.1}, seeds=2)


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    """A copy of the study made of links: replace files, do not modify them in place."""
    target = tmp_path / whole.name
    for file in whole.rglob("*"):
        if file.is_file():
            copy = target / file.relative_to(whole)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, copy)
    return target


def replace(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


HEADER = b"epoch,step,train/loss,val/mIoU\n"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00garbage", HEADER + b"0,1,abc,0.5\n", HEADER + b"x,1,0.5,0.5\n",
        HEADER + b"nan,1,0.5,0.5\n", HEADER + b"1e300,1,0.5,0.5\n", HEADER + b"0.5,1,0.5,0.5\n",
        HEADER + b"-1,1,0.5,0.5\n", b"step,val/mIoU\n0,0.5\n", HEADER + b"\x00\x80,1,0.5,0.5\n",
        HEADER + b",1,0.5,0.5\n", b"val/mIoU,epoch\n0.5\n",
    ],
)  # fmt: skip
def test_curves_that_cannot_be_read_are_left_out_by_name(study: Path, content: bytes):
    replace(study / "unet-streets/seed1/metrics.csv", content)
    curves, left_out = read_curves(read_study(study), KEYS)
    assert [entry.path.relative_to(study).as_posix() for entry in left_out] == [
        "unet-streets/seed1/metrics.csv"
    ]
    assert left_out[0].broken
    assert set(curves) == {"custom", "unet"}  # of the other seed


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + HEADER, b"", HEADER, b"\n\n"])
def test_curves_without_values_or_with_a_byte_order_mark_are_not_damaged(study: Path, content):
    rows = b"".join(b"%d,1,0.5,0.4\n" % epoch for epoch in range(12))
    replace(study / "unet-streets/seed1/metrics.csv", content + rows if HEADER in content else b"")
    curves, left_out = read_curves(read_study(study), KEYS)
    assert left_out == []
    assert len(curves["unet"]["val/mIoU"]["epochs"]) == 12


def test_a_directory_in_the_place_of_a_file_is_left_out(study: Path):
    for name in ("metrics.csv", "samples/epoch0012.png"):
        (study / "custom-streets/seed0" / name).unlink()
        (study / "custom-streets/seed0" / name).mkdir()
    (study / "benchmark.json").mkdir()
    found = read_study(study)
    assert len(read_curves(found, KEYS)[1]) == len(read_costs(found)[1]) == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("{}", 1), ("", 1), ("[" * 100_000, 1), ('{"models": 3}', 1), ('{"models": [3]}', 1),
        ('{"models": [{"model": "unet", "params": "many"}]}', 1), ("\udcff", 1),
        ('{"models": [{"model": "unet", "latency_ms": -1}, {"model": "custom"}]}', 1),
        ('{"models": [{"model": "unet", "macs": NaN}]}', 1),
        ('{"models": [{"model": ["unet"]}]}', 1), ('{"models": [{"model": "other"}]}', 0),
        ('{"models": [{"model": "unet", "device": {}}]}', 1),
        ('\ufeff{"models": [{"model": "unet", "params": 7}]}', 0),
    ],
)  # fmt: skip
def test_costs_that_cannot_be_read_are_left_out_by_name(study: Path, text: str, number: int):
    (study / "benchmark.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    costs, left_out = read_costs(read_study(study))
    assert len(left_out) == number
    assert all(entry.path.name == "benchmark.json" and entry.broken for entry in left_out)
    assert {cost["model"] for cost in costs} == {"custom", "unet"}  # parameters of the runs


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("content", [b"", PNG, b"text", PNG + bytes(100), "half", "flipped"])
def test_images_that_cannot_be_read_are_left_out_by_name(study: Path, content: bytes | str):
    for run in study.glob("*/seed*"):
        file = run / "samples/epoch0012.png"
        whole = file.read_bytes()
        if content == "half":
            content_of = whole[: len(whole) // 2]
        elif content == "flipped":
            content_of = whole[:45] + bytes([whole[45] ^ 255]) + whole[46:]
        else:
            content_of = content
        replace(file, content_of)
    found = gallery(read_study(study), {"leaderboard": [{"label": "unet"}], "headline": None})
    assert found.sheets == []
    assert [entry.path.name for entry in found.left_out] == ["epoch0012.png"]


def comparison_of(study: Path, name: str) -> dict:
    image = {"name": name, "group": "g", "gain": 0.1, "pixel_acc": [0.5, 0.4]}
    return {"leaderboard": [], "headline": 0, "pairs": [{"a": "custom", "b": "unet"}],
            "images": {"wins": [image], "losses": []}}  # fmt: skip


def test_predictions_that_cannot_be_read_are_left_out_by_name(study: Path):
    for label, mode in (("custom", "RGB"), ("unet", "L")):
        for run in (study / f"{label}-streets").glob("seed*"):
            (run / "predictions").mkdir()
            Image.new(mode, (8, 6)).save(run / "predictions/x.png")
    found = gallery(read_study(study), comparison_of(study, "x"))
    assert [caption for caption, _ in found.decisive["x"]] == ["unet: prediction"]
    assert "custom-streets" in str(found.left_out[0].path)


@pytest.mark.parametrize("name", ["../../../secret", "/etc/secret", "a/../../secret"])
def test_a_name_does_not_lead_out_of_the_predictions(study: Path, name: str):
    for run in study.glob("*/seed*"):
        (run / "predictions").mkdir()
        Image.new("L", (8, 6)).save(run / "secret.png")
        Image.new("L", (8, 6)).save(study.parent / "secret.png")
    assert gallery(read_study(study), comparison_of(study, name)).decisive == {name: []}


def test_any_flipped_byte_of_the_counts_is_detected_or_harmless(study: Path):
    file = study / "unet-streets/seed1/confusion.npz"
    whole = file.read_bytes()
    expected = RunDirectory(file.parent).read_confusion()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        flipped = bytearray(whole)
        flipped[position] ^= int(rng.integers(1, 256))
        replace(file, bytes(flipped))
        found = read_study(study)
        if found.left_out:
            assert found.left_out[0].path == file.parent
            assert found.left_out[0].broken
        else:
            (run,) = (run for run in found.runs["unet"] if run.seed == 1)
            assert np.array_equal(run.images.matrices(), expected[2])


@pytest.mark.parametrize(
    "change",
    [
        lambda counts: counts * -1, lambda counts: counts.astype(float),
        lambda counts: np.where(counts >= 0, np.nan, 0.0), lambda counts: counts + (1 << 58),
        lambda counts: counts[:, ::-1], lambda counts: counts.astype(str),
        lambda counts: counts[:, :, :-1],
    ],
)  # fmt: skip
def test_impossible_counts_are_refused(study: Path, change):
    run = RunDirectory(study / "unet-streets/seed1")
    names, groups, matrices = run.read_confusion()
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    boundary = np.stack([hits // 2, hits + 1], axis=1)
    run.write_confusion(names, groups, matrices, {"boundary_IoU": boundary})
    assert read_study(study).left_out == []
    with np.load(run.confusion_file) as file:
        stored = dict(file)
    changed = [
        stored | {key: change(stored[key].astype(np.int64))}
        for key in ("counts", "sum_boundary_IoU")
    ]
    older = {"names": names, "groups": groups}
    if change(matrices[:, :, :-1]).shape == matrices[:, :, :-1].shape:
        changed += [older | {"matrices": change(matrices)}]
    for arrays in changed:
        np.savez_compressed(run.confusion_file, **arrays)
        assert read_study(study).left_out[0].broken


def test_a_comparison_of_damaged_runs_is_finished_names_them_and_ends_with_one(study: Path, capsys):
    run = study / "unet-streets/seed1"
    replace(study / "custom-streets/seed1/metrics.csv", b"\xff")
    for label in ("custom", "unet"):
        for seed in (0, 1):
            replace(study / f"{label}-streets/seed{seed}/samples/epoch0012.png", PNG)
    (study / "benchmark.json").write_text("{")
    edit(study / "custom-streets/seed0", "command", 'python "open quote')
    edit(run, "commit", 7)
    values = {"study": study.name, "runs": str(study.parent), "replicates": 200, "wandb": False}
    assert compare(OmegaConf.merge(OmegaConf.structured(CompareConfig), values)) == 1
    page = (study / "report/index.html").read_text()
    out = capsys.readouterr().out
    for name in ("custom-streets/seed1/metrics.csv", "unet-streets/seed1", "benchmark.json"):
        assert f"left out: {name}" in out
    for name in ("custom-streets/seed1/metrics.csv", "benchmark.json", "samples/epoch0012.png"):
        assert name in page
    found = json.loads((study / "report/comparison.json").read_text())
    assert all(entry["broken"] for entry in found["left_out"])
    assert len(found["runs"]) == 3
