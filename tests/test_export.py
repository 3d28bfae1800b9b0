"""`python -m segbench.export`: the file predicts as the checkpoint does, or is not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from segbench.artifacts.segmenter import Segmenter
from segbench.config.compose import compose_checked, register
from segbench.errors import ConfigError, ExportError
from segbench.evaluate import evaluate
from segbench.export import export
from segbench.inference.onnx import OnnxNetwork
from segbench.inference.onnx_export import Deployed, export_onnx
from segbench.inference.onnx_sizes import divisor_of, least_size

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def config(verb: str, *overrides: str) -> Any:
    register()
    composed = compose_checked(verb, list(overrides))
    return OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])


@pytest.fixture(scope="module")
def exported(ckpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export(config("export", f"ckpt={ckpt}", f"output={file}", "argmax=true", "program=true"))
    return file


def test_the_file_predicts_as_the_checkpoint_at_any_size(exported: Path, ckpt: Path) -> None:
    theirs, ours = Segmenter(exported, device="cpu"), Segmenter(ckpt, device="cpu")
    assert theirs.num_params == ours.num_params
    for size in ((24, 33), (7, 5), (64, 64)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        found, expected = theirs.predict(image), ours.predict(image)
        assert found.labels.shape == size
        assert (found.labels == expected.labels).mean() > 0.999
        np.testing.assert_allclose(found.probs, expected.probs, atol=1e-5)


def test_other_inference_modes_work_too(exported: Path, ckpt: Path) -> None:
    tta = {"_target_": "segbench.inference.predictor.Predictor", "scales": [0.5, 1], "flip": True}
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    found, expected = (Segmenter(f, tta, "cpu").predict(image).probs for f in (exported, ckpt))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_evaluate_gives_the_same_scores(exported: Path, ckpt: Path, tmp_path: Path) -> None:
    options = ("gallery=0", "boundary=false", "calibration=false", "device=cpu")
    scores = []
    for number, file in enumerate((exported, ckpt)):
        run_dir = tmp_path / str(number)
        outcome = evaluate(config("evaluate", f"ckpt={file}", f"run_dir={run_dir}", *options))
        scores.append(outcome.score)
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_labels_are_the_argmax_of_the_logits(exported: Path) -> None:
    network = OnnxNetwork(exported)
    image = np.random.default_rng(0).random((2, 3, 20, 30), np.float32) * 255
    logits, labels = network.session.run(None, {"image": image})
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, logits.argmax(1))


def test_the_card_contains_what_other_programs_need(exported: Path) -> None:
    card = json.loads(exported.with_suffix(".json").read_text())
    assert len(card["classes"]["names"]) == 11
    assert card["mean"] == [0.4, 0.4, 0.4]
    assert card["parity"]["agreement"] >= 0.999
    assert len(card["parity"]["sizes"]) == 2
    assert set(card["outputs"]) == {"logits", "labels"}


def test_the_torch_program_runs_by_itself(exported: Path) -> None:
    program = torch.export.load(exported.with_suffix(".pt2")).module()
    network = OnnxNetwork(exported)
    for size in ((72, 136), (71, 133), (24, 33)):  # with and without padding
        image = torch.rand(3, 3, *size) * 255
        logits, labels = program(image)
        assert torch.equal(labels, logits.argmax(1).byte())
        expected, _ = network.session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(logits.detach().numpy(), expected, atol=1e-3)


def test_a_file_with_other_predictions_is_not_kept(
    ckpt: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_another(network: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(exported.read_bytes())  # in the place of the file for these weights
        with torch.no_grad():
            network.model.head.weight.neg_()

    monkeypatch.setattr("segbench.inference.onnx_export.export_onnx", write_another)
    with pytest.raises(ExportError, match="does not predict what the checkpoint predicts"):
        export(config("export", f"ckpt={ckpt}", f"output={tmp_path}/net.onnx"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_int8_is_smaller_and_still_runs(ckpt: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "net.onnx"
    export(config("export", f"ckpt={ckpt}", f"output={file}", f"quantize={kind}"))
    image = np.zeros((24, 33, 3), np.uint8)
    assert Segmenter(file, device="cpu").predict(image).labels.shape == (24, 33)
    assert 0 < json.loads(file.with_suffix(".json").read_text())["parity"]["agreement"] <= 1


def test_wrong_commands_are_explained(ckpt: Path, exported: Path, tmp_path: Path) -> None:
    for overrides, expected in (
        ((f"ckpt={ckpt}", "output=net.bin"), "must end in .onnx"),
        ((f"ckpt={exported}",), "is already ONNX"),
        ((f"ckpt={ckpt}", "output=net.ckpt"), "did you mean format=ckpt"),
        ((f"ckpt={ckpt}", "half=true"), "half is for format=ckpt"),
        ((f"ckpt={ckpt}", "format=ckpt", "argmax=true"), "argmax: only for format=onnx"),
        ((f"ckpt={ckpt}", "format=ckpt", f"output={ckpt}"), "is the checkpoint itself"),
    ):
        with pytest.raises(ConfigError, match=expected):
            export(config("export", *overrides))


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot read it"):
        Segmenter(tmp_path / "broken.onnx")
    with pytest.raises(ConfigError, match="there is no such file"):
        Segmenter(tmp_path / "missing.onnx")


def test_damage_to_an_exported_file_is_noticed(exported: Path, tmp_path: Path) -> None:
    data, file = exported.read_bytes(), tmp_path / "x.onnx"
    file.write_bytes(data)
    OnnxNetwork(file)
    for place in (*range(7, len(data), len(data) // 60), *range(len(data) - 86, len(data), 9)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(
            ConfigError, match=r"x\.onnx: (is damaged, or|ONNX Runtime|was not|its meta)"
        ):
            Segmenter(file)
    file.write_bytes(data[:-85])  # without the seal that its metadata declare
    with pytest.raises(ConfigError, match="is damaged, or another program"):
        Segmenter(file)


def test_without_onnx_runtime_the_extra_is_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segbench.inference.onnx.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnxruntime: pip install 'segbench\[export\]'"):
        Segmenter(exported)


class Strided(torch.nn.Module):
    """Two strides without padding, then `interpolate(size=...)`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 7, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, stride=2)
        )
        self.head = torch.nn.Conv2d(8, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = self.head(self.body(image))
        return torch.nn.functional.interpolate(logits, size=image.shape[-2:], mode="bilinear")


class Halving(torch.nn.Module):
    """A skip connection over two poolings: only multiples of 4 fit."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.head = torch.nn.Conv2d(8, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        detail = self.first(image)
        deep = torch.nn.functional.max_pool2d(detail, 4)
        return self.head(detail + torch.nn.functional.interpolate(deep, scale_factor=4.0))


@pytest.mark.parametrize(("network", "divisor", "least"), [(Strided(), 1, 16), (Halving(), 4, 1)])
def test_ordinary_networks_are_exported_and_their_sizes_are_known(
    network: torch.nn.Module, divisor: int, least: int, tmp_path: Path
) -> None:
    model = network.eval()
    assert divisor_of(model, 1) == divisor
    deployed = Deployed(model, [0.5] * 3, [0.2] * 3, divisor)
    export_onnx(deployed, tmp_path / "net.onnx", {})
    written = OnnxNetwork(tmp_path / "net.onnx")
    assert least_size(deployed, written) == least
    for size in ((64, 64), (37, 83), (120, 50)):
        image = torch.rand(1, 3, *size) * 255
        np.testing.assert_allclose(deployed(image).detach(), written(image), atol=1e-3)


def test_a_network_for_one_size_is_refused() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image + torch.zeros(20, 20)

    with pytest.raises(ExportError, match="cannot be exported for images of any size: RuntimeErr"):
        divisor_of(Fixed(), 1)
