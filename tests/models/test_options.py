"""A frozen encoder, activation checkpointing, rates by layer: what every model can have."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from segbench.artifacts.build import build_model
from segbench.errors import ConfigError
from segbench.models.options import blocks_of
from segbench.training.optim import parameter_groups

RESNET = {"_target_": "segbench.models.smp.unet", "encoder_name": "resnet18"}
SEGNEXT = {
    "_target_": "segbench.models.segnext.SegNeXt",
    "widths": [8, 8, 16, 16],
    "depths": [1, 2, 1, 1],
    "decoder_width": 32,
    "drop_path_rate": 0.5,
}


def step(model: nn.Module) -> None:
    torch.manual_seed(5)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    model.train()(x).square().mean().backward()


@pytest.mark.parametrize("node", [RESNET, SEGNEXT])
def test_a_frozen_encoder_stays_as_it_is(node: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = copy.deepcopy(build_model({**node, "freeze": "encoder"}, num_classes=3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    step(model)
    optimizer.step()
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if k.startswith("encoder."))
    head = "head.weight" if "head.weight" in after else "head.0.weight"
    assert not torch.equal(after[head], before[head])
    names = {group["name"] for group in parameter_groups(model, 0.1, 0.1)}
    assert names == {"model", "model, no decay"}


@pytest.mark.parametrize("node", [RESNET, SEGNEXT])
def test_checkpointing_changes_no_gradient_and_no_statistic(node: dict[str, object]) -> None:
    models = []
    for again in (False, True):
        torch.manual_seed(0)
        models.append(build_model({**node, "checkpoint_activations": again}, num_classes=3))
        step(models[-1])
    plain, checkpointed = models
    assert plain.state_dict().keys() == checkpointed.state_dict().keys()
    for (key, a), b in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    for (key, a), b in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


def test_rates_fall_towards_the_image() -> None:
    model = build_model(SEGNEXT, num_classes=3)
    assert list(blocks_of(model)) == [
        "encoder.block1.0", "encoder.block2.0", "encoder.block2.1", "encoder.block3.0",
        "encoder.block4.0",
    ]  # fmt: skip
    groups = parameter_groups(model, 1.0, 0.1, layer_decay=0.5)
    rates = {}
    names = {id(p): name for name, p in model.named_parameters()}
    for group in groups:
        for parameter in group["params"]:
            rates[names[id(parameter)]] = group["lr"]
    assert rates["head.weight"] == rates["decoder.ham_in.weight"] == 1
    assert rates["encoder.block4.0.mlp.fc1.weight"] == 0.5
    assert rates["encoder.block1.0.mlp.fc1.weight"] == 0.5**5
    assert rates["encoder.patch_embed1.proj.0.weight"] == 0.5**6
    assert rates["encoder.patch_embed2.proj.weight"] == 0.5**4  # with the block behind it
    assert rates["encoder.norm4.weight"] == 1
    assert len(rates) == len(names)
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "decoder"}, "model.freeze='decoder': expected null or 'encoder'"),
        ({"freeze": "encoder"}, "model.freeze='encoder', but PIDNet has no part of this name"),
        ({"checkpoint_activations": True}, "but PIDNet has no blocks in an encoder"),
    ],
)
def test_what_a_model_has_not(changes: dict[str, object], message: str) -> None:
    node = {"_target_": "segbench.models.pidnet.PIDNet", "width": 4, "pyramid_width": 4}
    with pytest.raises(ConfigError, match=message):
        build_model({**node, **changes}, num_classes=2)


def test_layer_decay_out_of_range() -> None:
    model = build_model(SEGNEXT, num_classes=3)
    with pytest.raises(ValueError, match=r"layer_decay=1\.5 must be above 0 and at most 1"):
        parameter_groups(model, 1.0, 0.1, layer_decay=1.5)
    with pytest.raises(ValueError, match="has no blocks in an encoder; leave it at 1"):
        parameter_groups(nn.Linear(2, 2), 1.0, 0.1, layer_decay=0.5)
