"""One C file: which function a line lies in, and what else the line may be.

tree-sitter parses it twice, with the first and with the last branch of every ``#if``: branches
that each open a brace would otherwise tear functions apart. Lines keep their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import tree_sitter
import tree_sitter_c

_LANGUAGE = tree_sitter.Language(tree_sitter_c.language())
_DIRECTIVE = re.compile(rb"^\s*#\s*(\w*)")
_NEVER = re.compile(rb"^\s*#\s*if\s+0\b")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class CFunction:
    """``first`` and ``last``: line numbers, from 1. ``name``: as written before its parameters,
    "" where that is no plain name. ``mentions``: every word between them."""

    name: str
    first: int
    last: int
    static: bool
    mentions: frozenset[str]


class CSource:
    """A C file's text, with the functions that either parse finds."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode("utf-8", "surrogateescape")
        self.lines: list[bytes] = self._bytes.split(b"\n")
        parser = tree_sitter.Parser(_LANGUAGE)
        self._trees = [
            parser.parse(b"\n".join(_one_branch(self.lines, last=last))) for last in (False, True)
        ]
        self._plain = parser.parse(self._bytes)

    @cached_property
    def functions(self) -> tuple[CFunction, ...]:
        found = {
            (node.start_point[0], node.end_point[0], _name(node)): node
            for tree in self._trees
            for node in _walk(tree.root_node, into=lambda n: n.type != "function_definition")
            if node.type == "function_definition"
        }
        return tuple(
            CFunction(name, first + 1, last + 1, _is_static(node), self._words(first, last))
            for (first, last, name), node in sorted(found.items(), key=lambda item: item[0][:2])
        )

    def functions_at(self, line: int) -> tuple[CFunction, ...]:
        return tuple(one for one in self.functions if one.first <= line <= one.last)

    @cached_property
    def macros(self) -> dict[str, frozenset[str]]:
        """Name of every ``#define`` -> the words of its body."""
        found: dict[str, frozenset[str]] = {}
        for node in _walk(self._plain.root_node, into=lambda _: True):
            if node.type in ("preproc_def", "preproc_function_def"):
                words = self._words(node.start_point[0], node.end_point[0])
                name = node.child_by_field_name("name")
                key = _text(name) if name is not None else ""
                found[key] = found.get(key, frozenset()) | words
        return found

    def is_code(self, line: int) -> bool:
        """Neither blank nor comment."""
        return bool(self._without_comments[line - 1].strip())

    def directive(self, line: int) -> str:
        """ "define", "if" … where the line belongs to a preprocessor directive, else ""."""
        at = line - 1
        while at > 0 and self.lines[at - 1].rstrip().endswith(b"\\"):
            at -= 1
        found = _DIRECTIVE.match(self.lines[at])
        return found[1].decode("ascii", "replace") or "null" if found else ""

    def static_data_at(self, line: int) -> bool:
        """The line belongs to a ``static`` variable inside a function: data, not code."""
        return any(
            node.type == "declaration" and _is_static(node)
            for node in self._covering(line)
            if node.parent is not None and node.parent.type != "translation_unit"
        )

    def prototype_at(self, line: int) -> tuple[str, bool] | None:
        """(function, whether static) of a plain prototype on this line: one with attributes says
        more than a prototype does, and is none here."""
        for node in self._covering(line):
            declarator = node.child_by_field_name("declarator")
            if node.type == "declaration" and not node.has_error and declarator is not None:
                plain = b"attribute" not in (node.text or b"") and _declares_function(declarator)
                return (_name(node), _is_static(node)) if plain and _name(node) else None
        return None

    def words_at(self, line: int) -> frozenset[str]:
        text = self._without_comments[line - 1].decode("utf-8", "replace")
        return frozenset(_WORD.findall(text))

    def _words(self, first: int, last: int) -> frozenset[str]:
        text = b"\n".join(self.lines[first : last + 1]).decode("utf-8", "replace")
        return frozenset(_WORD.findall(text))

    def _covering(self, line: int) -> Iterator[tree_sitter.Node]:
        row = line - 1

        def touches(node: tree_sitter.Node) -> bool:
            return bool(node.start_point[0] <= row <= node.end_point[0])

        for tree in self._trees:
            yield from filter(touches, _walk(tree.root_node, into=touches))

    @cached_property
    def _without_comments(self) -> list[bytes]:
        text = bytearray(self._bytes)
        for node in _walk(self._plain.root_node, into=lambda _: True):
            if node.type == "comment":
                body = text[node.start_byte : node.end_byte]
                text[node.start_byte : node.end_byte] = re.sub(rb"[^\n]", b" ", body)
        return bytes(text).split(b"\n")


