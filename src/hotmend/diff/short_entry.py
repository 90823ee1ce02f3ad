"""Whether an entry can be switched while threads run, and how.

A thread may stand at any instruction of the entry. So all that changes of the code is one
instruction of two bytes or more, into a short jump; a thread that stands before it takes either,
one that stands behind it does not see the change. The short jump leads to the filler in front of
the function, where there is room for the rest of the way.
"""

from __future__ import annotations

from hotmend.binary.x86_64 import is_filler, pushes_before_room
from hotmend.diff.entry import DETOUR_SIZE
from hotmend.diff.program import Program

_MOST_PUSHES = 3
_MOST_FILLER = 16


def short_entry(program: Program, va: int) -> tuple[int, int] | None:
    """(one-byte pushes at ``va`` that the way has to undo, bytes of filler in front of it)."""
    pushes = pushes_before_room(program.image.read(va, 16))
    before = program.part_before(va)
    if pushes is None or pushes > _MOST_PUSHES or before is None:
        return None
    start, size = before
    unit = program.unit_at(start)
    entries = [start, *(unit.entries if unit is not None else ())]
    # A detour at an entry near the end of the part before may cover some of the filler.
    taken = max(start + size, *(entry + DETOUR_SIZE for entry in entries if entry < va))
    filler = min(va - taken, _MOST_FILLER)
    if filler < pushes + DETOUR_SIZE or not is_filler(program.image.read(taken, va - taken)):
        return None
    return pushes, filler
