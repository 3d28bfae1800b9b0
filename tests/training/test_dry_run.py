"""A model or loss of one's own that cannot work is named before anything is cached or trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.errors import ConfigError
from tests.conftest import TINIEST

OWN = '''
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """A stride-2 network; `answer` says what forward does with its logits."""

    def __init__(self, num_classes, answer="logits"):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, 21 if answer == "channels" else num_classes, 1)
        self.answer = answer
        if answer == "init":
            raise KeyError("no such width")

    def forward(self, image):
        small = self.head(self.body(image))
        logits = F.interpolate(small, size=image.shape[-2:], mode="bilinear")
        if self.answer == "crops" and image.shape[-2:] != (16, 16):
            raise RuntimeError("position embedding of 16x16")
        return {
            "small": small,
            "dict": {"out": logits, "aux": logits},
            "tuple": (logits, logits),
            "softmax": logits.softmax(1),
            "argmax": logits.argmax(1),
            "flat": logits.mean(1),
            "last": logits.permute(0, 2, 3, 1),
            "nan": logits * float("nan"),
        }.get(self.answer, logits) if self.answer != "fails" else self.missing


class Loss(nn.Module):
    def __init__(self, ignore_index, answer="mean"):
        super().__init__()
        self.ignore_index, self.answer = ignore_index, answer
        if answer == "trainable":
            self.temperature = nn.Parameter(torch.ones(()))
        if answer == "state":
            self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
            self.register_buffer("calls", torch.zeros(()))

    def forward(self, logits, mask):
        if self.answer == "detached":
            logits = logits.detach()
        if self.answer == "state":
            self.calls += 1
        losses = F.cross_entropy(logits, mask, ignore_index=self.ignore_index, reduction="none")
        if self.answer == "fails":
            return losses.mean() * (1 / len([]))
        value = losses.mean()
        answers = {"map": losses, "nan": value - float("inf"), "float": value.item()}
        return answers.get(self.answer, value)


class NoIgnore(nn.Module):
    def forward(self, logits, mask):
        return F.cross_entropy(logits, torch.full_like(mask, 255))


def loss(logits, mask, ignore_index):
    assert mask.dtype == torch.int64
    return F.cross_entropy(logits, mask, ignore_index=ignore_index)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_config: Any) -> Callable[..., Any]:
    """`own(model, loss, *words)` trains with YAML of one's own, as texts, in `./conf`."""
    from omegaconf import OmegaConf

    from segbench.train import train

    (tmp_path / "own_parts.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(model: str, loss: str, *words: str) -> Any:
        for group, text in (("model", model), ("loss", loss)):
            file = tmp_path / "conf" / group / "mine.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        parts = ("model=mine", "loss=mine", "data=streets", "trainer.max_epochs=1")
        config = tiny_config(*TINIEST, *parts, f"data.cache_dir={tmp_path}/cache", *words)
        return train(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))

    return run


