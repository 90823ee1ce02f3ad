"""Differences that mean nothing: line numbers beside the name of a source file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hotmend.binary.x86_64 import LINE_ARGUMENTS, Instruction
from hotmend.diff.alignment import Alignment, Body
from hotmend.diff.identical import Comparison
from hotmend.diff.place import InRodata
from hotmend.diff.program import Program
from hotmend.diff.rodata import string_at
from hotmend.diff.unit import UnitReference

_SOURCE_FILE = re.compile(rb"[\w./+-]+\.(?:c|h|cc|cpp|cxx|hh|hpp|inc|y|l)")
_LOCATION = re.compile(rb"(" + _SOURCE_FILE.pattern + rb"):\d+")
_LINES = range(1, 1_000_000)
_WINDOW = 16


def only_line_numbers(alignment: Alignment, comparison: Comparison) -> bool:
    """The two bodies are the same but for ``__LINE__``: immediates that stand, between the same
    two calls, beside the address of a source file's name, and strings of the form file.c:12."""
    if alignment.added or alignment.removed:
        return False
    if alignment.old.unit.sizes != alignment.new.unit.sizes:
        return False
    programs = comparison.matching.old, comparison.matching.new
    for place, (old, new) in enumerate(alignment.pairs):
        if old.displacement != new.displacement:
            return False
        if old.immediate != new.immediate and not (
            old.immediate in _LINES
            and new.immediate in _LINES
            and beside_source_file(alignment.new, place, programs[1])
        ):
            return False
        first, second = alignment.old.reference(old), alignment.new.reference(new)
        if first is None and second is None:
            if not _same_branch(alignment, old, new):
                return False
        elif (
            first is None
            or second is None
            or not (comparison.correspond(first, second) or _same_location(first, second, programs))
        ):
            return False
    return True


def beside_source_file(body: Body, place: int, program: Program) -> bool:
    """Instruction number ``place`` loads an argument register, and between the calls before and
    after it the register of the argument before receives the address of a source file's name:
    every interface that takes a place in the source takes the file, then the line."""
    shape = body.instructions[place].shape
    files = LINE_ARGUMENTS.get(shape[1]) if len(shape) == 2 else None
    if files is None:
        return False
    holders = _holders(body, program)
    return any(
        instruction.shape[1:2] == (files,)
        and (
            _names_source_file(body, instruction, program)
            or (len(instruction.shape) == 3 and instruction.shape[2] in holders)
        )
        for instruction in _neighbours(body, place)
    )


def _neighbours(body: Body, place: int) -> Iterator[Instruction]:
    """What runs just before and just after, up to the next call; forward through jumps."""
    for instruction in reversed(body.instructions[max(0, place - _WINDOW) : place]):
        if instruction.flow in ("call", "return"):
            break
        yield instruction
    at = place + 1
    for _ in range(_WINDOW):
        if at >= len(body.instructions):
            return
        instruction = body.instructions[at]
        if instruction.flow in ("call", "return"):
            return
        yield instruction
        at += 1
        if instruction.flow == "jump":
            if instruction.target not in body.places:
                return
            at = body.places[instruction.target]


def _names_source_file(body: Body, instruction: Instruction, program: Program) -> bool:
    reference = body.reference(instruction)
    if reference is None or not isinstance(reference.place, InRodata):
        return False
    text = string_at(program, reference.target)
    return text is not None and _SOURCE_FILE.fullmatch(text) is not None


def _holders(body: Body, program: Program) -> set[int]:
    """Registers that somewhere in the body receive the address of a source file's name."""
    return {
        instruction.shape[1]
        for instruction in body.instructions
        if len(instruction.shape) > 1 and _names_source_file(body, instruction, program)
    }


def _same_branch(alignment: Alignment, old: Instruction, new: Instruction) -> bool:
    """Branches inside a body of equal parts lead to the same offset."""
    if old.target is None or new.target is None:
        return old.target is new.target
    first = alignment.old.unit.offset_of(old.target)
    second = alignment.new.unit.offset_of(new.target)
    return first == second


def _same_location(
    old: UnitReference, new: UnitReference, programs: tuple[Program, Program]
) -> bool:
    if not isinstance(old.place, InRodata) or not isinstance(new.place, InRodata):
        return False
    texts = [string_at(p, r.target) for p, r in zip(programs, (old, new), strict=True)]
    if texts[0] is None or texts[1] is None:
        return False
    first, second = (_LOCATION.sub(rb"\1", text) for text in texts if text is not None)
    return first == second
