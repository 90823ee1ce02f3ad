"""Expressions of templates: what az writes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from hotmend.server.arm.template_expressions import ExpressionError, evaluated, is_expression

FUNCTIONS = {
    "parameters": {"size": 2, "names": ["a", "b"], "deep": {"x": 1}}.__getitem__,
    "concat": lambda *parts: "".join(map(str, parts)),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[parameters('size')]", 2),
        ("[Parameters( 'size' )]", 2),
        ("[concat('it''s ', parameters('size'))]", "it's 2"),
        ("[parameters('names')[1]]", "b"),
        ("[parameters('deep').x]", 1),
        ("['text']", "text"),
    ],
)
def test_an_expression(text: str, value: Any) -> None:
    assert is_expression(text) and evaluated(text, FUNCTIONS) == value


@pytest.mark.parametrize(
    "text",
    [
        *("[parameters('none')]", "[uniqueString('a')]", "[parameters('names')[5]]", "[concat('a'"),
        *("[parameters('size').x]", "[parameters()]", "[1 + 1]", "[]", f"['{'a' * 4000}']"),
        f"[{'concat(' * 900}'a'{')' * 900}]",
    ],
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(ExpressionError, match="is not understood"):
        evaluated(text, FUNCTIONS)


def test_what_is_a_text() -> None:
    assert not any(map(is_expression, ("text", "[[parameters('size')]", "[a", "")))