NET, LOSS = "_target_: own_parts.Net", "_target_: own_parts.Loss"
CE = "_target_: torch.nn.CrossEntropyLoss"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("small", r"returns logits of 8x12 for images of 16x24 .*upsample them in forward"),
        ("channels", "returns 21 channels for the 11 classes of the data set"),
        ("dict", "returns a dict with 'out', 'aux'; .*wrap it and return its part 'out'"),
        ("tuple", "returns a tuple of 2; .*wrap it and return its part 0"),
        ("softmax", "returns probabilities .*return the logits, before softmax"),
        ("argmax", r"returns torch.int64; .*before any argmax"),
        ("flat", r"returns \[2, 16, 24\] for images \[2, 3, 16, 24\]"),
        ("last", r"returns \[2, 16, 24, 11\], channels last; .*permute"),
        ("nan", "returns NaN or infinite logits"),
        ("fails", r"failed on a training batch 16x24: AttributeError: .*own_parts.py, line \d+"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_once(
    own: Callable[..., Any], tmp_path: Path, answer: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^model own_parts.Net:? ?{said}"):
        own(f"{NET}\nanswer: {answer}", CE)
    assert not (tmp_path / "cache").exists()
    if answer == "fails":
        log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
        assert "Traceback" in log
        assert "self.missing" in log


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        (f"{LOSS}\nanswer: map", r"own_parts.Loss: returns a tensor \[2, 16, 24\]; .*scalar"),
        (f"{LOSS}\nanswer: float", r"own_parts.Loss: returns float; expected a scalar"),
        (f"{LOSS}\nanswer: detached", r"own_parts.Loss: its value has no gradient"),
        (f"{LOSS}\nanswer: nan", "own_parts.Loss: is -inf on the first images, before any train"),
        (f"{LOSS}\nanswer: trainable", r"own_parts.Loss: has trainable parameters \(temperature\)"),
        (f"{LOSS}\nanswer: fails", r"own_parts.Loss failed on logits .*ZeroDivisionError"),
        ("_target_: own_parts.NoIgnore", "own_parts.NoIgnore: cannot handle 255, .*ignore_index"),
    ],
)
def test_what_is_wrong_with_a_loss_is_said_once(
    own: Callable[..., Any], yaml: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^loss {said}"):
        own(NET, yaml)


def test_the_state_of_a_loss_comes_back_with_a_checkpoint(
    own: Callable[..., Any], tmp_path: Path
) -> None:
    assert own(NET, f"{LOSS}\nanswer: state").status == "finished"
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    others = {key: value for key, value in state.items() if not key.startswith("model.")}
    assert [key.rpartition(".")[2] for key in others] == ["calls"]
    assert all(value > 0 for value in others.values())


def test_a_model_that_takes_only_crops_fails_before_the_first_epoch(
    own: Callable[..., Any],
) -> None:
    with pytest.raises(ConfigError, match=r"failed on a validation image 16x24, which is passed"):
        own(f"{NET}\nanswer: crops", CE, "data.crop_size=[16,16]")


def test_a_model_that_cannot_be_built_is_named(own: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"own_parts\.Net could not be built: KeyError"):
        own(f"{NET}\nanswer: init", CE)


@pytest.mark.parametrize(
    "loss",
    [
        CE,
        "_target_: torch.nn.functional.cross_entropy\nlabel_smoothing: 0.1",
        "_target_: own_parts.loss",
        "_target_: segmentation_models_pytorch.losses.DiceLoss\nmode: multiclass",
        "_target_: segbench.losses.weighted_sum.WeightedSum\nweights: {a: 1.0, b: 0.5}\nlosses:\n"
        "  a: {_target_: torch.nn.CrossEntropyLoss}\n  b: {_target_: own_parts.loss}",
    ],
)
def test_losses_from_elsewhere_just_work(own: Callable[..., Any], loss: str) -> None:
    assert own(NET, loss).status == "finished"


def test_a_model_of_smp_gets_the_number_of_classes(own: Callable[..., Any]) -> None:
    smp = "_target_: segmentation_models_pytorch.Unet\nencoder_name: resnet18\nencoder_depth: 3\n"
    smp += "encoder_weights: null\ndecoder_channels: [8, 8, 8]\n"
    assert own(smp, CE).status == "finished"
    with pytest.raises(ConfigError, match=r"Unet: returns 3 channels for the 11 classes"):
        own(smp + "classes: 3", CE, "overwrite=true")


def test_the_dry_run_changes_nothing(own: Callable[..., Any], monkeypatch: Any) -> None:
    """Weights, statistics and random numbers are as they were."""
    from segbench.training import build

    seen: list[Any] = []

    def watched(config: Any, model: torch.nn.Module, *rest: Any) -> None:
        before = {key: value.clone() for key, value in model.state_dict().items()}
        state = torch.get_rng_state()
        original(config, model, *rest)
        seen.append(torch.equal(state, torch.get_rng_state()))
        seen.extend(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    original = build.dry_run
    monkeypatch.setattr(build, "dry_run", watched)
    own(NET, CE)
    assert len(seen) > 5
    assert all(seen)
