"""Four 16-bit bands through every verb, compared with the same set read as three bands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.segmenter import Segmenter
from segbench.errors import ConfigError
from segbench.evaluate import evaluate
from segbench.explain import explain
from segbench.export import export
from segbench.predict import predict

FOUR = ("channels=4", "value_range=[0,4000]", "show=[2,1,0]")


def write_four_bands(root: Path, train: int = 6) -> Path:
    """TIFFs of 0..3999 in which only the fourth band separates the two classes."""
    for split, count in (("train", train), ("val", 3), ("test", 3)):
        for index in range(count):
            rng = np.random.default_rng((index, count))
            image = rng.integers(0, 4000, (40, 48, 4)).astype(np.uint16)
            mask = np.zeros((40, 48), np.uint8)
            top, left = rng.integers(0, 20, 2)
            mask[top : top + 20, left : left + 24] = 1
            image[..., 3] = np.where(mask == 1, 3200, 500) + rng.integers(0, 300, mask.shape)
            for folder in ("images", "masks"):
                (root / folder / split).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                root / "images" / split / f"s{index}.tif", image, photometric="rgb",
                extrasamples=["unspecified"], planarconfig="contig",
            )  # fmt: skip
            Image.fromarray(mask).save(root / "masks" / split / f"s{index}.png")
    return root


def words(root: Path, *keys: str) -> tuple[str, ...]:
    return (
        "data=folder", f"data.root={root}", "data.images=images/{split}/{name}.tif",
        "data.masks=masks/{split}/{name}.png", "data.classes=[field,water]",
        "data.mean=auto", "data.std=auto", *(f"data.{key}" for key in keys),
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_four_bands(tmp_path_factory.mktemp("four"))


def test_four_bands_through_every_verb(
    root: Path, train_tiny: Any, compose: Any, tmp_path: Path
) -> None:
    shared = ("trainer.max_epochs=12", "selection=last", "optimizer.lr=0.02", "samples=1")
    given = (*words(root, *FOUR, "hflip=0.5", "scale_range=[0.8,1.2]"), *shared, "model.width=8")
    outcome = train_tiny(*given, "data.crop_size=[40,48]", "data.blur=0.2", "data.cutout=0.2")
    assert outcome.score > 0.8  # possible only with the fourth band
    run = RunDirectory(tmp_path / "run")
    ckpt = run.last_checkpoint
    result = run.read_result()
    assert result is not None
    assert result.protocol is not None
    assert result.protocol.bands is not None
    assert (result.protocol.bands.channels, result.protocol.bands.value_range) == (4, (0.0, 4000.0))
    segmenter = Segmenter(ckpt, device="cpu")
    assert len(segmenter.meta["mean"]) == 4
    device = ("device=cpu", "gallery=1", "boundary=false", "calibration=false")
    scored = evaluate(compose("evaluate", f"ckpt={ckpt}", f"run_dir={tmp_path}/ev", *device))
    assert scored.score == pytest.approx(outcome.score, abs=1e-6)

    output = f"output={tmp_path}/seen"
    source = f"source={root}/images/test"
    assert predict(compose("predict", f"ckpt={ckpt}", source, output)) == 0
    again = evaluate(
        compose("evaluate", f"predictions={tmp_path}/seen/ids", *words(root, *FOUR),
                f"run_dir={tmp_path}/again", "gallery=1", "boundary=false")
    )  # fmt: skip
    assert again.score == pytest.approx(outcome.score, abs=1e-6)
    overlay = np.array(Image.open(tmp_path / "seen" / "side_by_side" / "s0.png"))
    stored = tifffile.imread(root / "images" / "test" / "s0.tif")
    shown = np.rint(stored[..., 2::-1].astype(np.float32) * (255 / 4000))
    np.testing.assert_array_equal(overlay[:40, :48], shown)

    explain(compose("explain", f"ckpt={ckpt}", "images=1", f"output={tmp_path}/why", "device=cpu"))
    assert list((tmp_path / "why").glob("*.png"))
    net = tmp_path / "net.onnx"
    export(compose("export", f"ckpt={ckpt}", f"output={net}", "images=2"))
    card = json.loads(net.with_suffix(".json").read_text())
    assert card["parity"]["agreement"] > 0.999
    assert card["input"]["image"].startswith("float32 [N, 4, H, W], all bands")
    assert card["bands"] == {"channels": 4, "value_range": [0.0, 4000.0], "show": [2, 1, 0]}
    by_onnx = evaluate(compose("evaluate", f"ckpt={net}", f"run_dir={tmp_path}/onnx", *device))
    assert by_onnx.score == pytest.approx(outcome.score, abs=1e-4)


def test_a_checkpoint_for_four_bands_reports_the_given_bands(
    root: Path, train_tiny: Any, tmp_path: Path
) -> None:
    train_tiny(*words(root, "channels=[3,0,1,2]", "value_range=percentile"), "trainer.max_epochs=1")
    segmenter = Segmenter(RunDirectory(tmp_path / "run").last_checkpoint, device="cpu")
    low, high = segmenter.bands.limits
    assert 0 <= low < 100
    assert 3900 < high < 4000
    with pytest.raises(ValueError, match=r"uint16 or float32 \[H, W, 4\]"):
        segmenter.predict(np.zeros((8, 8, 3), np.uint8))
    stored = tifffile.imread(root / "images" / "test" / "s0.tif")[..., [3, 0, 1, 2]]
    found = segmenter.predict(root / "images" / "test" / "s0.tif").labels
    np.testing.assert_array_equal(found, segmenter.predict(stored).labels)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (("channels=4", "value_range=[0,4000]", "color_jitter=0.2"), "color_jitter works only on"),
        (
            ("channels=4", "value_range=[0,4000]", "frames_on_device=true"),
            "supports only 8-bit RGB",
        ),
        (("channels=4", "value_range=[0,4000]", "mean=[0.1,0.2,0.3]"), "3 value.s. for 4 channel"),
        (("channels=4",), "data.value_range="),
        (("channels=5", "value_range=[0,4000]"), "data.channels=4"),
        (("value_range=[4000,0]",), "lo < hi"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    root: Path, train_tiny: Any, keys: tuple[str, ...], says: str
) -> None:
    from segbench.errors import DataError

    with pytest.raises((ConfigError, DataError), match=says):
        train_tiny(*words(root, *keys))


def test_a_checkpoint_for_rgb_is_not_scored_on_four_bands(
    root: Path, ckpt: Path, compose: Any
) -> None:
    given = [word for word in words(root, *FOUR) if "=auto" not in word]
    with pytest.raises(ConfigError, match=r"expects channels=3, value_range=auto, .*channels=4"):
        evaluate(compose("evaluate", f"ckpt={ckpt}", *given))


OWN = """
import torch
class Narrow(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.Conv2d(3, num_classes, 1)
    def forward(self, image):
        return self.head(image)
"""


def test_a_model_for_three_channels_is_refused_by_name(
    root: Path, train_tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "narrow_model.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(ConfigError, match=r"4 channels .*narrow_model\.Narrow has no"):
            train_tiny(*words(root, *FOUR), "model=unet", "~model.width", "~model.depth",
                       "~model.dropout", "model._target_=narrow_model.Narrow")  # fmt: skip
    finally:
        sys.modules.pop("narrow_model", None)
