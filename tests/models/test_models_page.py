"""docs/models.md says something about every model, and is what the generator writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from segbench.config.places import complete_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def models_page(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import models_page

    return models_page


def test_every_model_has_facts(models_page) -> None:
    facts = models_page.published()
    assert list(facts) == complete_models()
    assert all({"paper", "license", "verified"} <= set(fact) for fact in facts.values())
    text = models_page.PAGE.read_text(encoding="utf-8")
    assert all(f"\n## {name}\n" in text for name in facts)


@pytest.mark.slow
def test_the_page_is_up_to_date(models_page) -> None:
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.page(), "run: make models"
