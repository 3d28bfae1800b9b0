"""What is compiled of a model, and that copies and parameter names do not change."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from segbench.training.compiling import compile_network


class Net(nn.Module):
    """A linear model with an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(image)

    def forward_with_aux(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.head(image), [2 * self.head(image)]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the compiled functions that were run; compilation itself is mocked."""
    ran: list[str] = []

    def record(function, *arguments, **options):
        def run(*inputs):
            ran.append(function.__name__)
            return function(*inputs)

        return run

    monkeypatch.setattr(torch, "compile", record)
    return ran


def test_auxiliary_heads_are_compiled_too(compiled: list[str]) -> None:
    model = Net()
    names = list(model.state_dict())
    compile_network(model)
    logits, (aux,) = model.forward_with_aux(torch.ones(1, 3, 2, 2))
    torch.testing.assert_close(aux, 2 * logits)
    assert compiled == ["forward_with_aux"]
    model(torch.ones(1, 3, 2, 2))
    assert compiled == ["forward_with_aux", "_call_impl"]
    assert list(model.state_dict()) == names


def test_a_copy_of_a_compiled_network_runs_its_own_weights(compiled: list[str]) -> None:
    model = Net()
    compile_network(model)
    other = copy.deepcopy(model)
    nn.init.zeros_(other.head.weight)
    nn.init.zeros_(other.head.bias)
    assert other.forward_with_aux(torch.ones(1, 3, 2, 2))[0].abs().sum() == 0
    assert model.forward_with_aux(torch.ones(1, 3, 2, 2))[0].abs().sum() > 0


def test_a_network_without_auxiliary_heads_gains_none(compiled: list[str]) -> None:
    model = nn.Conv2d(3, 2, 1)
    compile_network(model)
    model(torch.ones(1, 3, 2, 2))
    assert compiled == ["_call_impl"]
    assert not hasattr(model, "forward_with_aux")
