"""docs/models.md contains every model of conf/model, with complete facts and the measured cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.model_facts import measure, read_costs, read_facts
from tools.models_page import PAGE, page

ROOT = Path(__file__).parents[2]
NAMES = sorted(
    file.stem
    for file in (ROOT / "conf" / "model").glob("*.yaml")
    if "???" not in file.read_text("utf-8")
)


def test_every_model_has_facts_and_cost() -> None:
    assert sorted(name for family in read_facts().families for name in family.models) == NAMES
    assert sorted(read_costs()) == NAMES


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(read_facts(), read_costs()), "run: make models"


def test_every_model_is_drawn() -> None:
    drawn = {file.stem for file in (ROOT / "docs" / "architectures").glob("*.svg")}
    assert drawn == set(NAMES), "run: make architectures"


def test_every_published_number_has_a_source() -> None:
    facts = read_facts()
    used = {
        entry.source
        for published in facts.published().values()
        for group in (published.params, published.macs, published.scores)
        if not isinstance(group, str)
        for entry in group
    }
    assert used == set(facts.sources)


def test_what_verified_a_model_is_a_test() -> None:
    for family in read_facts().families:
        for line in family.verified:
            file, _, test = line.partition(" ")[0].partition("::")
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), line


def test_cost_of_a_small_model() -> None:
    check_cost("custom")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_cost(name: str) -> None:
    check_cost(name)


def check_cost(name: str) -> None:
    found = measure(name, read_facts().published()[name])
    assert found == read_costs()[name], "run: make models ARGS=--measure"
