"""What may be built from a file: plain values, in their place, of the right size."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segbench.artifacts import trust
from segbench.artifacts.checkpoint import read_checkpoint
from segbench.artifacts.entry import FIELDS, check_entry
from segbench.artifacts.offline import offline
from segbench.artifacts.plain import is_component
from segbench.artifacts.segmenter import Segmenter
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, DataError
from tests.artifacts.altered import UNET, changed

STREETS = {"_target_": "segbench.data.sources.streets.Streets", "size": [16, 24]}
FOLDER = "segbench.data.sources.folder.Folder"
HERE = __name__


class Block(nn.Module):
    """A custom block that records its arguments."""

    def __init__(self, width: int = 1, weights: str | None = "imagenet") -> None:
        super().__init__()
        self.width, self.weights = width, weights


class Nest(nn.Module):
    """A custom model that contains a custom block."""

    def __init__(self, num_classes: int, block: Any, pretrained: bool = True) -> None:
        super().__init__()
        self.block, self.pretrained = block, pretrained


class NoModel:
    """A class that is not a model."""


@pytest.mark.parametrize(
    ("part", "node"),
    [
        ("data", UNET),
        ("inference", UNET),
        ("model", STREETS),
        ("model", {"_target_": "segbench.models.unet.ConvNormAct"}),
        ("model", {"_target_": "segbench.models.hub.unreachable", "address": "http://x"}),
        ("model", {"_target_": "segbench.data.cache.cached_on_disk", "key": "../../Documents"}),
        ("model", {"_target_": "segbench.models.smp_network.SmpNetwork"}),
        ("model", {"_target_": ["segbench.models.unet.UNet"]}),
        ("model", {"_target_": "segbench.models.unet.UNet "}),
        ("model", {"_target_": "segbench.models.unet:UNet"}),
        ("model", {**UNET, "width": {"_target_": "segbench.models.unet.UNet"}}),
        ("model", {**UNET, "width": [[{"a": {"_target_": "os.system"}}]]}),
        ("model", {**UNET, "_partial_": True}),
        ("model", {**UNET, "_args_": [1]}),
        ("model", {**UNET, "width": "${oc.env:HOME}"}),
        ("model", {**UNET, "width": 10**9}),
        ("model", {**UNET, "width": 10**400}),
        ("model", {**UNET, "depth": float("nan")}),
        ("model", {**UNET, "num_classes": 2}),
        ("model", {**UNET, "width": torch.zeros(1)}),
        ("model", [UNET]),
        ("model", None),
        ("data", {**STREETS, "size": {"_target_": "segbench.data.cache.cached_on_disk"}}),
        ("data", {"_target_": "segbench.data.datamodule.SegmentationData"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_only_one_thing_of_each_kind_with_plain_arguments(part: str, node: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^ckpt=x: .*({part}|was not run)"):
        trust.admit(part, node, "ckpt=x")


def test_depth_is_bounded() -> None:
    node: Any = 1
    for _ in range(5000):
        node = [node]
    with pytest.raises(ConfigError, match="nested too deeply"):
        trust.admit("model", {**UNET, "width": node}, "x")


def test_custom_models_nest_custom_blocks_without_downloads() -> None:
    node = {
        "_target_": f"{HERE}.Nest",
        "block": {"_target_": f"{HERE}.Block", "width": 3, "weights": "http://x/y.pth"},
    }
    with pytest.raises(ConfigError, match=rf"was not run. If .* add 'allow_targets=\[{HERE}\]'"):
        trust.admit("model", node, "x")
    admitted = trust.admit("model", node, "x", [HERE])
    model = trust.construct("model", admitted, "x", num_classes=2)
    assert (model.block.width, model.block.weights, model.pretrained) == (3, None, False)
    for nested in ("os.system", "segbench.models.hub.problem", f"{HERE}.Path", f"{HERE}.os.system"):
        with pytest.raises(ConfigError):
            trust.admit("model", {**node, "block": {"_target_": nested}}, "x", [HERE])
    with pytest.raises(ConfigError, match=r"is not a torch\.nn\.Module"):
        trust.admit("model", {"_target_": f"{HERE}.NoModel"}, "x", [HERE])


@pytest.mark.parametrize(
    ("target", "allow"),
    [
        ("os.system", ["os"]),
        ("shutil.rmtree", ["shutil"]),
        ("segbench.models.hub.unreachable", ["segbench.models"]),
        ("segbench.models.hub.unreachable", ["segbench"]),
        ("builtins.eval", ["builtins", ""]),
    ],
)
def test_nothing_else_can_be_allowed(target: str, allow: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"it was not run$"):
        trust.admit("model", {"_target_": target}, "x", allow)


def test_classes_of_smp_are_one_option_away() -> None:
    node = {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "resnet18"}
    with pytest.raises(ConfigError, match=r"allow_targets=\[segmentation_models_pytorch\]"):
        trust.admit("model", node, "x")
    admitted = trust.admit("model", node, "x", ["segmentation_models_pytorch"])
    assert admitted["encoder_weights"] is None  # smp's own default downloads


def test_what_a_model_would_load_is_left_out() -> None:
    node = {"encoder_weights": "imagenet", "pretrained": True, "weights_backbone": "V1",
            "checkpoint_path": "/etc/passwd", "url": "http://x", "drop_path": 0.1, "depth": 3,
            "block": {"weights": "x"}}  # fmt: skip
    assert offline(node) == {
        "encoder_weights": None, "pretrained": False, "weights_backbone": None,
        "checkpoint_path": None, "url": None, "drop_path": 0.1, "depth": 3,
        "block": {"weights": None},
    }  # fmt: skip


def test_loaders_and_caches_are_those_of_the_machine() -> None:
    node = STREETS | {"cache_dir": "/some/folder", "cache_limit_gb": 0.0001, "num_workers": 99,
                      "cache": "disk", "batch_size": 9, "resize": [8, 8], "unknown": 1}  # fmt: skip
    assert trust.admit("data", node, "x") == STREETS | {"resize": [8, 8]}


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("inference", {"scales": [1.0] * 1000}, "scales: 1000 of them"),
        ("inference", {"scales": [1e6]}, "scales: 1 of them up to 1000000"),
        ("inference", {"divisor": 10**9}, "divisor must be at most"),
        ("data", {"test": 10**12}, "test is 1000000000000 but must be at most"),
        ("data", {"size": [10**6, 10**6]}, "size is 1000000 but must be at most"),
        ("data", {"_target_": FOLDER, "root": "/", "images": "{split}/a", "masks": "m",
                  "classes": ["a", "b"], "group_regex": "(a+)+b"}, "group_regex .* forever"),
    ],
)  # fmt: skip
def test_a_file_cannot_ask_for_endless_work(
    ckpt: Path, tmp_path: Path, part: str, change: dict[str, Any], said: str
) -> None:
    node = torch.load(ckpt, weights_only=True)["segbench"]["config"][part]
    node = change if "_target_" in change else node | change
    file = changed(ckpt, tmp_path / "x.ckpt", f"config.{part}", node)
    with pytest.raises((ConfigError, DataError), match=said):
        Segmenter(file, device="cpu").source()


ODD = (..., "\x1b[31m", "text", -1, 10**400, float("nan"), [None], [[]], {"a": []}, True)


def check_all(entry: dict[str, Any]) -> None:
    """Runs all checks of an entry that come before anything is built."""
    check_entry(entry, "ckpt=x")
    for part in ("model", "data", "inference"):
        trust.admit(part, entry["config"][part], "ckpt=x")


@pytest.mark.parametrize("path", FIELDS)
def test_an_altered_entry_is_at_most_one_error(ckpt: Path, path: str) -> None:
    entry = torch.load(ckpt, weights_only=True)["segbench"]
    check_all(entry)
    refused = 0
    for value in ODD:
        altered = copy.deepcopy(entry)
        *parents, last = path.split(".")
        place = altered
        for key in parents:
            place = place.setdefault(key, {})
        place.pop(last, None)
        if value is not ...:
            place[last] = value
        try:
            check_all(altered)
        except ConfigError as error:
            refused += str(error).startswith("ckpt=x: ") and "\x1b" not in str(error)
    assert refused >= 4  # some of the values are right


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("classes", ..., "classes is missing"),
        ("config", ..., "config is missing"),
        ("protocol", ..., "protocol is missing"),
        ("mean", ..., "mean is missing"),
        ("std", [0.1, 0.0, 0.1], "std: expected a positive number for each channel"),
        ("config.seed", "../../x", "config.seed: expected a number"),
        ("protocol.resize", [0, 10**9], "protocol.resize: expected null or"),
        ("protocol.resize", [32768, 32768], "protocol.resize: expected null or"),
        ("scores.test", {"mIoU": 1.0}, "scores.test: expected"),
    ],
)
def test_the_error_names_what_is_wrong(
    ckpt: Path, tmp_path: Path, path: str, value: Any, said: str
) -> None:
    file = changed(ckpt, tmp_path / "x.ckpt", path, value)
    with pytest.raises(ConfigError, match=f"altered or damaged: {said}"):
        read_checkpoint(file)


@pytest.mark.parametrize("name", ["a\0b", "x" * 400, "\x1b[0m", " ", "\u00e9" * 150])
def test_class_names_are_names(ckpt: Path, tmp_path: Path, name: str) -> None:
    names = torch.load(ckpt, weights_only=True)["segbench"]["classes"]["names"]
    file = changed(ckpt, tmp_path / "x.ckpt", "classes.names", [name, *names[1:]])
    with pytest.raises(ConfigError, match=r"x\.ckpt: .*(class name|control characters)"):
        read_checkpoint(file)
    with pytest.raises(ValueError, match="class name"):
        ClassSet((name, "b"), ((1, 0, 0), (2, 0, 0)))


def test_a_component_of_a_path() -> None:
    assert all(map(is_component, ("unet-streets", "..a", "a b", "\u00e9")))
    odd = ("", ".", "..", "a/b", "/a", "a\\b", "a\0", "a\n", "a" * 300, None, 3)
    assert not any(map(is_component, odd))


@pytest.mark.parametrize("name", ["../../../../escaped", "/escaped"])
def test_evaluate_does_not_follow_the_name_of_a_checkpoint(
    ckpt: Path, tmp_path: Path, name: str, compose: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from segbench.evaluate import evaluate

    monkeypatch.chdir(tmp_path)
    file = changed(ckpt, tmp_path / "evil.ckpt", "config.name", name)
    with pytest.raises(ConfigError, match=r"is not a valid folder name; set name=NAME"):
        evaluate(compose("evaluate", f"ckpt={file}"))
    assert os.listdir(tmp_path) == ["evil.ckpt"]
