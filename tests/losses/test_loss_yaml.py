"""Every conf/loss file builds a loss that trains."""

import importlib
import inspect
from pathlib import Path

import pytest
import torch
import yaml

FILES = sorted((Path(__file__).parents[2] / "conf" / "loss").glob("*.yaml"))


def build(node):
    """Instantiates nested targets inside out and injects `ignore_index`, as the builder does."""
    if not isinstance(node, dict):
        return node
    arguments = {key: build(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    target = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(target).parameters
    if "ignore_index" in parameters:
        assert "ignore_index" not in arguments
        arguments["ignore_index"] = 255
    assert set(parameters) == set(arguments), "the file lists every argument"
    return target(**arguments)


def test_the_files_are_found():
    assert {"ce", "ohem", "dice", "ce_dice", "ce_lovasz"} <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_builds_and_trains(file, batch):
    loss = build(yaml.safe_load(file.read_text()))
    logits, mask = batch()
    logits = logits.float().requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.1)
    before = loss(logits, mask).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(logits, mask).backward()
        optimizer.step()
    assert loss(logits, mask).item() < 0.9 * before


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_defaults_of_file_and_code_agree(file):
    node = yaml.safe_load(file.read_text())
    for part in [node, *node.get("losses", {}).values()]:
        module, _, name = part["_target_"].rpartition(".")
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
        defaults = {
            key: parameter.default
            for key, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        assert {key: part[key] for key in defaults} == defaults
