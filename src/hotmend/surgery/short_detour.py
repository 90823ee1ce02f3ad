"""A detour that can be switched while threads run.

Two bytes of the entry become a short jump to the filler in front of it; there the way undoes the
pushes that came before the jump, and goes on to the payload. The filler is written first, while
nothing leads there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hotmend.hotpatch.hotpatch import DETOUR_SIZE, ShortEntry
from hotmend.surgery.module import Read
from hotmend.surgery.process import PAGE, Write

_JMP, _JMP_SHORT = b"\xe9", b"\xeb"
_PUSH, _PUSH_TO_POP = range(0x50, 0x58), 0x08
_OF_FILLER = frozenset(b"\x90\xcc\x66\x2e\x0f\x1f\x00\x40\x44\x80\x84")


@dataclass(frozen=True)
class ShortDetour:
    """``write``: switches the entry. ``way``: (address, bytes) that it leads through."""

    write: Write
    way: tuple[int, bytes]


def short_detour(short: ShortEntry, entry: int, target: int, read: Read) -> ShortDetour | None:
    """For the function at ``entry``; None where the process has something else there."""
    pushed = read(entry, short.pushes)
    filler = read(entry - short.filler, short.filler)
    if any(byte not in _PUSH for byte in pushed):
        return None
    undo = bytes(byte + _PUSH_TO_POP for byte in reversed(pushed))
    start = entry - short.filler
    end = start + len(undo) + DETOUR_SIZE
    way = undo + _JMP + struct.pack("<i", target - end)
    if filler[: len(way)] != way and not _OF_FILLER.issuperset(filler):
        return None
    jump = entry + short.pushes
    if jump // PAGE != (jump + 1) // PAGE:
        return None
    after = _JMP_SHORT + struct.pack("<b", start - (jump + 2))
    return ShortDetour(Write(jump, read(jump, 2), after), (start, way))
