"""Expressions in a template, ``[concat(resourceId('type', 'name'), '/part')]``: the functions that
az writes. Any other is refused, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

_MOST_CHARACTERS = 4000
_GRAMMAR = r"""
start: value
?value: call | STRING -> string | INTEGER -> integer
      | value "." NAME -> member | value "[" value "]" -> index
call: NAME "(" (value ("," value)*)? ")"
NAME: /[A-Za-z]\w*/
INTEGER: /\d{1,9}/
STRING: /'(''|[^'])*'/
%ignore /\s+/
"""
Functions = Mapping[str, Callable[..., Any]]


class ExpressionError(ValueError):
    """The expression is not understood."""


def is_expression(text: str) -> bool:
    """``[[`` stands for a bracket of the text's own."""
    return text.startswith("[") and not text.startswith("[[") and text.endswith("]")


def evaluated(text: str, functions: Functions) -> Any:
    """``functions``: by name in lower case; they raise LookupError for what is not there. Raises
    ExpressionError."""
    try:
        if len(text) > _MOST_CHARACTERS:
            raise ExpressionError
        return _value(_parser().parse(text[1:-1]).children[0], functions)
    except (
        UnexpectedInput,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        ExpressionError,
    ):
        raise ExpressionError(f"the expression {text[:80]} is not understood") from None


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr")


def _value(node: Any, functions: Functions) -> Any:
    assert isinstance(node, Tree)
    if node.data == "call":
        name, *arguments = node.children
        return functions[str(name).lower()](*(_value(one, functions) for one in arguments))
    first = node.children[0]
    if node.data == "string":
        return str(first)[1:-1].replace("''", "'")
    if node.data == "integer":
        return int(str(first))
    key = node.children[1]
    wanted = str(key) if isinstance(key, Token) else _value(key, functions)
    return _value(first, functions)[wanted]
