"""The messages that the page of errors explains are those of the source."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

FAQ = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^```text\n(.*?)\n```", FAQ, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Every text in the source, with `...` for what is filled in."""
    return [
        text
        for file in sorted((ROOT / "segbench").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (text := _text(node)) is not None
    ]


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_in_the_source(message: str, texts: list[str]) -> None:
    pattern = re.compile(".*".join(re.escape(part) for part in message.split("...")), re.DOTALL)
    assert any(pattern.search(text) for text in texts)
    assert len(message.replace("...", "").split()) >= 3  # says something by itself


def test_a_message_that_is_gone_would_be_noticed(texts: list[str]) -> None:
    assert len(MESSAGES) >= 25
    assert not any("there is no such message anywhere" in text for text in texts)
