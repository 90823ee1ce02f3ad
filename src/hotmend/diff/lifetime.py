"""Functions whose entry nobody will pass again: a detour there would say "patched" and lie."""

from __future__ import annotations

from hotmend.diff.alignment import Alignment, Body
from hotmend.diff.identical import Comparison
from hotmend.diff.place import InRodata, InSlot, ToImport
from hotmend.diff.program import Program
from hotmend.diff.rodata import string_at
from hotmend.diff.unit import Unit

_STARTS_MAIN = "__libc_start_main"


def start_up_units(program: Program) -> set[int]:
    """Units that run before a hotpatch can: the entry point's, main, the constructors."""
    found = set()
    for va in (program.image.entry, *program.image.constructors):
        unit = program.unit_at(va)
        if unit is not None and va:
            found.add(unit.index)
    main = main_of(program)
    return found | ({main.index} if main is not None else set())


def main_of(program: Program) -> Unit | None:
    """The function whose address the entry point hands to __libc_start_main."""
    start = program.unit_at(program.image.entry)
    if start is None or not program.image.entry:
        return None
    names = [r.place.symbol for r in start.references if isinstance(r.place, ToImport | InSlot)]
    if _STARTS_MAIN not in names:
        return None
    # main, and init and fini in older start files: main's address is the last one loaded.
    functions = [program.unit_at(r.target) for r in start.references]
    found = [u for u in functions if u is not None and u.index != start.index]
    return found[-1] if found else None


def loops_for_ever(body: Body) -> bool:
    """It has a loop and no way out: the main loop of a server or of a thread."""
    if any(scanned.returns for scanned in body.unit.scans):
        return False
    return any(
        i.target is not None and i.target <= i.va
        for i in body.instructions
        if i.flow in ("jump", "branch") and i.target in body.places
    )


def catches(program: Program, unit: Unit) -> bool:
    """Exceptions stop in it, or clean up in it: a part of it has a table for them."""
    frames = program.image.frames
    return any(start in frames and frames[start].catches for start, _ in unit.parts)


def only_texts(alignment: Alignment, comparison: Comparison) -> bool:
    """The two bodies are the same but for the words of strings that they refer to."""
    if alignment.old.unit.masked != alignment.new.unit.masked:
        return False
    matching = comparison.matching
    for old, new in comparison.differing(alignment.old.unit, alignment.new.unit):
        if old is None or new is None:
            return False
        if not isinstance(old.place, InRodata) or not isinstance(new.place, InRodata):
            return False
        if string_at(matching.old, old.target) is None:
            return False
        if string_at(matching.new, new.target) is None:
            return False
    return True
