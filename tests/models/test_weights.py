"""Weights from files and hubs: loaded completely, or refused without writing anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import segmentation_models_pytorch
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn

from segbench.models import smp
from segbench.models.fcn import FCN8s
from segbench.models.hrnet import HRNet
from segbench.models.pspnet import PSPNet
from segbench.models.unet import UNet
from segbench.models.weights import load_weights


def small(num_classes: int = 5, width: int = 4, seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(num_classes, width=width, depth=2)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def save_checkpoint(state: dict[str, Tensor], path: Path) -> None:
    prefixed = {f"model.{key}": value for key, value in state.items()}
    torch.save({"state_dict": prefixed | {"loss.weight": torch.ones(5)}, "epoch": 3}, path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("w.pt", torch.save),
        ("w.pth", lambda state, path: torch.save({"state_dict": state}, path)),
        ("w.ckpt", save_checkpoint),
        ("w.safetensors", save_file),
        (
            "parallel.pt",
            lambda state, path: torch.save({f"module.{k}": v for k, v in state.items()}, path),
        ),
    ],
)
def test_formats(name: str, save: object, tmp_path: Path) -> None:
    theirs, ours = small(seed=1), small(seed=2)
    save(theirs.state_dict(), tmp_path / name)
    report = load_weights(ours, str(tmp_path / name))
    assert same(ours.state_dict(), theirs.state_dict())
    assert report.loaded == len(theirs.state_dict())
    assert not report.reinitialized
    assert not report.missing
    assert report.unexpected == (("loss.weight",) if name == "w.ckpt" else ())


class Wrapping(nn.Module):
    """A model with a part named like the prefix of a training framework."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.add_module(part, nn.Conv2d(3, 4, 1))
        self.head = nn.Conv2d(4, 5, 1)


@pytest.mark.parametrize("part", ["model", "module"])
@pytest.mark.parametrize("save", [torch.save, save_checkpoint])
def test_a_network_may_have_a_part_called_model(part: str, save: object, tmp_path: Path) -> None:
    theirs, ours = Wrapping(part), Wrapping(part)
    save(theirs.state_dict(), tmp_path / "w.pt")
    load_weights(ours, str(tmp_path / "w.pt"))
    assert same(ours.state_dict(), theirs.state_dict())


def test_head_is_reinitialized_for_other_classes(tmp_path: Path) -> None:
    theirs, ours = small(num_classes=7, seed=1), small(num_classes=5, seed=2)
    fresh = ours.head.weight.clone()
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    report = load_weights(ours, str(tmp_path / "w.pt"))
    assert torch.equal(ours.head.weight, fresh)
    assert torch.equal(ours.down[0][0][0].weight, theirs.down[0][0][0].weight)
    assert "head.weight: 7x4x1x1 -> 5x4x1x1" in report.reinitialized
    assert "re-initialized" in str(report)


class Decoding(nn.Module):
    """A model whose `head` is a whole decoder, as in torchvision."""

    def __init__(self, num_classes: int, width: int = 8, layers: int = 1) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 1)
        self.head = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(layers - 1)))
        self.head.append(nn.Conv2d(4, width, 1)).append(nn.Conv2d(width, num_classes, 1))


