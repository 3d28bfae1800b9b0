"""Every model of conf/ can be explained, drawn, exported, measured; takes a minute per model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from segbench.artifacts.build import build_model
from segbench.benchmark import benchmark
from segbench.config import config_dir
from segbench.config.compose import compose_checked, register
from segbench.config.places import complete_models
from segbench.cost.profiling import count_macs, count_params
from segbench.explanation.architecture import trace
from segbench.explanation.embeddings import sample_cells
from segbench.explanation.features import heat_map, run_with_features
from segbench.inference.onnx import OnnxNetwork
from segbench.inference.onnx_export import Deployed, agreement, export_onnx
from segbench.models.torchvision_zoo import TorchvisionNetwork
from segbench.training.loss_terms import step_terms

MODELS = complete_models()
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Reasons why models cannot be exported to ONNX; at most one of ours may be here.
NOT_EXPORTABLE: dict[str, str] = {}

pytestmark = pytest.mark.slow


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(name: str) -> nn.Module:
    torch.manual_seed(0)
    node = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{name}.yaml"))
    network = build_model(node, num_classes=5)  # type: ignore[arg-type]
    # Statistics of real activations; otherwise logits of random weights would explode.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 96, 128))
    return network.eval()


def test_heat_maps_and_features(model: nn.Module) -> None:
    image = torch.randn(1, 3, 96, 128)
    for label in (0, 1):
        heat = heat_map(model, image, label)
        assert heat.shape == (96, 128)
        assert heat.isfinite().all()
        assert 0 <= heat.min() <= heat.max() <= 1
    with torch.no_grad():
        features = run_with_features(model, image, "head.input").features[0].numpy()
    mask = torch.arange(96 * 128).view(96, 128) // (48 * 128)
    cells = sample_cells([(features, mask.byte().numpy())], 5, per_class=10, seed=0)
    assert set(cells.labels) == {0, 1}


def test_features_cover_the_image_as_the_model_pads_it(model: nn.Module) -> None:
    image = torch.randn(1, 3, 90, 131)
    with torch.no_grad():
        found = run_with_features(model, image, "head.input")
        height, width = found.extent
        padded = F.pad(image, (0, width - 131, 0, height - 90), mode="replicate")
        again = run_with_features(model, padded, "head.input")
    assert again.extent == found.extent
    torch.testing.assert_close(again.features, found.features)
    if not isinstance(model, TorchvisionNetwork):  # its maps have any size
        assert height % found.features.shape[2] == 0
        assert width % found.features.shape[3] == 0


def test_the_drawing_contains_every_product(model: nn.Module) -> None:
    found = trace(model)
    assert found.macs == count_macs(model, found.size)
    aux = getattr(model, "aux_head", None)  # does not run, so no stage contains it
    unused = count_params(aux) if aux is not None else 0
    assert sum(stage.params for stage in found.stages) == found.params - unused
    assert len(found.arrows) >= len(found.stages) - 1


def gradients(name: str) -> dict[str, torch.Tensor]:
    """Of one training step, with all its losses."""
    torch.manual_seed(0)
    node = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / f"{name}.yaml"))
    model: Any = build_model(node, num_classes=5).train()  # type: ignore[arg-type]
    image, mask = torch.randn(2, 3, 75, 101), torch.randint(0, 5, (2, 75, 101))
    loss = partial(F.cross_entropy, ignore_index=255)
    terms = step_terms(model, loss, image, mask, ignore_index=255, progress=0.0)
    torch.stack(list(terms.values())).sum().backward()
    return {key: p.grad for key, p in model.named_parameters() if p.grad is not None}


def test_a_step_repeats_with_deterministic_algorithms(name: str) -> None:
    torch.use_deterministic_algorithms(True)
    first, again = gradients(name), gradients(name)
    assert first
    assert all(torch.equal(again[key], value) for key, value in first.items())


def test_a_row_of_the_benchmark(name: str, tmp_path: Path) -> None:
    register()
    words = ("sizes=[[32,48]]", "batch_sizes=[1]", "seconds=0.01", "rounds=2", "train_batch=2")
    file = tmp_path / "benchmark.json"
    composed = compose_checked(
        "benchmark", [f"models=[{name}]", f"output={file}", "train_steps=2", *words]
    )
    settings = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    assert benchmark(settings).status == "finished"
    (row,) = json.loads(file.read_text())["models"]
    assert row["error"] is None
    assert row["macs"] > 0
    assert row["peak_memory_training_mib"] > 0
    assert row["train_step_ms"]["total"] > 0


def test_onnx_agrees_at_two_sizes(model: nn.Module, name: str, tmp_path: Path) -> None:
    if name in NOT_EXPORTABLE:
        pytest.skip(NOT_EXPORTABLE[name])
    network = Deployed(model, MEAN, STD)
    export_onnx(network, tmp_path / "net.onnx", {})
    written = OnnxNetwork(tmp_path / "net.onnx")
    for size in ((96, 128), (75, 141)):
        image = torch.rand(1, 3, *size) * 255
        same, difference = agreement(network, written, image)
        assert same >= 0.999
        assert difference < 1e-3
