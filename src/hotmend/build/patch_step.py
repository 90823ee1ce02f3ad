"""One patch of a series, applied to texts in memory, and what it touches.

unidiff parses the patch. As with dpkg-source there is no fuzz: a hunk may have moved, but every
line of its context must be there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from hotmend.build.c_source import CSource, c_source
from hotmend.build.errors import BuildError
from hotmend.build.source_fix import OutsideHunk, SourceFunction

_CONDITIONS = ("if", "ifdef", "ifndef", "elif", "else", "endif")
_HEADER = (".h", ".hh", ".hpp")
_C = (".c", *_HEADER)
# Not .txt (CMakeLists.txt), .pl or .py (they may write code).
_HARMLESS = frozenset(
    {".md", ".html", ".1", ".3", ".5", ".8", ".rst", ".tex", ".po", ".pot", ".png", ".svg", ".pod"}
)
_HARMLESS_NAMES = re.compile(
    r"^(README|NEWS|ChangeLog|Changes|CHANGES|RELEASE-NOTES|TODO|AUTHORS|THANKS|COPYING|\.git\w*)"
)
_ASIDE_FOLDERS = frozenset(
    {"test", "tests", "testsuite", "testdata", "doc", "docs", "man", "example", "examples", "fuzz"}
    | {"result", "results", "po", "t", ".github", "debian"}
)
_TEST_PROGRAM = re.compile(r"^(?:run|test)\w*\.c$")
_KEYWORDS = frozenset(
    {"auto", "break", "case", "char", "const", "continue", "default", "define", "defined", "do"}
    | {"double", "else", "endif", "enum", "extern", "float", "for", "goto", "if", "ifdef", "ifndef"}
    | {"include", "inline", "int", "long", "register", "return", "short", "signed", "sizeof"}
    | {"static", "struct", "switch", "typedef", "undef", "union", "unsigned", "void", "volatile"}
    | {"while", "NULL", "size_t"}
)


_Moved = list[tuple[str, int]]

Changes = tuple[tuple[str, str, str], ...]
"""(path, sign, line) of every changed line, in order."""


@dataclass(frozen=True)
class Step:
    """What one patch touches. ``files``: the compiled ones. ``defines``: names whose meaning it
    changes. ``uses``: words on the lines that it adds to compiled code."""

    name: str
    files: frozenset[str]
    functions: tuple[SourceFunction, ...]
    outside: tuple[OutsideHunk, ...]
    defines: frozenset[str]
    uses: frozenset[str]


def parse_patch(name: str, text: str) -> list[PatchedFile]:
    """Its files. Raises BuildError."""
    try:
        return list(PatchSet(io.StringIO(text, newline="\n")))
    except (UnidiffParseError, ValueError, AttributeError) as error:
        raise BuildError(f"debian/patches/{name} cannot be parsed: {error}") from None


def paths_of(file: PatchedFile) -> tuple[str, str]:
    """(before, after) with one leading folder removed; "" where the file is made or removed."""
    before, after = _stripped(file.source_file), _stripped(file.target_file)
    # "--- x.c.orig" and the like: what a quilt patch reads is what it writes.
    return (after if before and after else before), after


def changes_of(files: list[PatchedFile]) -> Changes:
    """Two patches with the same changes are one patch, however its context was refreshed."""
    return tuple(
        (paths_of(file)[1] or paths_of(file)[0], line.line_type, line.value)
        for file in files
        for hunk in file
        for line in hunk
        if line.line_type in "+-"
    )


def apply_step(
    name: str, files: list[PatchedFile], state: dict[str, str], look: Container[int]
) -> Step:
    """Apply to ``state`` (path -> text), in place, and say what the changed lines whose place in
    :func:`changes_of` is in ``look`` touch.

    Raises BuildError where a hunk does not fit.
    """
    touched = _Touched()
    count = 0
    for file in files:
        source, target = paths_of(file)
        before = state.get(source, "") if source else ""
        after, moved = _apply(name, target or source, before, file)
        if target:
            state[target] = after
        else:
            state.pop(source, None)
        seen = [place for at, place in enumerate(moved, count) if at in look]
        count += len(moved)
        if seen and _is_compiled(target or source, after or before):
            touched.add(target or source, before, after, seen)
    return touched.step(name)


class _Touched:
    """Gathers what the files of one patch touch."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._functions: set[SourceFunction] = set()
        self._outside: dict[OutsideHunk, None] = {}
        self._defines: set[str] = set()
        self._uses: set[str] = set()

    def add(self, path: str, before: str, after: str, moved: _Moved) -> None:
        self._files.add(path)
        lines = _Lines(path, c_source(before), c_source(after), moved)
        for sign, line in moved:
            if not path.endswith(_C):
                self._outside[OutsideHunk(path, moved[0][1], "file that is not C")] = None
            elif lines.is_code(sign, line):
                self._add_line(path, lines, sign, line)

    def _add_line(self, path: str, lines: _Lines, sign: str, line: int) -> None:
        words = lines.words(sign, line)
        if sign == "+":
            self._uses |= words
        place = lines.place(sign, line)
        self._functions |= set(place.functions)
        self._defines |= place.defines
        if place.what:
            self._outside[OutsideHunk(path, line, place.what)] = None

    def step(self, name: str) -> Step:
        return Step(
            name=name,
            files=frozenset(self._files),
            functions=tuple(sorted(self._functions)),
            outside=tuple(self._outside),
            defines=frozenset(self._defines) - _KEYWORDS,
            uses=frozenset(self._uses) - _KEYWORDS,
        )


