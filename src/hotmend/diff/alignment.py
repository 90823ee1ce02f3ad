"""Which instruction of a changed function stands where in the fixed one."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cached_property
from typing import NamedTuple

from hotmend.binary.x86_64 import Instruction, instructions
from hotmend.diff.program import Program
from hotmend.diff.unit import Unit, UnitReference

_TOO_LONG = 12_000


class Body:
    """A unit's instructions, part after part, with the references that they hold."""

    def __init__(self, program: Program, unit: Unit) -> None:
        self.unit = unit
        self.instructions = [
            instruction
            for start, size in unit.parts
            for instruction in instructions(program.image.read(start, size), start)
        ]
        self._references = {reference.end: reference for reference in unit.references}

    def reference(self, instruction: Instruction) -> UnitReference | None:
        return self._references.get(instruction.va + instruction.size)

    @cached_property
    def places(self) -> dict[int, int]:
        """va of an instruction -> its number."""
        return {instruction.va: number for number, instruction in enumerate(self.instructions)}

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        return [instruction.shape for instruction in self.instructions]


class Aligned(NamedTuple):
    """``exact``: inside a run of equal shapes; else a replaced run of equal length."""

    old: Instruction
    new: Instruction


class Alignment:
    """``pairs``: instructions of the same shape that stand for each other, in order. ``added`` and
    ``removed``: places in the new and the old body without counterpart."""

    def __init__(self, old: Body, new: Body) -> None:
        self.old, self.new = old, new
        self.pairs: list[Aligned] = []
        self.added: list[int] = []
        self.removed: list[int] = []
        if max(len(old.shapes), len(new.shapes)) > _TOO_LONG:
            self._by_place()
            return
        matcher = SequenceMatcher(None, old.shapes, new.shapes, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                self._pair(range(i1, i2), range(j1, j2))
            else:
                self.removed += range(i1, i2)
                self.added += range(j1, j2)

    @property
    def likeness(self) -> float:
        """Aligned instructions over the longer body's, 0 to 1."""
        longer = max(len(self.old.shapes), len(self.new.shapes))
        return len(self.pairs) / longer if longer else 1.0

    def references(self) -> Iterator[tuple[UnitReference, UnitReference]]:
        for old, new in self.pairs:
            first, second = self.old.reference(old), self.new.reference(new)
            if first is not None and second is not None:
                yield first, second

    def _by_place(self) -> None:
        """Bodies too long for a real alignment pair up where equal from either end."""
        olds, news = self.old.shapes, self.new.shapes
        head = 0
        while head < min(len(olds), len(news)) and olds[head] == news[head]:
            head += 1
        tail = 0
        while tail < min(len(olds), len(news)) - head and olds[-1 - tail] == news[-1 - tail]:
            tail += 1
        self._pair(range(head), range(head))
        self._pair(range(len(olds) - tail, len(olds)), range(len(news) - tail, len(news)))
        self.removed += range(head, len(olds) - tail)
        self.added += range(head, len(news) - tail)

    def _pair(self, olds: range, news: range) -> None:
        self.pairs += [
            Aligned(self.old.instructions[i], self.new.instructions[j])
            for i, j in zip(olds, news, strict=True)
        ]