@pytest.mark.parametrize(
    "theirs",
    [Decoding(5, width=6), Decoding(7, width=6), Decoding(5, layers=2), Decoding(7, layers=2)],
)
def test_another_decoder_within_the_head_is_refused(theirs: nn.Module, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    for ours in (Decoding(5), Decoding(5, layers=3)):
        before = {key: value.clone() for key, value in ours.state_dict().items()}
        with pytest.raises(ValueError, match="another architecture, so nothing was loaded"):
            load_weights(ours, str(tmp_path / "w.pt"))
        assert same(ours.state_dict(), before)


def test_the_decoder_within_the_head_is_loaded_for_other_classes(tmp_path: Path) -> None:
    theirs, ours = Decoding(7), Decoding(5)
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    report = load_weights(ours, str(tmp_path / "w.pt"))
    assert torch.equal(ours.head[0].weight, theirs.head[0].weight)
    assert [line.split(":")[0] for line in report.reinitialized] == ["head.1.weight", "head.1.bias"]


def test_deconvolutions_of_other_classes_are_reinitialized(tmp_path: Path) -> None:
    torch.save(FCN8s(7, fc_channels=4).state_dict(), tmp_path / "w.pt")
    report = load_weights(FCN8s(5, fc_channels=4), str(tmp_path / "w.pt"))
    assert "head.up8.weight: 7x7x16x16 -> 5x5x16x16" in report.reinitialized


def test_another_architecture_is_refused_completely(tmp_path: Path) -> None:
    ours = small(width=4)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    torch.save(small(width=8).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ValueError, match="another architecture, so nothing was loaded") as error:
        load_weights(ours, str(tmp_path / "wide.pt"))
    assert "down.0.0.0.weight" in str(error.value)
    assert "8x3x3x3" in str(error.value)
    assert "4x3x3x3" in str(error.value)
    assert same(ours.state_dict(), before)


def test_a_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    entry = {"config": {"name": "wide-mine"}, "mean": [0.5, 0.4], "std": [0.2, 0.1]}
    file = tmp_path / "w.ckpt"
    torch.save({"state_dict": small().state_dict(), "segbench": entry}, file)
    with pytest.raises(ValueError, match="these are of a run 'wide-mine'"):
        load_weights(small(width=8), str(file))
    assert load_weights(small(), str(file)).normalization == ((0.5, 0.4), (0.2, 0.1))
    for damaged in ({"mean": "x", "std": [1.0]}, {"config": 3}, 5):
        torch.save({"state_dict": small().state_dict(), "segbench": damaged}, file)
        assert load_weights(small(), str(file)).normalization == ()


def test_deeper_variant_is_refused(tmp_path: Path) -> None:
    """All basic blocks of ResNet-18 also exist in ResNet-34, with more between them."""
    torch.save(smp.unet(5, encoder_name="resnet34").state_dict(), tmp_path / "deep.pt")
    with pytest.raises(ValueError, match=r"encoder\.layer1\.2"):
        load_weights(smp.unet(5, encoder_name="resnet18"), str(tmp_path / "deep.pt"))


def test_unknown_parts_are_reported(tmp_path: Path) -> None:
    state = small(seed=1).state_dict()
    torch.save(state | {"imagenet_classifier.weight": torch.ones(2)}, tmp_path / "w.pt")
    report = load_weights(small(), str(tmp_path / "w.pt"))
    assert report.unexpected == ("imagenet_classifier.weight",)
    assert "imagenet_classifier.weight" in str(report)


def test_missing_head_is_reported(tmp_path: Path) -> None:
    state = {k: v for k, v in small(seed=1).state_dict().items() if not k.startswith("head")}
    torch.save(state, tmp_path / "w.pt")
    assert load_weights(small(), str(tmp_path / "w.pt")).missing == ("head.weight", "head.bias")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_truncated_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=name):
        load_weights(small(), str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (small(), "not a file of plain"),
        ([1, 2], "expected a state_dict"),
        ({"a": 1}, "state_dict"),
    ],
)
def test_not_a_state_dict(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        load_weights(small(), str(tmp_path / "w.pt"))


def test_no_such_file() -> None:
    with pytest.raises(ValueError, match="no such file"):
        load_weights(small(), "nowhere/w.pt")


def test_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub cache with one smp model in it, as saved by smp."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    theirs, ours = smp.unet(5, encoder_name="resnet18"), smp.unet(5, encoder_name="resnet18")
    snapshot = tmp_path / "models--someone--unet" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    state = {k.replace("head.", "segmentation_head."): v for k, v in theirs.state_dict().items()}
    save_file(state, snapshot / "model.safetensors")
    load_weights(ours, "someone/unet")
    assert same(ours.state_dict(), theirs.state_dict())


def test_pspnet_loads_the_head_of_an_smp_checkpoint(tmp_path: Path) -> None:
    theirs = segmentation_models_pytorch.PSPNet("resnet18", None, encoder_depth=5, classes=5)
    ours = PSPNet(5, encoder_name="resnet18", encoder_output_stride=16)
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    report = load_weights(ours, str(tmp_path / "w.pt"))
    assert torch.equal(ours.head[0].weight, theirs.segmentation_head[0].weight)
    assert not report.unexpected
    assert {key.split(".")[0] for key in report.missing} == {"aux_head"}


def test_hub_name_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"'someone/unet' is not in the cache.*HF_HOME"):
        load_weights(small(), "someone/unet")


