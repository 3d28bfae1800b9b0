"""`python -m segbench.export format=ckpt`: small, complete, without traces of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segbench.artifacts.default_checkpoint import ASSETS
from segbench.artifacts.segmenter import Segmenter
from segbench.errors import ExportError
from segbench.export import export

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
    assert set(content) == {"state_dict", "segbench"}  # nothing else of the optimizer or the EMA
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
    # A small one can be exported again, from any folder.
    again = hand_over(small.rename(tmp_path / "moved.ckpt"))
    assert Segmenter(again, device="cpu").meta["trained"] == content["segbench"]["trained"]


def test_the_card_states_the_epoch_of_the_exported_weights(
    train_tiny: Callable[..., Any], hand_over: Callable[..., Path]
) -> None:
    run = Path(train_tiny("selection=best").run_dir)
    file = run / "result.json"
    result = json.loads(file.read_text())
    last = run / "checkpoints" / "last.ckpt"
    # As if the best epoch had been the first.
    file.write_text(json.dumps(result | {"selected_epoch": 1}))
    small = hand_over(last)
    text = small.with_suffix(".md").read_text()
    assert "weights of epoch 2 (not those of epoch 1, which selection=best chose" in text
    assert "belong to a different epoch (1)" in text
    assert "test" not in Segmenter(small, device="cpu").meta["scores"]
    file.write_text(json.dumps(result | {"selected_epoch": 2}))
    small = hand_over(last)
    assert "weights of epoch 2 (selection=best)" in small.with_suffix(".md").read_text()
    assert Segmenter(small, device="cpu").meta["scores"]["test"] == result["scores"]["test"]


def test_a_run_without_a_test_is_handed_over(
    train_tiny: Callable[..., Any], hand_over: Callable[..., Path]
) -> None:
    run = Path(train_tiny("test=false", "selection=last", "trainer.max_epochs=1").run_dir)
    small = hand_over(run / "checkpoints" / "last.ckpt")
    assert "test" not in Segmenter(small, device="cpu").meta["scores"]
    assert "weights of epoch 1 (selection=last)" in small.with_suffix(".md").read_text()


def test_half_is_half_as_large_and_checked(ckpt: Path, hand_over: Callable[..., Path]) -> None:
    whole = hand_over(ckpt).stat().st_size
    small = hand_over(ckpt, "half=true", "agreement=0.99")
    assert small.stat().st_size < 0.75 * whole  # the config is a large part of this tiny checkpoint
    found = Segmenter(small, device="cpu").predict(PHOTO)
    expected = Segmenter(ckpt, device="cpu").predict(PHOTO)
    np.testing.assert_allclose(found.probs, expected.probs, atol=5e-3)
    weights = torch.load(small, weights_only=True)["state_dict"]
    assert weights["model.head.weight"].dtype == torch.float16
    assert all(v.dtype == torch.float32 for k, v in weights.items() if "running_var" in k)


def test_a_file_with_other_predictions_is_not_kept(
    ckpt: Path, hand_over: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "half", lambda self: (-self).to(torch.float16))
    with pytest.raises(ExportError, match=r"was not kept: only .* half=false"):
        hand_over(ckpt, "half=true")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not SHIPPED, reason="no checkpoint in segbench/assets yet")
def test_the_shipped_checkpoint_predicts_an_image_of_any_size() -> None:
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


def test_a_training_starts_from_the_shipped_weights(
    train_tiny: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "model=fpn_efficientnet_lite0", "weights=shipped", "trainer.max_epochs=0", "selection=last",
    )  # fmt: skip
    checkpoint = Path(train_tiny(*words).run_dir) / "checkpoints" / "last.ckpt"
    assert "tensors loaded" in capsys.readouterr().out
    found = torch.load(checkpoint, weights_only=True)["state_dict"]
    shipped = torch.load(SHIPPED[0], weights_only=True)["state_dict"]
    name = next(key for key in shipped if key.endswith("weight") and shipped[key].ndim == 4)
    assert torch.equal(found[name].float(), shipped[name].float())
