"""Every `_target_` node against the signature of what it names, without importing it."""

from __future__ import annotations

import ast
import sys
from typing import Any

import pytest

from segbench.config.targets import INJECTED, PIPELINE, check_targets, in_yaml, matches

UNET = {"_target_": "segbench.models.unet.UNet", "width": 64, "depth": 4, "dropout": 0.0}
FEW = {"model": {"num_classes"}, "loss": {"ignore_index"}}


def check(**config: Any) -> list[str]:
    return check_targets(config, FEW)


def test_a_fitting_node_has_no_problem_and_imports_nothing() -> None:
    before = set(sys.modules)
    assert check(model=UNET) == []
    assert not {m for m in set(sys.modules) - before if m.startswith(("torch", "segbench.models"))}


def test_all_problems_of_all_nodes_are_found() -> None:
    found = check(
        model={**UNET, "widht": 8, "depth": "four", "num_classes": 3},
        loss={"_target_": "segbench.losses.overlap.Diec"},
    )
    assert sorted(found) == [
        "loss._target_: 'segbench.losses.overlap' has no 'Diec'; did you mean 'Dice'?",
        "model.depth: expected int, got 'four'",
        "model.num_classes: must not be set here: it comes from the data set; remove it",
        "model.widht: segbench.models.unet.UNet has no argument 'widht'; did you mean 'width'?",
    ]


def test_nested_nodes_are_found_wherever_they_are() -> None:
    bad = {"_target_": "segbench.losses.cross_entropy.CrossEntropy", "ignore_index": 0}
    for loss in ({"a": {"b": bad}}, {"a": [bad]}, {"_target_": "nix.Nix", "parts": [[bad]]}):
        found = check(loss=loss)
        assert any("ignore_index: must not be set here" in problem for problem in found), loss


def test_a_missing_argument_is_reported() -> None:
    assert check(optimizer={"_target_": "segbench.training.optim.adamw", "model": None}) == [
        "optimizer.lr: segbench.training.optim.adamw requires this argument, but it is not set"
    ]


def test_arguments_of_loaders_and_augmentation_are_in_the_node_of_the_source() -> None:
    beside, injected = {"data": PIPELINE}, INJECTED
    node = {"_target_": "segbench.data.sources.streets.Streets", "size": [4, 4], "batch_size": 2}
    assert check_targets({"data": node}, injected, beside) == []
    # `seed` is injected into the loaders, but it is also an argument of this source.
    assert check_targets({"data": {**node, "seed": 1}}, injected, beside) == []
    (problem,) = check_targets({"data": {**node, "source": 1}}, injected, beside)
    assert problem.startswith("data.source: must not be set here")
    (problem,) = check_targets({"data": {**node, "further": []}}, injected, beside)
    assert problem.startswith("data.further: must not be set here")
    assert (
        check_targets({"data": {**node, "crop_size": [4, 4], "hflip": 0}}, injected, beside) == []
    )
    for key, near in (("batchsize", "batch_size"), ("vfilp", "vflip")):
        (problem,) = check_targets({"data": {**node, key: 1}}, injected, beside)
        assert problem.endswith(f"has no argument '{key}'; did you mean '{near}'?")
    (problem,) = check_targets({"data": {**node, "crop_size": "4"}}, injected, beside)
    assert problem == "data.crop_size: expected [int, int] or null, got '4'"


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [0, -3], [1.5, True, "1", None, [1]]),
        ("float", [0, 1.5], [True, "1", None]),
        ("bool", [True, False], [0, 1, "true", None]),
        ("str", ["", "a"], [1, None, ["a"]]),
        ("int | None", [None, 1], ["a", 1.5]),
        ("Optional[float]", [None, 1], ["a"]),
        ("Union[int, str]", [1, "a"], [1.5, None]),
        ("list[float]", [[], [1, 2.5]], [1, ["a"], None]),
        ("Sequence[int]", [[1]], [[1.5]]),
        ("tuple[int, int]", [[1, 2]], [[1], [1, 2, 3], 1, [1, "a"]]),
        ("tuple[float, ...]", [[], [1.0, 2]], [["a"]]),
        ("Literal['a', 'b']", ["a"], ["c", None]),
        ("dict[str, float]", [{}, {"a": 1}], [{"a": "b"}, [1]]),
        ("'int | None'", [1, None], ["a"]),
        ("Callable[[int], int]", [1, "anything"], []),
        ("torch.Tensor", ["anything"], []),
    ],
)
def test_values_against_annotations(annotation: str, good: list, bad: list) -> None:
    node = ast.parse(annotation, mode="eval").body
    assert [value for value in good if not matches(value, node)] == []
    assert [value for value in bad if matches(value, node)] == []


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("int", "int"),
        ("Optional[int]", "int or null"),
        ("'tuple[int, int] | None'", "[int, int] or null"),
        ("list[float] | str", "a list of float or str"),
        ("Literal['uniform', 'gaussian']", "uniform or gaussian"),
        ("Literal['scse'] | None", "scse or null"),
        ("Union[int, str]", "int or str"),
    ],
)
def test_annotations_in_yaml_terms(annotation: str, words: str) -> None:
    assert in_yaml(ast.parse(annotation, mode="eval").body) == words