def official_hrnet(width: int, num_classes: int) -> dict[str, Tensor]:
    """Names and shapes of an HRNet-Semantic-Segmentation checkpoint, from its structure."""
    state: dict[str, Tensor] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        state[f"model.{name}.weight"] = torch.randn(out, into, kernel, kernel)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"model.{name}.{part}"] = torch.rand(channels)

    def conv_norm(name: str, out: int, into: int, kernel: int) -> None:
        conv(f"{name}.0", out, into, kernel)
        norm(f"{name}.1", out)

    def block(name: str, sizes: list[tuple[int, int, int]]) -> None:
        for place, (out, into, kernel) in enumerate(sizes, start=1):
            conv(f"{name}.conv{place}", out, into, kernel)
            norm(f"{name}.bn{place}", out)

    block("", [(64, 3, 3), (64, 64, 3)])
    state = {key.replace("model..", "model."): value for key, value in state.items()}
    for index in range(4):
        into = 256 if index else 64
        block(f"layer1.{index}", [(64, into, 1), (64, 64, 3), (256, 64, 1)])
    conv_norm("layer1.0.downsample", 256, 64, 1)
    w = [width, 2 * width, 4 * width, 8 * width]
    conv_norm("transition1.0", w[0], 256, 3)
    conv_norm("transition1.1.0", w[1], 256, 3)
    conv_norm("transition2.2.0", w[2], w[1], 3)
    conv_norm("transition3.3.0", w[3], w[2], 3)
    for stage, branches, modules in ((2, 2, 1), (3, 3, 4), (4, 4, 3)):
        for module in range(modules):
            prefix = f"stage{stage}.{module}"
            for branch in range(branches):
                for index in range(4):
                    c = w[branch]
                    block(f"{prefix}.branches.{branch}.{index}", [(c, c, 3), (c, c, 3)])
                for source in range(branches):
                    name = f"{prefix}.fuse_layers.{branch}.{source}"
                    if source > branch:
                        conv_norm(name, w[branch], w[source], 1)
                    for step in range(branch - source):
                        last = step == branch - source - 1
                        conv_norm(f"{name}.{step}", w[branch] if last else w[source], w[source], 3)
    conv_norm("last_layer", sum(w), sum(w), 1)
    state["model.last_layer.0.bias"] = torch.rand(sum(w))
    conv("last_layer.3", num_classes, sum(w), 1)
    state["model.last_layer.3.bias"] = torch.rand(num_classes)
    state["loss.criterion.weight"] = torch.ones(num_classes)
    return state


def test_official_hrnet_w48_loads_strictly(tmp_path: Path) -> None:
    state = official_hrnet(48, 19)
    torch.save(state, tmp_path / "hrnet_cs.pth")
    model = HRNet(19, width=48)
    report = load_weights(model, str(tmp_path / "hrnet_cs.pth"))
    assert report.unexpected == ("loss.criterion.weight",)
    assert not report.missing
    assert not report.reinitialized
    assert torch.equal(model.head[3].weight, state["model.last_layer.3.weight"])
    fused = "stage4.2.fuse_layers.3.0.2.0.weight"
    assert torch.equal(model.state_dict()[fused], state[f"model.{fused}"])