@lru_cache(maxsize=128)
def c_source(text: str) -> CSource:
    """The parsed file; the same text, seen after one patch and before the next, is parsed once."""
    return CSource(text)


def _one_branch(lines: list[bytes], *, last: bool) -> Iterator[bytes]:
    """The lines with directives and all but one branch of every condition blanked."""
    branches = _branches(lines)
    count: dict[int, int] = {}
    never = set()
    for line, place in zip(lines, branches, strict=True):
        for group, branch in place or ():
            count[group] = max(count.get(group, 0), branch + 1)
        if place and place[-1][1] == 0 and _NEVER.match(line):
            never.add(place[-1][0])
    for line, place in zip(lines, branches, strict=True):
        kept = place is not None and all(
            branch == (count[group] - 1 if last or group in never else 0)
            and not (group in never and branch == 0)
            for group, branch in place
        )
        yield line if kept and not _is_directive(line) else b""


def _branches(lines: list[bytes]) -> list[tuple[tuple[int, int], ...] | None]:
    """For each line, the (condition, branch) pairs it stands under; an ``#if`` stands under its own
    first branch. None for the continuation of a directive."""
    places: list[tuple[tuple[int, int], ...] | None] = []
    stack: list[tuple[int, int]] = []
    groups = 0
    continued = False
    for line in lines:
        found = None if continued else _DIRECTIVE.match(line)
        word = found[1] if found else b""
        if word in (b"if", b"ifdef", b"ifndef"):
            stack.append((groups, 0))
            groups += 1
        elif word in (b"else", b"elif") and stack:
            stack[-1] = (stack[-1][0], stack[-1][1] + 1)
        elif word == b"endif" and stack:
            stack.pop()
        places.append(None if continued else tuple(stack))
        continued = (continued or found is not None) and line.rstrip().endswith(b"\\")
    return places


def _is_directive(line: bytes) -> bool:
    return _DIRECTIVE.match(line) is not None


def _walk(
    node: tree_sitter.Node, into: Callable[[tree_sitter.Node], bool]
) -> Iterator[tree_sitter.Node]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if into(node):
            waiting.extend(node.children)


def _name(node: tree_sitter.Node) -> str:
    """The declared name; "" for anything but a plain identifier, such as PREFIX(name)(...)."""
    inner = node.child_by_field_name("declarator")
    functions = 0
    while inner is not None and inner.type != "identifier":
        functions += inner.type == "function_declarator"
        inner = inner.child_by_field_name("declarator") or (
            inner.named_children[0] if inner.type == "parenthesized_declarator" else None
        )
    return _text(inner) if inner is not None and functions == 1 else ""


def _declares_function(node: tree_sitter.Node) -> bool:
    while node.type == "pointer_declarator":
        inner = node.child_by_field_name("declarator")
        if inner is None:
            return False
        node = inner
    inner = node.child_by_field_name("declarator")
    return node.type == "function_declarator" and inner is not None and inner.type == "identifier"


def _is_static(node: tree_sitter.Node) -> bool:
    return any(
        child.type == "storage_class_specifier" and child.text == b"static"
        for child in node.children
    )


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
