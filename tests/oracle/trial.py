"""One run of many cases against one build, and what tells two runs apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from hotmend.hotpatch.hotpatch import PatchedImage
from oracle import documents
from oracle.cases import Case
from oracle.server import Result, Server

# A line of libxml2's debugging that names the thread by its address.
_THREAD = re.compile(rb"(?m)^-?\d+ (?=Parsing catalog )")
# "Unimplemented block at relaxng.c:7895": functions that differ in nothing but line numbers are
# not replaced, so a patched process prints the old number.
_LINE = re.compile(rb"(?<=\.c:)\d+")
Apply = Callable[[int], None]
"""Hotpatches the process with this pid, or raises."""


@dataclass(frozen=True)
class Build:
    """``library``: the shared library the programs run with; ``apply``: None leaves it as it is."""

    library: Path
    apply: Apply | None = None


@dataclass(frozen=True)
class Trial:
    """``results``: by case. ``entered``: indices of ``image.functions`` whose replacement ran."""

    results: dict[Case, Result]
    entered: frozenset[int] = frozenset()


class Bench:
    """``programs``: name -> executable; ``folder``: scratch, its documents made anew each time."""

    def __init__(self, programs: dict[str, Path], shim: Path, folder: Path) -> None:
        self._programs, self._shim, self._folder = programs, shim, folder

    def run(
        self, cases: Sequence[Case], build: Build, counted: PatchedImage | None = None
    ) -> Trial:
        """Every case once. ``counted``: count which of its functions are entered; the build has
        to be patched with it."""
        inputs = self._folder / "inputs"
        documents.write(inputs)
        results: dict[Case, Result] = {}
        entered: set[int] = set()
        for program, group in groupby(sorted(cases, key=str), key=lambda case: case.program):
            with Server(
                self._programs[program],
                build.library.parent,
                self._shim,
                self._folder,
                len(counted.functions) if counted else 0,
            ) as server:
                if build.apply is not None:
                    build.apply(server.pid)
                points = _entry_points(server, build.library, counted) if counted else []
                if points:
                    server.count_entries(points)
                for case in group:
                    results[case] = _comparable(case, _run(server, case, inputs))
                reached = server.entered() if points else set()
                entered.update(n for n, address in enumerate(points) if address in reached)
        return Trial(results, frozenset(entered))


def differing(one: Trial, other: Trial) -> list[Case]:
    """The cases that went differently."""
    return [case for case, result in one.results.items() if result != other.results[case]]


def describe(cases: Iterable[Case], one: Trial, other: Trial) -> str:
    """The first few of the cases, for the message of a failed assertion."""
    lines = []
    for case in list(cases)[:5]:
        for trial in (one, other):
            result = trial.results[case]
            text = f"{result.output[-200:]!r} {result.errors[-200:]!r}"
            counts = f"{result.status} {result.allocations} {result.kept}"
            lines.append(f"{case}: {counts} {text}")
    return "\n".join(lines)


def _run(server: Server, case: Case, inputs: Path) -> Result:
    stdin = inputs / case.stdin if case.stdin else Path("/dev/null")
    return server.run(case.arguments, inputs, stdin, case.environment)


def _comparable(case: Case, result: Result) -> Result:
    """Without what differs between two runs of one build: thread addresses, and how often
    readline asks for memory; and without line numbers of the source."""
    return replace(
        result,
        errors=_LINE.sub(b"?", _THREAD.sub(b"", result.errors)),
        allocations=0 if case.stdin else result.allocations,
    )


def _entry_points(server: Server, library: Path, image: PatchedImage) -> list[int]:
    """The address of every replacement's first byte, found through the first detour."""
    bias = server.base_of(library)
    first = next(function for function in image.functions if function.entry is not None)
    assert first.entry is not None
    jump = server.peek(bias + first.entry, 5)
    assert jump[0] == 0xE9, f"no detour at {first.name}"
    target = bias + first.entry + 5 + int.from_bytes(jump[1:], "little", signed=True)
    return [target - first.new_entry + function.new_entry for function in image.functions]
