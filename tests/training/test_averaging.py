"""The weight average equals Lightning's, but never leaves the device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from segbench.training.averaging import EMA, DeviceAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1, dtype=torch.bfloat16)
    )


def train(model: nn.Module) -> None:
    """Changes every weight and statistic."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value += 1 if not value.is_floating_point() else torch.randn_like(value)


def test_the_average_is_that_of_torch() -> None:
    model = network()
    ours = DeviceAverage(model, 0.9, torch.device("cpu"))
    theirs = AveragedModel(model, avg_fn=get_ema_avg_fn(0.9), use_buffers=True)
    for _ in range(4):
        train(model)
        for average in (ours, theirs):
            average.update_parameters(model)
    found, expected = ours.state_dict(), theirs.state_dict()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if value.is_floating_point():
            near = 0.02 if value.dtype == torch.bfloat16 else 1e-5  # they round differently
            torch.testing.assert_close(found[key], value, rtol=near, atol=near)
    assert found["n_averaged"] == 4
    assert found["module.1.num_batches_tracked"] == 4, "a count is no average"


def test_a_loaded_average_continues() -> None:
    model = network()
    whole = DeviceAverage(model, 0.5, torch.device("cpu"))
    train(model)
    whole.update_parameters(model)
    resumed = DeviceAverage(network(), 0.5, torch.device("cpu"))
    resumed.load_state_dict(whole.state_dict())
    train(model)
    for average in (whole, resumed):
        average.update_parameters(model)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_it_is_on_the_training_device_even_while_the_model_is_on_the_cpu() -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    ema = EMA(0.9)
    ema.setup(trainer, network(), "fit")  # type: ignore[arg-type]
    assert {value.device.type for value in ema._average_model.state_dict().values()} == {"meta"}
    assert ema.state_key == EMAWeightAveraging().state_key


def send_to_no_gpu(module: nn.Module) -> None:
    """Replaces all tensors by fake ones on a GPU."""
    for part in module.modules():
        for kind in (part._parameters, part._buffers):
            for name, value in kind.items():
                if value is not None:
                    there = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                    is_weight = kind is part._parameters
                    kind[name] = nn.Parameter(there) if is_weight else there  # type: ignore[assignment]


def test_an_update_does_not_sync_with_the_device() -> None:
    model = network()
    ours, theirs = DeviceAverage(model, 0.9, torch.device("cpu")), AveragedModel(model)
    with FakeTensorMode():  # fake tensors have no values to read
        for module in (model, ours, theirs):
            send_to_no_gpu(module)
        for _ in range(2):
            ours.update_parameters(model)
        with pytest.raises(DataDependentOutputException):
            theirs.update_parameters(model)
