"""`python -m segbench.export format=ckpt`: small, whole, without traces of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.export import export
from segbench.inference.onnx_export import ExportError
from segbench.training.segmenter import ASSETS, Segmenter

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
SHIPPED = sorted(ASSETS.glob("*.ckpt"))


@pytest.fixture
def hand_over(compose: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    def run(ckpt: Path, *words: str) -> Path:
        target = tmp_path / "out" / "net.ckpt"
        export(compose("export", f"ckpt={ckpt}", "format=ckpt", f"output={target}", *words))
        return target

    return run


def test_a_small_checkpoint_is_all_that_the_run_knew(
    train_tiny: Callable[..., Any], hand_over: Callable[..., Path], tmp_path: Path
) -> None:
    run = Path(train_tiny("seed=4", "ema=0.5").run_dir)
    result = json.loads((run / "result.json").read_text())
    ckpt = run / "checkpoints" / f"{result['protocol']['selection']}.ckpt"
    small = hand_over(ckpt)
    content = torch.load(small, weights_only=True)
    assert set(content) == {"state_dict", "segbench"}  # nothing else of the optimiser or the EMA
    assert str(tmp_path) not in repr(content["segbench"])
    ours, original = Segmenter(small, device="cpu"), Segmenter(ckpt, device="cpu")
    assert np.array_equal(ours.predict(PHOTO).probs, original.predict(PHOTO).probs)
    assert ours.meta["scores"]["test"] == result["scores"]["test"]
    text = small.with_suffix(".md").read_text()
    assert result["commit"] in text
    assert "| seed | 4 |" in text
    assert f"| mIoU | {100 * result['scores']['val']['mIoU']:.1f} |" in text
    assert f"| {100 * result['scores']['test']['mIoU']:.1f} |" in text
    assert str(tmp_path) not in text
    # A file that was not the one tested gets no test scores.
    other = ckpt.with_name("last.ckpt" if ckpt.name == "best.ckpt" else "best.ckpt")
    assert "test" not in Segmenter(hand_over(other), device="cpu").meta["scores"]
    # A small one may be handed over once more, from anywhere.
    again = hand_over(small.rename(tmp_path / "moved.ckpt"))
    assert Segmenter(again, device="cpu").meta["trained"] == content["segbench"]["trained"]


def test_half_is_half_as_large_and_checked(ckpt: Path, hand_over: Callable[..., Path]) -> None:
    whole = hand_over(ckpt).stat().st_size
    small = hand_over(ckpt, "half=true", "agreement=0.99")
    assert small.stat().st_size < 0.75 * whole  # of this tiny network, the config is a good part
    found = Segmenter(small, device="cpu").predict(PHOTO)
    expected = Segmenter(ckpt, device="cpu").predict(PHOTO)
    np.testing.assert_allclose(found.probs, expected.probs, atol=5e-3)
    weights = torch.load(small, weights_only=True)["state_dict"]
    assert weights["model.head.weight"].dtype == torch.float16
    assert all(v.dtype == torch.float32 for k, v in weights.items() if "running_var" in k)


def test_a_file_that_predicts_something_else_is_not_kept(
    ckpt: Path, hand_over: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "half", lambda self: (-self).to(torch.float16))
    with pytest.raises(ExportError, match=r"was not kept: only .* half=false"):
        hand_over(ckpt, "half=true")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not SHIPPED, reason="no checkpoint in segbench/assets yet")
def test_the_shipped_checkpoint_predicts_a_picture_of_any_size() -> None:
    (file,) = SHIPPED
    segmenter = Segmenter(device="cpu")
    assert segmenter.ckpt == file
    assert set(torch.load(file, weights_only=True)) == {"state_dict", "segbench"}
    assert file.stat().st_size < 10 * 2**20
    for size in ((37, 53), (120, 160)):
        found = segmenter.predict(np.zeros((*size, 3), np.uint8))
        assert found.labels.shape == size
        assert found.probs is not None
        np.testing.assert_allclose(found.probs.sum(0), 1, rtol=1e-4)
    text = file.with_suffix(".md").read_text()
    for part in ("## Scores", "## Limits", "## Terms", "| commit | `", f"`{file.name}`"):
        assert part in text