def _stripped(path: str | None) -> str:
    path = (path or "").split("\t")[0]
    return "" if path in ("", "/dev/null") else path.partition("/")[2]


@dataclass(frozen=True)
class _Place:
    """Where a changed line is: ``what`` it is beside code of a function, or ""; the functions it
    touches; the names whose meaning it changes."""

    what: str
    functions: tuple[SourceFunction, ...]
    defines: frozenset[str]


class _Lines:
    """The changed lines of one C file: "-" counts in the text before, "+" in the text after."""

    def __init__(self, path: str, before: CSource, after: CSource, moved: _Moved) -> None:
        self._path = path
        self._texts = {"-": before, "+": after}
        removed = [before.words_at(line) for sign, line in moved if sign == "-"]
        self._removed = frozenset[str]().union(*removed)

    def is_code(self, sign: str, line: int) -> bool:
        return self._texts[sign].is_code(line)

    def words(self, sign: str, line: int) -> frozenset[str]:
        return self._texts[sign].words_at(line) - _KEYWORDS

    def place(self, sign: str, line: int) -> _Place:
        source = self._texts[sign]
        functions = source.functions_at(line)
        touched = tuple(SourceFunction(f.name or "?", self._path, f.static) for f in functions)
        names = frozenset(function.name for function in touched)
        directive = source.directive(line)
        if directive and directive not in _CONDITIONS:
            return _Place(f"#{directive}", touched, names | self.words(sign, line))
        if functions and not source.static_data_at(line):
            header = "inline function in a header" if self._path.endswith(_HEADER) else ""
            return _Place(header, touched, names)
        if functions:
            return _Place(f"static data in {touched[0].name}", touched, names)
        prototype = None if directive else source.prototype_at(line)
        if prototype is not None:
            return self._prototype(sign, *prototype)
        what = f"#{directive}" if directive else "declaration or data"
        return _Place(what, (), self.words(sign, line))

    def _prototype(self, sign: str, name: str, static: bool) -> _Place:
        if sign == "+" and name not in self._removed:
            # One that only comes in addition changes no other code.
            return _Place("", (), frozenset())
        if static and not self._path.endswith(_HEADER):
            return _Place("", (SourceFunction(name, self._path, True),), frozenset({name}))
        return _Place(f"prototype of {name}", (), frozenset({name}))


def _apply(name: str, path: str, before: str, file: PatchedFile) -> tuple[str, _Moved]:
    """The text after, and where the changed lines are."""
    old = before.split("\n")
    new: list[str] = []
    moved: _Moved = []
    at = offset = 0
    for hunk in file:
        expected = [_bare(line.value) for line in hunk if line.line_type in " -"]
        start = _find(old, expected, _start(hunk) + offset, at)
        if start is None:
            raise BuildError(
                f"debian/patches/{name} does not apply to {path} (line {hunk.source_start})"
            )
        offset = start - _start(hunk)
        new += old[at:start]
        at = start
        for line in hunk:
            match line.line_type:
                case " ":
                    new.append(old[at])
                    at += 1
                case "-":
                    moved.append(("-", at + 1))
                    at += 1
                case "+":
                    new.append(_bare(line.value))
                    moved.append(("+", len(new)))
    return "\n".join(new + old[at:]), moved


def _start(hunk: Hunk) -> int:
    """Index of the first line; a hunk without old lines stands after the line it names."""
    return int(hunk.source_start) - (1 if hunk.source_length else 0)


def _find(old: list[str], expected: list[str], wanted: int, least: int) -> int | None:
    """The place nearest to ``wanted``, not before ``least``, where the expected lines are."""
    for place in _nearest(wanted, least, len(old) - len(expected)):
        if old[place : place + len(expected)] == expected:
            return place
    return None


def _nearest(wanted: int, least: int, most: int) -> Iterator[int]:
    wanted = max(least, min(wanted, most))
    for distance in range(max(wanted - least, most - wanted) + 1):
        for place in dict.fromkeys((wanted - distance, wanted + distance)):
            if least <= place <= most:
                yield place


def _bare(line: str) -> str:
    return line.removesuffix("\n")


def _is_compiled(path: str, text: str) -> bool:
    """Whether a file may become part of a shipped image: when in doubt, it does."""
    parts = PurePosixPath(path)
    if _ASIDE_FOLDERS.intersection(parts.parts[:-1]):
        return False
    if parts.suffix in _HARMLESS or _HARMLESS_NAMES.match(parts.name):
        return False
    if _TEST_PROGRAM.match(parts.name):
        # A program of its own, not part of a library.
        return not any(function.name == "main" for function in c_source(text).functions)
    return True
