"""Did the layout of data change? What the machine code says about structures it has no names for.

A field that moved shows as a displacement that differs where everything around it is the same; a
structure that grew shows as the size given to an allocator; a field that is new shows as a
displacement that the old build never used. Objects that were made before the patch have the old
layout, so code with a new one must not run. Heuristics that refuse too much are the safe side.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from hotmend.binary.x86_64 import FRAME_POINTER, SMALL_ARGUMENTS, STACK_POINTER, Instruction
from hotmend.diff.alignment import Alignment, Body
from hotmend.diff.noise import beside_source_file
from hotmend.diff.place import InFunction, InSlot, ToImport
from hotmend.diff.program import Program

_ALLOCATOR = re.compile(r"alloc|memdup|^_Zn[wa]|^_?new|memset|bzero|create", re.IGNORECASE)
_TIGHT = 0.8
_TO_CALL = 12
_SMALLEST = 16
_WORD = 8


@dataclass(frozen=True)
class Drift:
    """A field at ``old`` that is at ``new`` in the fixed build; ``witnesses``: (old unit, va of
    the old instruction, va of the new one)."""

    old: int
    new: int
    witnesses: tuple[tuple[int, int, int], ...]

    @property
    def units(self) -> set[int]:
        return {unit for unit, _, _ in self.witnesses}

    @property
    def within_word(self) -> bool:
        """Both places lie in one aligned 8-byte word: no other field can have moved for it."""
        return self.old // _WORD == self.new // _WORD


@dataclass(frozen=True)
class Growth:
    """An allocation of ``old`` bytes that asks for ``new`` ones in the fixed build."""

    unit: int
    old_va: int
    new_va: int
    old: int
    new: int


@dataclass(frozen=True)
class NewField:
    """An access in new unit ``unit`` at a displacement that the old build never uses, or to which
    a field moved, or inside what an allocation grew by."""

    unit: int
    va: int
    displacement: int


@dataclass(frozen=True)
class Layout:
    """``drifts`` are fatal; ``confined``: moved within a word and touched by nobody else, which
    is fatal only where not all of their units are replaced together."""

    drifts: tuple[Drift, ...]
    confined: tuple[Drift, ...]
    growths: tuple[Growth, ...]
    new_fields: tuple[NewField, ...]


def examine(
    changed: Iterable[Alignment], added: Iterable[Body], old: Program, new: Program
) -> Layout:
    """What the aligned bodies of the changed functions say, and those of ``added`` ones."""
    alignments = list(changed)
    drifts = _corroborated(alignments)
    growths = tuple(growth for a in alignments for growth in _growths(a, new))
    cascade = {drift.old for drift in drifts}
    confined = tuple(d for d in drifts if d.within_word and d.new not in cascade and not growths)
    fatal = tuple(d for d in drifts if d not in confined)
    strange = _Strange(_displacements(old), fatal, confined, growths)
    bodies = [(a.new, {i.displacement for i in a.old.instructions if i.base}) for a in alignments]
    bodies += [(body, set()) for body in added]
    return Layout(
        drifts=fatal,
        confined=confined,
        growths=growths,
        new_fields=tuple(f for body, before in bodies for f in strange.fields(body, before)),
    )


def _displacements(program: Program) -> set[int]:
    """Every displacement that any function of the program uses."""
    return {
        instruction.displacement
        for unit in program.units
        for instruction in Body(program, unit).instructions
        if instruction.base
    }


def _corroborated(alignments: list[Alignment]) -> list[Drift]:
    """Moves that more than one place tells of in the same direction; an alignment may pair up
    two instructions that have nothing to do with each other, but not the same way twice."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    alone: set[tuple[int, int]] = set()
    for alignment in alignments:
        moves = list(_moves(alignment))
        pairs = {(old.displacement, new.displacement) for old, new in moves}
        if alignment.likeness < _TIGHT:
            continue
        for old, new in moves:
            move = old.displacement, new.displacement
            if (move[1], move[0]) in pairs:
                continue  # two fields swapped places in the code, not in the structure
            found[move].append((alignment.old.unit.index, old.va, new.va))
            if not alignment.added and not alignment.removed:
                alone.add(move)
    by_shift = Counter(new - old for old, new in found)
    return [
        Drift(old, new, tuple(witnesses))
        for (old, new), witnesses in sorted(found.items())
        if (old, new) in alone
        or len({unit for unit, _, _ in witnesses}) >= 2
        or by_shift[new - old] >= 3
    ]


def _moves(alignment: Alignment) -> Iterator[tuple[Instruction, Instruction]]:
    framed = _has_frame_pointer(alignment.old) or _has_frame_pointer(alignment.new)
    for old, new in alignment.pairs:
        if old.displacement != new.displacement and old.accesses and _on_heap(old, framed):
            yield old, new


def _has_frame_pointer(body: Body) -> bool:
    return any(i.shape[1:] == (FRAME_POINTER, STACK_POINTER) for i in body.instructions)


def _on_heap(instruction: Instruction, framed: bool) -> bool:
    """It counts from a register that need not point into the stack frame."""
    if instruction.base in (0, STACK_POINTER):
        return False
    return not (framed and instruction.base == FRAME_POINTER)


def _growths(alignment: Alignment, program: Program) -> Iterator[Growth]:
    for old, new in alignment.pairs:
        if old.immediate == new.immediate or old.immediate is None or new.immediate is None:
            continue
        if len(new.shape) != 2 or new.shape[1] not in SMALL_ARGUMENTS:
            continue
        if min(old.immediate, new.immediate) < _SMALLEST or old.immediate % 4 or new.immediate % 4:
            continue
        number = alignment.new.places[new.va]
        if _allocates(alignment.new, number, program) and not beside_source_file(
            alignment.new, number, program
        ):
            yield Growth(alignment.old.unit.index, old.va, new.va, old.immediate, new.immediate)


def _allocates(body: Body, place: int, program: Program) -> bool:
    """The next call, or jump out of the function, may lead to an allocator: by name, or because
    nothing says what it is."""
    for instruction in islice(body.instructions, place + 1, place + 1 + _TO_CALL):
        reference = body.reference(instruction)
        if instruction.flow == "call" or (instruction.flow == "jump" and reference is not None):
            match reference.place if reference is not None else None:
                case ToImport(symbol=name) | InSlot(symbol=name) if name:
                    return _ALLOCATOR.search(name) is not None
                case InFunction(unit):
                    symbols = program.units[unit].symbols
                    return not symbols or any(_ALLOCATOR.search(name) for name, _ in symbols)
            return True
        if instruction.flow != "next" and instruction.flow != "branch":
            return False
    return False


class _Strange:
    """Displacements that old objects may not have, or not with this meaning."""

    def __init__(
        self,
        known: set[int],
        drifts: tuple[Drift, ...],
        confined: tuple[Drift, ...],
        growths: tuple[Growth, ...],
    ) -> None:
        self._known = known | {drift.new for drift in confined}
        self._moved = {drift.new for drift in drifts}
        self._growths = growths

    def fields(self, body: Body, before: set[int]) -> Iterator[NewField]:
        """Accesses of ``body`` at strange displacements; those that its old version made too,
        ``before``, are only strange when nothing in the old build explains them."""
        framed = _has_frame_pointer(body)
        for instruction in body.instructions:
            at = instruction.displacement
            if at <= 0 or not instruction.accesses or not _on_heap(instruction, framed):
                continue
            grown = at in self._moved or any(g.old <= at < g.new for g in self._growths)
            if at not in self._known or (grown and at not in before):
                yield NewField(body.unit.index, instruction.va, at)
