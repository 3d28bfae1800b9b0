"""Which parameters get which learning rate and decay, and schedules against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from segbench.training import optim


class Net(nn.Module):
    """An encoder with a norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


def _groups(optimizer: torch.optim.Optimizer) -> dict[str, dict]:
    return {group["name"]: group for group in optimizer.param_groups}


@pytest.mark.parametrize("factory", [optim.sgd, optim.adam, optim.adamw])
def test_biases_and_norms_are_not_decayed(factory) -> None:
    model = Net()
    groups = _groups(factory(model, lr=0.1, weight_decay=0.5))
    assert set(groups) == {"model", "model, no decay"}
    decayed = {id(p) for p in groups["model"]["params"]}
    assert decayed == {id(model.encoder[0].weight), id(model.head.weight)}
    assert groups["model"]["weight_decay"] == 0.5
    assert groups["model, no decay"]["weight_decay"] == 0.0
    assert sum(len(g["params"]) for g in groups.values()) == len(list(model.parameters()))


def test_weight_decay_shrinks_weights_only() -> None:
    model = Net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = optim.adamw(model, lr=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


def test_an_encoder_can_learn_at_another_rate() -> None:
    model = Net()
    groups = _groups(optim.sgd(model, lr=0.1, weight_decay=0.5, encoder_lr_factor=0.1))
    assert {name: group["lr"] for name, group in groups.items()} == pytest.approx(
        {"encoder": 0.01, "encoder, no decay": 0.01, "model": 0.1, "model, no decay": 0.1}
    )
    assert {id(p) for p in groups["encoder"]["params"]} == {id(model.encoder[0].weight)}


def test_the_encoder_is_found_inside_an_adapter() -> None:
    adapter = nn.Module()
    adapter.network = Net()
    assert "encoder" in _groups(optim.adamw(adapter, lr=0.1, encoder_lr_factor=0.5))


def test_an_encoder_rate_without_an_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="Conv2d has no attribute 'encoder'; leave it at 1"):
        optim.adamw(nn.Conv2d(3, 2, 1), lr=0.1, encoder_lr_factor=0.1)


def test_frozen_parameters_are_left_out() -> None:
    model = Net()
    model.encoder.requires_grad_(False)
    optimizer = optim.sgd(model, lr=0.1)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def _rates(make, steps: int, lr: float = 0.4, **options) -> list[float]:
    """The learning rate of each step."""
    optimizer = optim.sgd(Net(), lr=lr)
    schedule = make(optimizer, total_steps=steps, **options)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_poly() -> None:
    expected = [0.4 * (1 - step / 10) ** 0.9 for step in range(11)]
    assert _rates(optim.poly, 10) == pytest.approx(expected)
    assert _rates(optim.poly, 10, power=1.0)[5] == pytest.approx(0.2)
    assert _rates(optim.poly, 10, min_factor=0.5)[-1] == pytest.approx(0.2)


def test_cosine() -> None:
    expected = [0.2 * (1 + math.cos(math.pi * step / 10)) for step in range(11)]
    assert _rates(optim.cosine, 10) == pytest.approx(expected)


def test_constant() -> None:
    assert _rates(optim.constant, 4) == pytest.approx([0.4] * 5)


def test_warm_up_grows_to_the_base_rate_before_the_schedule() -> None:
    rates = _rates(optim.poly, 10, lr=1.0, warmup_steps=4, power=1.0)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == pytest.approx([1 - step / 6 for step in range(1, 7)])


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warm_up_as_long_as_the_training_is_refused(warmup: int) -> None:
    with pytest.raises(ValueError, match=f"warmup_steps={warmup} must be"):
        _rates(optim.poly, 10, warmup_steps=warmup)


def test_every_group_keeps_its_share_of_the_rate() -> None:
    optimizer = optim.sgd(Net(), lr=1.0, encoder_lr_factor=0.1)
    schedule = optim.poly(optimizer, total_steps=4, power=1.0)
    optimizer.step()
    schedule.step()
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["encoder"] == pytest.approx(0.075)
    assert rates["model"] == pytest.approx(0.75)


def test_plateau_falls_after_as_many_epochs_without_progress() -> None:
    optimizer = optim.sgd(Net(), lr=1.0)
    schedule = optim.plateau(optimizer, total_steps=9, factor=0.1, patience=1)
    rates = []
    for val_miou in (0.1, 0.2, 0.2, 0.2, 0.3):
        schedule.step(val_miou)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1])


@pytest.mark.parametrize("make", [optim.sgd, optim.adam, optim.adamw])
def test_all_weights_are_updated_in_one_kernel_as_one_by_one(make: Any) -> None:
    weights = {}
    for fused in (True, False):
        torch.manual_seed(0)
        model = Net()
        optimizer = make(model, lr=0.1, fused=fused)
        assert bool(optimizer.defaults["fused"]) is fused
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        weights[fused] = [parameter.detach() for parameter in model.parameters()]
    torch.testing.assert_close(weights[True], weights[False])
