"""Models of transformers as entrants, and their folders as weights for ours; no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from segbench.artifacts.build import build_model
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ConfigError
from segbench.models.hf import PublishedModel
from segbench.models.label_names import match
from segbench.models.options import encoder_name
from segbench.models.smp_transformers import segformer
from segbench.models.weights import load_weights
from segbench.training.optim import parameter_groups
from tests.models.test_transformers import image, shaken

transformers = pytest.importorskip("transformers")

LABELS = ["wall", "Road", "traffic-light", "sky"]
NAMES = ["sky", "road", "traffic light"]
TARGET = "segbench.models.hf.PublishedModel"


def small(kind: str, labels: list[str] = LABELS) -> nn.Module:
    named: dict[str, Any] = {"id2label": dict(enumerate(labels))}
    named["label2id"] = {label: i for i, label in enumerate(labels)}
    if kind == "segformer":
        config = transformers.SegformerConfig(
            hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16, **named,
        )  # fmt: skip
        return shaken(transformers.SegformerForSemanticSegmentation(config))
    backbone = transformers.SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_layers=1, decoder_layers=2, num_queries=6, **named,
    )  # fmt: skip
    return shaken(transformers.Mask2FormerForUniversalSegmentation(config))


@pytest.fixture(params=["segformer", "mask2former"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    small(request.param).save_pretrained(tmp_path / "published")
    return tmp_path / "published"


def test_classes_are_found_by_name(folder: Path) -> None:
    model = build_model({"_target_": TARGET, "path": str(folder)}, 3, class_names=NAMES).eval()
    assert model.columns.tolist() == [3, 1, 2]
    theirs = model.network
    x = image((64, 96))
    with torch.inference_mode():
        logits = model(x)
        found = theirs(x)
    if hasattr(found, "logits"):
        expected = torch.nn.functional.interpolate(found.logits, (64, 96), mode="bilinear")
        torch.testing.assert_close(logits, expected[:, [3, 1, 2]])
    assert model(image((37, 50))).shape == (2, 3, 37, 50)


def test_a_checkpoint_needs_no_folder(folder: Path) -> None:
    """What `portable` gives builds the model again; the weights come with the checkpoint."""
    model = PublishedModel(3, str(folder), class_names=NAMES).eval()
    node = json.loads(json.dumps(model.portable()))
    again = PublishedModel(3, **node).eval()
    again.load_state_dict(model.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(again(image((40, 50))), model(image((40, 50))))


def test_a_fresh_classifier(folder: Path) -> None:
    model = PublishedModel(2, str(folder), labels="new", class_names=["a", "b"])
    assert model(image((32, 32))).shape == (2, 2, 32, 32)


def test_labels_that_do_not_map(folder: Path) -> None:
    node = {"_target_": TARGET, "path": str(folder)}
    with pytest.raises(ConfigError) as caught:
        build_model(node, 3, class_names=["sky", "car", "street"])
    for part in (
        "no label for the classes car, street",
        "wall, Road, traffic-light, sky",
        "labels=new",
    ):
        assert part in str(caught.value)
    model = build_model({**node, "labels": {"street": "Road"}}, 2, class_names=["sky", "street"])
    assert model.columns.tolist() == [3, 1]
    with pytest.raises(ConfigError, match="labels names moon, which are no classes"):
        build_model({**node, "labels": {"moon": "sky"}}, 1, class_names=["sky"])


def test_labels_that_fit_twice() -> None:
    labels = {0: "Wall", 1: "wall", 2: "road", 3: "road", 4: "sky"}
    assert match(labels, ["wall", "sky"], {}, 2) == [1, 4]
    with pytest.raises(ValueError, match="several labels for the classes WALL, road"):
        match(labels, ["WALL", "road"], {}, 2)
    with pytest.raises(ValueError, match="one label for the classes sky, heaven"):
        match(labels, ["sky", "heaven"], {"heaven": "Sky"}, 2)


def test_matching_without_names() -> None:
    assert match(dict(enumerate(LABELS)), None, {}, 3) == [0, 1, 2]
    with pytest.raises(ValueError, match="has 4 labels, 5 classes are asked for"):
        match(dict(enumerate(LABELS)), None, {}, 5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "there is no such folder with a config.json"),
        ("/nowhere/at/all", "there is no such folder with a config.json"),
        ("nobody/nothing", "is not in the cache"),
    ],
)
def test_no_such_model(path: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segbench.models.hub.unreachable", lambda address: "no network")
    with pytest.raises(ConfigError, match=message):
        build_model({"_target_": TARGET, "path": path}, 3, class_names=NAMES)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "segformer", "architectures": ["Trainer"]},
            "names no model of transformers",
        ),
        ({"model_type": "segformer"}, "names no model of transformers"),
        ({"model_type": "nonsense"}, "nonsense"),
        (
            {"model_type": "segformer", "architectures": ["SegformerForImageClassification"]},
            "is no model for semantic segmentation",
        ),
        (
            {"model_type": "eomt", "architectures": ["EomtForUniversalSegmentation"]},
            "take model=eomt_vit_small or eomt_vit_base with weights=PATH",
        ),
    ],
)
def test_folders_of_other_kinds(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        build_model({"_target_": TARGET, "path": str(tmp_path)}, 3, class_names=NAMES)
    assert len(str(caught.value)) < 700


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        build_model({"_target_": TARGET, "path": str(folder)}, 3, class_names=NAMES)


def test_weights_that_lack_a_part(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """transformers would fill it with random values and only warn."""
    state = load_file(folder / "model.safetensors")
    head = ("decode_head.linear_fuse", "model.pixel_level_module.decoder.adapter")
    kept = {key: value for key, value in state.items() if not key.startswith(head)}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    for labels in ("match", "new"):
        node = {"_target_": TARGET, "path": str(folder), "labels": labels}
        with pytest.raises(ConfigError, match=r"the weights lack .*(fuse|adapter).*not complete"):
            build_model(node, 3, class_names=NAMES)
    assert "Loading weights" not in "".join(capfd.readouterr())


def test_rates_of_its_encoder(folder: Path) -> None:
    """It is a property: its parameters have another name in the model."""
    model = PublishedModel(3, str(folder), class_names=NAMES)
    prefix = encoder_name(model)
    assert prefix in ("network.segformer", "network.model")
    names = {id(p): name for name, p in model.named_parameters()}
    for options in ({"layer_decay": 0.5}, {"encoder_lr_factor": 0.1}):
        slower = [
            names[id(parameter)]
            for group in parameter_groups(model, 1.0, 0.1, **options)
            for parameter in group["params"]
            if group["lr"] < 1
        ]
        assert slower
        assert all(name.startswith(f"{prefix}.") for name in slower)


def test_transformers_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'segbench\[hf\]'"):
        build_model({"_target_": TARGET, "path": "x"}, 3, class_names=NAMES)


def test_a_folder_as_weights(tmp_path: Path) -> None:
    config = transformers.SegformerConfig(
        hidden_sizes=[32, 64, 160, 256], decoder_hidden_size=256, num_labels=3
    )
    theirs = shaken(transformers.SegformerForSemanticSegmentation(config))
    theirs.save_pretrained(tmp_path)
    report = load_weights(segformer(3), str(tmp_path))
    assert not report.missing
    assert not report.unexpected
    assert load_weights(segformer(7), str(tmp_path)).reinitialized
    with pytest.raises(ValueError, match="another architecture, so nothing was loaded"):
        load_weights(segformer(3, encoder_name="mit_b1"), str(tmp_path))


@pytest.mark.slow
def test_a_run(train_tiny: Any, tmp_path: Path) -> None:
    """Fine-tuned, tested, and loaded again after the folder is gone."""
    small("segformer").save_pretrained(tmp_path / "published")
    outcome = train_tiny("model=hf", f"model.path={tmp_path}/published", "model.labels=new")
    assert outcome.status == "finished"
    (tmp_path / "published" / "config.json").unlink()
    from segbench.artifacts.segmenter import Segmenter

    segmenter = Segmenter(RunDirectory(tmp_path / "run").best_checkpoint)
    assert segmenter.classes.num_classes == 11
