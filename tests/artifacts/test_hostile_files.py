"""Files that were altered, damaged or made to harm are refused by name."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segbench.artifacts.checkpoint import load_checkpoint, read_checkpoint
from segbench.artifacts.segmenter import Segmenter
from segbench.errors import ConfigError
from segbench.inference import onnx
from segbench.models.weight_files import read_state
from tests.artifacts.altered import changed


class NoModel:
    """A class that is not a model."""


@pytest.mark.parametrize(
    "change", [{"dilations": [2] * 900}, {"shallow_blocks": 16000}, {"width": 16000}]
)
def test_a_model_far_larger_than_its_weights_is_not_built(
    ckpt: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    node = torch.load(ckpt, weights_only=True)["segbench"]["config"]["model"]
    file = changed(ckpt, tmp_path / "large.ckpt", "config.model", node | change)
    with pytest.raises(ConfigError, match="far larger than its weights"):
        load_checkpoint(file)


@pytest.mark.parametrize("meta", [None, [], "x", {}, {"format": 1}, {"format": 1, "config": []}])
def test_odd_metadata_of_an_onnx_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta: Any
) -> None:
    (tmp_path / "x.onnx").write_bytes(b"a graph")
    monkeypatch.setattr(onnx, "OnnxNetwork", lambda file: SimpleNamespace(meta=meta))
    with pytest.raises(ConfigError, match=r"x\.onnx: "):
        Segmenter(tmp_path / "x.onnx")


def test_every_flipped_bit_of_a_record_is_noticed(ckpt: Path, tmp_path: Path) -> None:
    content = ckpt.read_bytes()
    with zipfile.ZipFile(ckpt) as archive:
        record = max(archive.infolist(), key=lambda r: r.file_size)
    start = content.index(record.filename.encode()) + 200
    for place in range(start, start + record.file_size - 200, max(1, record.file_size // 7)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file = tmp_path / "flipped.ckpt"
        file.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"flipped\.ckpt: the file is damaged: the checksum"):
            load_checkpoint(file)
        with pytest.raises(ValueError, match="the file is damaged"):
            read_state(str(file))


def test_a_packed_record_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(ConfigError, match="compressed records"):
        read_checkpoint(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(ckpt: Path, tmp_path: Path, value: float) -> None:
    checkpoint = torch.load(ckpt, weights_only=True)
    checkpoint["state_dict"]["model.head.bias"][0] = value
    file = tmp_path / "diverged.ckpt"
    torch.save(checkpoint, file)
    with pytest.raises(ConfigError, match=r"1 of \d+ tensors .*head\.bias\)\. The training"):
        load_checkpoint(file)
    with pytest.raises(ValueError, match=r"head\.bias\)\. The training diverged"):
        read_state(str(file))


def test_the_refusal_of_a_pickle_gives_no_advice_to_run_it(tmp_path: Path) -> None:
    file = tmp_path / "evil.ckpt"
    torch.save({"segbench": NoModel()}, file)
    with pytest.raises(ConfigError, match="nothing of it was run") as caught:
        read_checkpoint(file)
    assert "weights_only" not in str(caught.value)
    assert "NoModel" in str(caught.value)
